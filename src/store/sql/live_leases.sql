select z.lease_id, c.public_id, z.lead_id, z.session_id, coalesce(s.dialer_id, '') as dialer_id, z.granted_at, z.begun_at, z.deadline
from lease z
join campaign c on c.campaign_id = z.campaign_id
left join dialer_session s on s.session_id = z.session_id
where ($1::int is null or z.campaign_id = $1::int) and ($2::uuid is null or z.session_id = $2::uuid)
    and ($3::uuid is null or z.lease_id > $3::uuid) and ($5::text is null or s.dialer_id = $5::text)
    and ($6::boolean is null or (z.begun_at is not null) = $6::boolean)
order by z.lease_id limit $4::bigint
