update lead set
    rank = coalesce($3::smallint, rank), zone_id = coalesce($4::smallint, zone_id),
    external_id = case when $5::boolean then $6::text else external_id end,
    variables = coalesce($7::jsonb, variables), version = version + 1, updated_at = engine_now()
where campaign_id = $1::int and lead_id = any ($2::uuid[])
