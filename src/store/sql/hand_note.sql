update replica set told_at = engine_now(), campaigns = $2::int[], held = $3::int[], working = $4::boolean[],
    starved = $5::boolean[], promised = $6::int[]
where replica_id = $1::int
