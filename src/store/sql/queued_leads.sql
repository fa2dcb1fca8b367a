select l.campaign_id, l.lead_id, l.number, l.rank, l.zone_id, l.seq, effective_attempts(l.attempts, l.epoch, g.epoch) as attempts,
    g.epoch, l.attempts_total, l.callback_at, l.callback_latest, null::timestamptz as promised, l.external_id, l.variables
from unnest($2::uuid[]) with ordinality as i (lead_id, place)
join lead l on l.campaign_id = $1::int and l.lead_id = i.lead_id
join gauge g on g.campaign_id = l.campaign_id
order by i.place
