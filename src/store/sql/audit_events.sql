select a.event_id, a.at, a.actor, a.method, a.request_id, c.public_id, a.lead_id, a.numbers, a.details
from audit_event a left join campaign c on c.campaign_id = a.campaign_id
where ($1::int is null or a.campaign_id = $1::int) and ($2::uuid is null or a.lead_id = $2::uuid)
    and ($3::bigint is null or a.numbers @> array[$3::bigint]) and ($4::text is null or a.method = $4::text)
    and ($5::text is null or a.actor = $5::text) and ($6::timestamptz is null or a.at >= $6::timestamptz)
    and ($7::timestamptz is null or a.at < $7::timestamptz) and ($8::bigint is null or a.event_id < $8::bigint)
order by a.event_id desc limit $9::bigint
