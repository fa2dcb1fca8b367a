select l.campaign_id, l.lead_id, l.number, l.rank, l.zone_id, effective_attempts(l.attempts, l.epoch, g.epoch) as attempts,
    g.epoch, l.attempts_total, l.external_id, l.variables, l.version, l.seq, l.last_outcome,
    case when l.epoch < g.epoch then 0 else l.streak end::smallint as streak, l.rang_at, l.conversation_seq, l.conversation_outcome,
    l.callback_at, l.callback_latest, l.callbacks
from unnest($2::uuid[]) with ordinality as i (lead_id, place)
join lead l on l.campaign_id = $1::int and l.lead_id = i.lead_id
join gauge g on g.campaign_id = l.campaign_id
order by i.place
