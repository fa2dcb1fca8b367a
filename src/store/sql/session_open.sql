insert into dialer_session (session_id, dialer_id, replica_id, slots, opened_at)
values ($1::uuid, $2::text, $3::int, $4::int, engine_now())
on conflict (session_id) do update
    set replica_id = excluded.replica_id, slots = excluded.slots, opened_at = excluded.opened_at, closed_at = null
    where dialer_session.dialer_id = excluded.dialer_id and (dialer_session.closed_at is not null or not exists (
        select from replica r where r.replica_id = dialer_session.replica_id and r.expires_at >= engine_now()))
