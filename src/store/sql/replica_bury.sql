-- The delete waits for grants of the dead, which hold their replica's key; what they granted is seen by the sweeper.
with dead as (
    delete from replica r where r.expires_at < engine_now() and r.replica_id <> $1::int returning r.replica_id
), closed as (
    update dialer_session s set closed_at = engine_now(), slots = 0 from dead
    where s.replica_id = dead.replica_id and s.closed_at is null
), inherited as (
    update ready_lead q set owner = $1::int from dead where q.owner = dead.replica_id returning 1
)
select count(*) as inherited from inherited
