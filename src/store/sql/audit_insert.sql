insert into audit_event (at, actor, method, request_id, campaign_id, lead_id, numbers, details)
values (engine_now(), $1::text, $2::text, $3::uuid, $4::int, $5::uuid, $6::bigint[], $7::jsonb)
