update setting set
    max_concurrency = $1::int, tick_interval_ms = $2::int, buffer_factor = $3::int, batch_size = $4::int,
    session_ttl_ms = $5::int, receipt_within_ms = $6::int, dial_within_ms = $7::int, max_calls_per_second = $9::float8, etag = etag + 1
where $8::bigint is null or etag = $8::bigint
