select c.public_id, c.name, c.max_concurrency, c.breaker_open_since, c.next_probe_at, g.dialing, g.ready,
    next_due_at(g.campaign_id, g.promise_from, g.waiting_from) as next_due_at
from campaign c join gauge g on g.campaign_id = c.campaign_id
where c.state = 2
order by c.campaign_id limit $1::bigint
