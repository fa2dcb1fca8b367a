select l.campaign_id, l.lead_id, l.number, l.rank, l.zone_id, effective_attempts(l.attempts, l.epoch, g.epoch) as attempts,
    g.epoch, l.attempts_total, d.at as promised, l.external_id, l.variables, l.version, l.seq, l.last_outcome,
    case when l.epoch < g.epoch then 0 else l.streak end::smallint as streak, l.rang_at, l.conversation_seq, l.conversation_outcome,
    l.callback_at, l.callback_latest, l.callbacks
from unnest($1::int[]) as i (campaign_id)
join gauge g on g.campaign_id = i.campaign_id
cross join lateral (
    select q.at, q.lead_id from due q
    where q.campaign_id = i.campaign_id and q.lane = 0 and q.at >= g.promise_from and q.at <= $2::timestamptz
    order by q.at, q.lead_id limit $3::bigint
) as d
join lead l on l.campaign_id = i.campaign_id and l.lead_id = d.lead_id
