select a.lease_id, a.seq as attempt_seq, coalesce(a.begun_at, a.granted_at) as attempt_begun_at, a.outcome,
    a.callback_at as attempt_callback_at, a.callback_phrase, a.by_engine, a.outcome is null or (not a.counted and a.outcome <> 11) as came_back, l.campaign_id, l.lead_id, l.version, l.state, l.seq, l.last_outcome, l.streak,
    l.rang_at, l.conversation_seq, l.conversation_outcome, l.callback_at, l.callback_latest, l.callbacks, l.number,
    effective_attempts(l.attempts, l.epoch, g.epoch) as attempts,
    coalesce((select max(x.seq) from call_attempt x
        where x.campaign_id = a.campaign_id and x.lead_id = a.lead_id and x.outcome is not null), 0) as newest_seq,
    v.state as shown_state, a.epoch = g.epoch and l.epoch = g.epoch as current_generation
from unnest($1::uuid[]) as i (lease_id)
join call_attempt a on a.lease_id = i.lease_id
join lead l on l.campaign_id = a.campaign_id and l.lead_id = a.lead_id
join gauge g on g.campaign_id = l.campaign_id
-- Lead by lead: without statistics the planner would walk the whole list for the view.
cross join lateral (
    select x.state from lead_view x where x.campaign_id = l.campaign_id and x.lead_id = l.lead_id offset 0
) as v
