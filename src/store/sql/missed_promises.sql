-- Promises of a campaign that are due, and whose instant and interval are further behind than the tolerance (s). A held one
-- never is: it is due at infinity.
select q.lead_id, l.callback_at, l.callback_latest, n.name as zone
from gauge g
cross join lateral (
    select d.lead_id, d.at from due d
    where d.campaign_id = g.campaign_id and d.lane = 0 and d.at >= g.promise_from and d.at <= engine_now()
    order by d.at offset 0
) as q
join lead l on l.campaign_id = g.campaign_id and l.lead_id = q.lead_id
left join zone n on n.zone_id = l.zone_id
where g.campaign_id = $1::int and l.callback_at < 'infinity'
    and greatest(l.callback_latest, l.callback_at + make_interval(secs => $2::float8)) < engine_now()
limit $3::bigint
