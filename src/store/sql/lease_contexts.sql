select z.lease_id, z.seq as lease_seq, z.begun_at, z.granted_at, l.campaign_id, l.lead_id, l.version, l.state, l.seq, l.last_outcome,
    case when l.epoch < g.epoch then 0 else l.streak end::smallint as streak, l.rang_at, l.conversation_seq, l.conversation_outcome, l.callback_at, l.callback_latest, l.callbacks, l.attempts, g.epoch
from unnest($1::uuid[]) as i (lease_id)
join lease z on z.lease_id = i.lease_id
join lead l on l.campaign_id = z.campaign_id and l.lead_id = z.lead_id
join gauge g on g.campaign_id = l.campaign_id
