-- Counts are kept, not counted; live leases are as many as the caps allow, whatever the size of the list.
select g.epoch, g.eligible, g.ready, g.dialing, g.intent_yes, g.intent_no, g.no_answer, g.failed, g.scheduled, g.consumed,
    g.blocked_eligible, g.blocked_dialing, g.blocked_no_answer, g.blocked_failed, g.blocked_other,
    g.waiting_hours, g.waiting_zone, g.attempts, z.begun, z.overdue, z.unbegun,
    next_due_at(g.campaign_id, g.promise_from, g.waiting_from) as next_due_at, w.due_soon, w.held
from gauge g, lateral (
    select count(*) filter (where z.begun_at is not null) as begun,
        count(*) filter (where z.begun_at is not null and z.deadline <= engine_now()) as overdue,
        count(*) filter (where z.begun_at is null and z.state <> 8) as unbegun
    from lease z where z.campaign_id = g.campaign_id and g.dialing > 0
) as z, waiting_counts(g.campaign_id, engine_now() + interval '5 minutes') as w
where g.campaign_id = $1::int
