insert into setting (max_concurrency, tick_interval_ms, buffer_factor, batch_size, session_ttl_ms, receipt_within_ms, dial_within_ms,
                     number_rules, max_calls_per_second)
values ($1::int, $2::int, $3::int, $4::int, $5::int, $6::int, $7::int, $8::jsonb, $9::float8)
on conflict (one) do nothing
