update call_attempt set
    outcome = $2::smallint, counted = $3::boolean, callback_at = $4::timestamptz, by_engine = false,
    occurred_at = coalesce($5::timestamptz, engine_now()), provider_call_id = coalesce($6::text, provider_call_id),
    talk_ms = coalesce($7::int, talk_ms), ring_ms = coalesce($8::int, ring_ms), note = coalesce($9::text, note),
    metadata = coalesce($10::jsonb, metadata)
where lease_id = $1::uuid
