-- A statement of its own: it must see what the dead had under way when they were buried.
with closed as (
    update dialer_session s set closed_at = engine_now(), slots = 0
    where s.closed_at is null and not exists (select from replica r where r.replica_id = s.replica_id)
), inherited as (
    update ready_lead q set owner = $1::int
    where not exists (select from replica r where r.replica_id = q.owner) returning 1
)
select count(*) as inherited from inherited
