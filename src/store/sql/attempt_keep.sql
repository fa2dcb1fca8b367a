insert into attempt_report (lease_id, nth, received_at, outcome, verdict, callback_at, accepted_no, occurred_at, talk_ms, ring_ms,
    provider_call_id, note, metadata, callback_phrase)
values ($1::uuid, (select count(*) from attempt_report r where r.lease_id = $1::uuid), engine_now(), $2::smallint, $3::smallint,
    $4::timestamptz, fact_no(), coalesce($5::timestamptz, engine_now()), $6::int, $7::int, $8::text, $9::text, $10::jsonb, $11::text)
