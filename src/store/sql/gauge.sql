-- Counts are kept, not counted; live leases are as many as the caps allow, whatever the size of the list.
select g.epoch, g.eligible, g.ready, g.dialing, g.intent_yes, g.intent_no, g.no_answer, g.failed, g.scheduled, g.consumed,
    g.blocked_eligible, g.blocked_dialing, g.blocked_no_answer, g.blocked_failed, g.blocked_other,
    g.waiting_hours, g.waiting_zone, g.attempts, z.begun, z.overdue, z.unbegun,
    least(
        (select d.at from due d where d.campaign_id = g.campaign_id and d.lane = 0 and d.at >= g.promise_from
            and d.at < 'infinity' order by d.at limit 1),
        (select d.at from due d where d.campaign_id = g.campaign_id and d.lane = 1 and d.at >= g.waiting_from
            and d.at < 'infinity' order by d.at limit 1)) as next_due_at,
    (select count(*) from (select from due d where d.campaign_id = g.campaign_id and d.lane = 0 and d.at >= g.promise_from
            and d.at <= (select engine_now()) + interval '5 minutes' limit 1000) as promised)
        + (select count(*) from (
            select d.lead_id, d.epoch, d.reason from due d
            where d.campaign_id = g.campaign_id and d.lane = 1 and d.at >= g.waiting_from
                and d.at <= (select engine_now()) + interval '5 minutes'
            order by d.at limit 1000) as d
        join lead l on l.campaign_id = g.campaign_id and l.lead_id = d.lead_id
        join campaign c on c.campaign_id = g.campaign_id
        where (d.epoch = g.epoch or d.reason = 7) and effective_attempts(l.attempts, l.epoch, g.epoch) < c.max_attempts) as due_soon,
    (select count(*) from (select from due d where d.campaign_id = g.campaign_id and d.lane = 0 and d.at = 'infinity' limit 10000)
        as held) as held
from gauge g, lateral (
    select count(*) filter (where z.begun_at is not null) as begun,
        count(*) filter (where z.begun_at is not null and z.deadline <= engine_now()) as overdue,
        count(*) filter (where z.begun_at is null and z.state <> 8) as unbegun
    from lease z where z.campaign_id = g.campaign_id and g.dialing > 0
) as z
where g.campaign_id = $1::int
