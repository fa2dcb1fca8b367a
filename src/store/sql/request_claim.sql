-- One older than a day counts as new.
insert into request (request_id, method, fingerprint, created_at)
values ($1::uuid, $2::text, $3::bytea, engine_now())
on conflict (request_id) do update
    set method = excluded.method, fingerprint = excluded.fingerprint, response = null, created_at = excluded.created_at
    where request.created_at < engine_now() - interval '24 hours'
