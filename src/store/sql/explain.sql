-- Leads of a campaign, or one of them, grouped by all that decides whether they may be called; instants are the
-- earliest of a group, in which all or none lie after $3. Walks the campaign's leads: about a second per million.
with looked_at as (
    select l.zone_id, l.do_not_call, l.blocked, l.last_outcome, l.number, l.callback_at, l.callback_latest,
        effective_state(l.state, l.epoch, g.epoch, l.blocked) as waiting_state,
        effective_attempts(l.attempts, l.epoch, g.epoch) + (z.begun_at is not null)::int as attempts,
        case when l.epoch < g.epoch then 0 else l.streak end::smallint as streak,
        z.lease_id, z.deadline, r.lead_id is not null as ready, coalesce(d.at, case when l.blocked then l.not_before end) as until,
        d.reason, s.number is not null as suppressed, s.expires_at,
        (select o.deadline from lease o where o.number = l.number and o.lead_id <> l.lead_id) as busy_until, c.retry_limits
    from lead l
    join campaign c on c.campaign_id = l.campaign_id
    join gauge g on g.campaign_id = l.campaign_id
    left join lease z on z.number = l.number and z.lead_id = l.lead_id
    left join ready_lead r on r.campaign_id = l.campaign_id and r.lead_id = l.lead_id
    left join due d on d.campaign_id = l.campaign_id and d.lane = case l.state when 8 then 0 else 1 end and d.at = l.not_before
        and d.lead_id = l.lead_id and (d.epoch = g.epoch or d.lane = 0 or d.reason = 7) and z.lease_id is null and r.lead_id is null
    left join suppression s on s.number = l.number
    where l.campaign_id = $1::int and ($2::uuid is null or l.lead_id = $2::uuid)
)
select count(*) as leads, case when x.lease_id is not null then 3 when x.ready then 2 else x.waiting_state end::smallint as state,
    x.zone_id, n.name as zone, x.do_not_call, x.blocked, x.suppressed, min(x.expires_at) as expires_at, x.attempts, x.last_outcome,
    x.waiting_state in (6, 7) and retry_is_over(x.last_outcome, x.streak, x.retry_limits) as retries_spent, x.reason,
    x.until is not null as waits, min(x.until) as until, min(x.callback_at) as callback_at, min(x.callback_latest) as callback_latest, min(x.lease_id::text)::uuid as lease_id,
    min(x.deadline) as deadline, min(x.busy_until) as busy_until, min(x.number) as number
from looked_at x left join zone n on n.zone_id = x.zone_id
group by 2, 3, 4, 5, 6, 7, x.expires_at is null, x.expires_at > $3::timestamptz, 9, 10, 11, 12, 13, x.until = 'infinity',
    x.until > $3::timestamptz, x.callback_at is null, greatest(x.callback_latest, x.callback_at + make_interval(secs => $4::float8)) < $3::timestamptz, x.lease_id is null, x.deadline > $3::timestamptz, x.busy_until is null,
    x.busy_until > $3::timestamptz
