-- The live leases are as many as the caps allow; they are walked once a second by each replica.
select z.lease_id, z.begun_at is not null as begun from lease z
where z.deadline < engine_now()
    or (z.begun_at is null and not exists (
        select from dialer_session s join replica r on r.replica_id = s.replica_id
        where s.session_id = z.session_id and s.closed_at is null))
order by z.deadline limit $1::bigint
