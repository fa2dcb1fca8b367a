-- Where and when something was said under these leases, live or over: by key, however long the history is.
select i.lease_id, l.campaign_id, n.name as zone, coalesce(z.begun_at, z.granted_at, a.begun_at, a.granted_at) as called_at
from unnest($1::uuid[]) as i (lease_id)
left join lease z on z.lease_id = i.lease_id
left join call_attempt a on a.lease_id = i.lease_id
join lead l on l.campaign_id = coalesce(z.campaign_id, a.campaign_id) and l.lead_id = coalesce(z.lead_id, a.lead_id)
left join zone n on n.zone_id = l.zone_id
