select h.campaign_id, sum(h.held)::int as held, bool_or(h.working) as working, bool_or(h.starved) as starved,
    sum(h.promised)::int as promised
from replica r
cross join lateral unnest(r.campaigns, r.held, r.working, r.starved, r.promised)
    as h (campaign_id, held, working, starved, promised)
where r.replica_id <> $1::int and r.expires_at >= engine_now() and r.told_at > engine_now() - interval '5 seconds'
group by h.campaign_id
