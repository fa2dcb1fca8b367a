select g.campaign_id,
    (select d.at from due d where d.campaign_id = g.campaign_id and d.lane = 0 and d.at >= g.promise_from order by d.at limit 1) as promise,
    (select d.at from due d where d.campaign_id = g.campaign_id and d.lane = 1 and d.at >= g.waiting_from order by d.at limit 1) as waiting
from gauge g where g.campaign_id = any ($1::int[])
