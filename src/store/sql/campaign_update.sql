update campaign set
    name = $2::text, rules = $3::jsonb, max_attempts = $4::smallint, max_concurrency = $5::int,
    begin_within = make_interval(secs => $6::float8), max_duration = make_interval(secs => $7::float8),
    retry_limits = $8::smallint[], max_calls_per_second = $9::float8,
    breaker_after = $10::int, breaker_probe_interval = make_interval(secs => $11::float8),
    rules_version = rules_version
        + (rules - array['weight', 'min_concurrency'] is distinct from $3::jsonb - array['weight', 'min_concurrency'])::int,
    etag = etag + 1, updated_at = engine_now()
where campaign_id = $1::int
