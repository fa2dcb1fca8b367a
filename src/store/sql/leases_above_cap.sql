with engine as (
    select greatest(g.dialing - s.max_concurrency, 0) as above from gauge g, setting s where g.campaign_id = 0
), ranked as (
    select z.lease_id, row_number() over (order by z.granted_at desc) as n from lease z where z.begun_at is null
), per_campaign as (
    select z.lease_id, row_number() over (partition by z.campaign_id order by z.granted_at desc) as n,
        g.dialing - c.max_concurrency as above
    from lease z join campaign c on c.campaign_id = z.campaign_id join gauge g on g.campaign_id = z.campaign_id
    where z.begun_at is null and c.max_concurrency is not null
)
select r.lease_id from ranked r, engine e where r.n <= e.above
union
select p.lease_id from per_campaign p where p.n <= p.above
