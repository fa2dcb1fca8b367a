-- Ended leases with an outcome, and begun ones that live: the call under way is on record, too.
with ended as (
    select x.lease_id, x.campaign_id, x.lead_id, x.dialer_id, x.attempt_number, x.begun_at, x.ended_at, x.outcome, x.counted,
        x.provider_call_id, x.occurred_at, x.talk_ms, x.ring_ms, x.callback_at, x.note, x.metadata, x.callback_phrase, x.callback_latest
    from call_attempt x
    where x.outcome is not null and true /* way in */
        and ($1::uuid is null or x.lease_id = $1::uuid) and ($2::text is null or x.provider_call_id = $2::text)
        and ($3::int is null or x.campaign_id = $3::int) and ($4::uuid is null or x.lead_id = $4::uuid)
        and ($5::uuid is null or x.lease_id < $5::uuid)
    order by x.lease_id desc limit $6::bigint
), live as (
    select z.lease_id, z.campaign_id, z.lead_id, coalesce(s.dialer_id, '') as dialer_id, l.attempts_total + 1 as attempt_number,
        z.begun_at, null::timestamptz as ended_at, null::smallint as outcome, true as counted, null::text as provider_call_id,
        null::timestamptz as occurred_at, null::int as talk_ms, null::int as ring_ms, null::timestamptz as callback_at,
        null::text as note, null::jsonb as metadata, null::text as callback_phrase, null::timestamptz as callback_latest
    from lease z
    join lead l on l.campaign_id = z.campaign_id and l.lead_id = z.lead_id
    left join dialer_session s on s.session_id = z.session_id
    where z.begun_at is not null and $2::text is null
        and ($1::uuid is null or z.lease_id = $1::uuid) and ($3::int is null or z.campaign_id = $3::int)
        and ($4::uuid is null or z.lead_id = $4::uuid) and ($5::uuid is null or z.lease_id < $5::uuid)
    order by z.lease_id desc limit $6::bigint
)
select x.*, c.public_id from (select * from ended union all select * from live) as x
join campaign c on c.campaign_id = x.campaign_id
order by x.lease_id desc limit $6::bigint
