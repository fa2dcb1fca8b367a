with c as (
    insert into campaign (public_id, name, state_since, rules, max_attempts, max_concurrency, begin_within, max_duration,
                          retry_limits, max_calls_per_second, breaker_after,
                          breaker_probe_interval, created_at, updated_at)
    values ($1::uuid, $2::text, engine_now(), $3::jsonb, $4::smallint, $5::int, make_interval(secs => $6::float8),
            make_interval(secs => $7::float8), $8::smallint[], $9::float8, $10::int, make_interval(secs => $11::float8), engine_now(), engine_now())
    returning campaign_id
), p as (
    insert into pace (campaign_id) select c.campaign_id from c
)
insert into gauge (campaign_id) select c.campaign_id from c
