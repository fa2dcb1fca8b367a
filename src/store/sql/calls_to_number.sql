-- $2: those that began after it; $3: the newest so many. The outcomes are those that stand; NOT_PLACED is no call.
select c.begun_at, c.ended_at, c.outcome
from (
    select coalesce(a.begun_at, a.granted_at) as begun_at, least(a.occurred_at, a.ended_at) as ended_at, a.outcome
    from lead l join call_attempt a on a.campaign_id = l.campaign_id and a.lead_id = l.lead_id
    where l.number = $1::bigint and a.outcome <> 11
    union all
    select z.begun_at, null, null from lease z where z.number = $1::bigint and z.begun_at is not null
) as c
where c.begun_at > $2::timestamptz
order by c.begun_at desc limit $3::bigint
