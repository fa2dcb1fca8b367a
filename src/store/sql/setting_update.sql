update setting set
    max_concurrency = $1::int, tick_interval_ms = $2::int, buffer_factor = $3::int, batch_size = $4::int,
    session_ttl_ms = $5::int, receipt_within_ms = $6::int, dial_within_ms = $7::int, number_rules = $8::jsonb,
    max_calls_per_second = $10::float8, etag = etag + 1
where $9::bigint is null or etag = $9::bigint
