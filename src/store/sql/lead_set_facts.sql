-- $10: attempts ever; $11: attempts of this generation.
update lead l set
    last_outcome = $3::smallint, streak = $4::smallint, rang_at = $5::timestamptz, conversation_seq = $6::int,
    conversation_outcome = $7::smallint, callback_at = $8::timestamptz, callback_latest = $12::timestamptz, callbacks = $9::smallint,
    attempts = least(greatest(l.attempts + $11::int, 0), 32767)::smallint, attempts_total = greatest(l.attempts_total + $10::int, 0),
    -- Placed in the same transaction; until then no promise may be missing for the state.
    state = case when l.state = 8 and $8::timestamptz is null then 1 else l.state end,
    version = l.version + 1, updated_at = engine_now()
where l.campaign_id = $1::int and l.lead_id = $2::uuid
