-- A statement of its own: it must see what the dead had under way when they were buried. The gauges first: whoever changes READY
-- leads does so under them.
with closed as (
    update dialer_session s set closed_at = engine_now(), slots = 0
    where s.closed_at is null and not exists (select from replica r where r.replica_id = s.replica_id)
), orphaned as materialized (
    select g.campaign_id from gauge g
    where g.campaign_id in (
        select q.campaign_id from ready_lead q where not exists (select from replica r where r.replica_id = q.owner))
    order by g.campaign_id for update
), inherited as (
    update ready_lead q set owner = $1::int
    where q.campaign_id = any (array(select o.campaign_id from orphaned o))
        and not exists (select from replica r where r.replica_id = q.owner) returning 1
)
select count(*) as inherited from inherited
