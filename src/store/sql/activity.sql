select c.public_id, c.name, c.max_concurrency, c.breaker_open_since, c.next_probe_at, g.dialing, g.ready,
    least(
        (select d.at from due d where d.campaign_id = g.campaign_id and d.lane = 0 and d.at >= g.promise_from
            and d.at < 'infinity' order by d.at limit 1),
        (select d.at from due d where d.campaign_id = g.campaign_id and d.lane = 1 and d.at >= g.waiting_from
            and d.at < 'infinity' order by d.at limit 1)) as next_due_at
from campaign c join gauge g on g.campaign_id = c.campaign_id
where c.state = 2
order by c.campaign_id limit $1::bigint
