with written as (
    insert into suppression as s (number, reason, created_at, expires_at)
    select distinct n, $2::text, engine_now(), $3::timestamptz from unnest($1::bigint[]) as n order by n
    on conflict (number) do update set reason = excluded.reason, expires_at = excluded.expires_at
        where s.expires_at < coalesce(excluded.expires_at, 'infinity')
    -- A row that was there before has the version that this one replaced.
    returning s.xmax = 0 as is_new
)
select count(*) filter (where w.is_new) as added, count(*) filter (where not w.is_new) as extended from written w
