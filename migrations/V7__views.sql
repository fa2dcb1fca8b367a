-- What people see, and what must hold.

-- A lead with the state it has for everybody: its place, a reset's view of it, the permit that counts already.
create view lead_view as
select l.campaign_id, c.public_id as campaign_public_id, l.lead_id, l.number, l.external_id, l.rank, z0.name as zone, l.variables,
    case when z.lease_id is not null then 3 when r.lead_id is not null then 2
        else effective_state(l.state, l.epoch, g.epoch, l.blocked) end::smallint as state,
    effective_attempts(l.attempts, l.epoch, g.epoch) + (z.begun_at is not null)::int as attempts,
    l.attempts_total + (z.begun_at is not null)::int as attempts_total,
    l.do_not_call, l.blocked, l.callback_at, l.callback_latest, d.at as not_before,
    -- A held promise says so itself, whatever filed it.
    case when d.reason is not null and l.callback_at = 'infinity' then 9 else d.reason end::smallint as waiting_reason, l.last_outcome,
    coalesce(z.begun_at, l.last_attempt_at) as last_attempt_at, l.returned_in_a_row, z.lease_id, l.created_at, l.updated_at
from lead l
join campaign c on c.campaign_id = l.campaign_id
join gauge g on g.campaign_id = l.campaign_id
left join zone z0 on z0.zone_id = l.zone_id
left join lease z on z.number = l.number and z.campaign_id = l.campaign_id and z.lead_id = l.lead_id
left join ready_lead r on r.campaign_id = l.campaign_id and r.lead_id = l.lead_id
left join due d on d.campaign_id = l.campaign_id and d.lane = case l.state when 8 then 0 else 1 end and d.at = l.not_before
    and d.lead_id = l.lead_id and (d.epoch = g.epoch or d.lane = 0 or d.reason = 7)
    -- A retry that will not come is not waited for.
    and (d.reason not in (1, 7) or (effective_attempts(l.attempts, l.epoch, g.epoch) < c.max_attempts
        and not (l.epoch = g.epoch and retry_is_over(l.last_outcome, l.streak, c.retry_limits))))
    and z.lease_id is null and r.lead_id is null;

-- Whether a running campaign has come to its end: it has leads, none is leased or READY, and none can become leasable by the
-- passing of time. Leads that lack a zone or an instant (held promises) do not hold it up; a lead that the refill has yet to look
-- at does. At the price of a look at the gauge, and of walks that end at the first lead with work and are bounded: where one finds
-- no end within its bound, the campaign is not complete yet: when in doubt there is work left. The conditions are those of the
-- refill.
create function campaign_is_complete(p_campaign int) returns boolean language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
    look constant int := 5000;
    g gauge;
    c record;
begin
    select x.* into g from gauge x where x.campaign_id = p_campaign;
    if g.ready > 0 or g.dialing > 0 then return false; end if;
    select x.max_attempts, x.retry_limits,
        -- As CallingCalendar::is_over: the last day is over on the last clocks, which are twelve hours behind.
        coalesce(((x.rules ->> 'end_date')::date + 1)::timestamp at time zone 'UTC' + interval '12 hours' <= engine_now(), false) as is_over
    into c from campaign x where x.campaign_id = p_campaign;
    if c.is_over then return true; end if;
    if exists (select from due q where q.campaign_id = p_campaign and q.lane = 0 and q.at >= g.promise_from and q.at < 'infinity') then
        return false;
    end if;
    if g.eligible - g.blocked_eligible + g.no_answer - g.blocked_no_answer + g.failed - g.blocked_failed = 0 then
        return g.eligible + g.intent_yes + g.intent_no + g.no_answer + g.failed + g.scheduled + g.consumed > 0;
    end if;
    -- As refill_fresh sees them; the last one looked at stands for all behind it.
    if exists (
        select from (
            select l.blocked, l.not_before, l.epoch, l.last_outcome, l.streak,
                effective_state(l.state, l.epoch, g.epoch, l.blocked) as state,
                effective_attempts(l.attempts, l.epoch, g.epoch) as attempts,
                row_number() over (order by l.rank, l.lead_id) as nth
            from lead l
            where l.campaign_id = p_campaign and (l.rank, l.lead_id) >= (g.cursor_rank, g.cursor_lead)
            order by l.rank, l.lead_id limit look
        ) as x
        where x.nth = look or not x.blocked and x.attempts < c.max_attempts and x.state in (1, 6, 7)
            and (x.state = 1 or not retry_is_over(x.last_outcome, x.streak, c.retry_limits))
            and (x.not_before is null or x.epoch < g.epoch)
    ) then
        return false;
    end if;
    -- As refill_waiting does, once they are due. Whether there are too many to say is asked first: that takes the key alone.
    if exists (
        select from due q where q.campaign_id = p_campaign and q.lane = 1 and q.at >= g.waiting_from and q.at < 'infinity'
        order by q.at, q.lead_id offset look - 1 limit 1
    ) then
        return false;
    end if;
    return not exists (
        select from due q
        -- Lead by lead: no plan may walk the list.
        cross join lateral (
            select l.blocked, l.last_outcome, l.streak, effective_state(l.state, l.epoch, g.epoch, l.blocked) as state,
                effective_attempts(l.attempts, l.epoch, g.epoch) as attempts
            from lead l where l.campaign_id = p_campaign and l.lead_id = q.lead_id offset 0
        ) as x
        where q.campaign_id = p_campaign and q.lane = 1 and q.at >= g.waiting_from and q.at < 'infinity'
            and not x.blocked and x.attempts < c.max_attempts and (q.epoch = g.epoch or q.reason = 7)
            and not (x.state in (6, 7) and retry_is_over(x.last_outcome, x.streak, c.retry_limits))
    );
end $$;

-- When the first of a campaign's waiting leads is due; null: none is. The bounds are those of its gauge.
create function next_due_at(p_campaign int, p_promise_from timestamptz, p_waiting_from timestamptz) returns timestamptz
language plpgsql stable
set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    return least(
        (select d.at from due d where d.campaign_id = p_campaign and d.lane = 0 and d.at >= p_promise_from and d.at < 'infinity'
            order by d.at limit 1),
        (select d.at from due d where d.campaign_id = p_campaign and d.lane = 1 and d.at >= p_waiting_from and d.at < 'infinity'
            order by d.at limit 1));
end $$;

-- Of a campaign's waiting leads: those that are due by an instant and will be called then, looked for among 1,000 promises
-- and 250 others, each of which takes a look at its lead; and promises without an instant, up to 10,000. Lead by lead: no plan may
-- walk the list.
create function waiting_counts(p_campaign int, p_until timestamptz, out due_soon bigint, out held bigint)
language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
    g gauge;
    most smallint;
begin
    select x.* into g from gauge x where x.campaign_id = p_campaign;
    select x.max_attempts into most from campaign x where x.campaign_id = p_campaign;
    due_soon := (
        select count(*) from (
            select from due d where d.campaign_id = p_campaign and d.lane = 0 and d.at >= g.promise_from and d.at <= p_until limit 1000
        ) as promised
    ) + (
        select count(*) from (
            select d.lead_id, d.epoch, d.reason from due d
            where d.campaign_id = p_campaign and d.lane = 1 and d.at >= g.waiting_from and d.at <= p_until
            order by d.at limit 250
        ) as d
        cross join lateral (
            select l.attempts, l.epoch from lead l where l.campaign_id = p_campaign and l.lead_id = d.lead_id offset 0
        ) as l
        where (d.epoch = g.epoch or d.reason = 7) and effective_attempts(l.attempts, l.epoch, g.epoch) < most
    );
    held := (select count(*) from (
        select from due d where d.campaign_id = p_campaign and d.lane = 0 and d.at = 'infinity' limit 10000) as held);
end $$;

-- Empty, always: each row is a broken invariant. For tests and for operators in doubt; it counts everything.
create view invariant_violation as
with place as (
    select l.campaign_id, l.lead_id, l.blocked, l.state as row_state,
        effective_state(l.state, l.epoch, g.epoch, l.blocked) as state, l.not_before, l.epoch, g.epoch as current_epoch,
        z.lease_id is not null as leased, r.lead_id is not null as ready, d.lead_id is not null as waiting,
        (l.rank, l.lead_id) >= (g.cursor_rank, g.cursor_lead) as at_cursor, l.attempts, c.max_attempts,
        d.reason, d.epoch as due_epoch, d.lane
    from lead l
    join gauge g on g.campaign_id = l.campaign_id
    join campaign c on c.campaign_id = l.campaign_id
    left join lease z on z.campaign_id = l.campaign_id and z.lead_id = l.lead_id
    left join ready_lead r on r.campaign_id = l.campaign_id and r.lead_id = l.lead_id
    left join due d on d.campaign_id = l.campaign_id and d.lead_id = l.lead_id
        and (d.epoch = g.epoch or d.reason = 7 or d.lane = 0)
), counts as (
    select campaign_id, case when leased then 3 when ready then 2 else state end as state, count(*) as leads,
        count(*) filter (where blocked) as blocked
    from place group by 1, 2
), gauges as (
    select g.campaign_id, s.state, s.leads
    from gauge g, lateral (values (1, g.eligible), (2, g.ready), (3, g.dialing), (4, g.intent_yes), (5, g.intent_no),
        (6, g.no_answer), (7, g.failed), (8, g.scheduled), (9, g.consumed)) as s (state, leads)
    where g.campaign_id > 0
), blocked_gauges as (
    select g.campaign_id, s.states, s.leads
    from gauge g, lateral (values (array[1], g.blocked_eligible), (array[3], g.blocked_dialing), (array[6], g.blocked_no_answer),
        (array[7], g.blocked_failed), (array[4, 5, 8, 9], g.blocked_other)) as s (states, leads)
    where g.campaign_id > 0
)
select 'gauge differs from count' as violation, g.campaign_id, format('state %s: gauge %s, counted %s', g.state, g.leads, coalesce(c.leads, 0)) as detail
from gauges g left join counts c on c.campaign_id = g.campaign_id and c.state = g.state where g.leads <> coalesce(c.leads, 0)
union all
select 'blocked gauge differs from count', b.campaign_id, format('states %s: gauge %s, counted %s', b.states, b.leads, coalesce(sum(c.blocked), 0))
from blocked_gauges b left join counts c on c.campaign_id = b.campaign_id and c.state = any (b.states)
group by b.campaign_id, b.states, b.leads having b.leads <> coalesce(sum(c.blocked), 0)
union all
select 'engine gauge differs from live leases', 0, format('gauge %s, counted %s', g.dialing, (select count(*) from lease))
from gauge g where g.campaign_id = 0 and g.dialing <> (select count(*) from lease)
union all
select 'a lead is in two places', p.campaign_id, p.lead_id::text from place p where p.leased::int + p.ready::int + p.waiting::int > 1
union all
select 'an eligible lead lies before the cursor and waits nowhere', p.campaign_id, p.lead_id::text
from place p where p.state = 1 and not p.leased and not p.ready and not p.waiting and not p.blocked and not p.at_cursor
    and (p.epoch < p.current_epoch or p.attempts < p.max_attempts)
union all
select 'a lead waits below the bound of its lane', d.campaign_id, d.lead_id::text
from due d join gauge g on g.campaign_id = d.campaign_id
where d.at < case d.lane when 0 then g.promise_from else g.waiting_from end and (d.epoch = g.epoch or d.reason = 7 or d.lane = 0)
union all
select 'a promise waits nowhere', p.campaign_id, p.lead_id::text
from place p where p.state = 8 and not p.leased and not p.waiting and not p.blocked
union all
select 'a blocked lead is queued', p.campaign_id, p.lead_id::text from place p where p.blocked and (p.ready or p.waiting)
union all
select 'a lead is blocked, or not, unlike its number is suppressed', l.campaign_id, l.lead_id::text
from lead l left join suppression s on s.number = l.number where l.blocked <> (s.number is not null)
union all
select 'a do_not_call lead is not suppressed for good', l.campaign_id, l.lead_id::text
from lead l where l.do_not_call and not exists (select from suppression s where s.number = l.number and s.expires_at is null)
union all
select 'a finished lead waits', p.campaign_id, p.lead_id::text
from place p where p.row_state in (4, 5, 9) and (p.ready or p.waiting or p.leased)
union all
select 'a circuit breaker differs from its count', c.campaign_id, format('%s of %s, since %s', g.not_placed_in_a_row, c.breaker_after, c.breaker_open_since)
from campaign c join gauge g on g.campaign_id = c.campaign_id
where (c.breaker_open_since is not null) <> (c.breaker_after > 0 and g.not_placed_in_a_row >= c.breaker_after)
    or (g.not_placed_since is null) <> (g.not_placed_in_a_row = 0)
union all
select 'waiting gauge differs from count', g.campaign_id, format('hours %s, zone %s', g.waiting_hours, g.waiting_zone)
from gauge g where g.campaign_id > 0 and (
    g.waiting_hours <> (select count(*) from place p where p.campaign_id = g.campaign_id and p.reason = 4 and p.due_epoch = g.epoch and p.lane = 1)
    or g.waiting_zone <> (select count(*) from place p where p.campaign_id = g.campaign_id and p.reason = 5 and p.due_epoch = g.epoch and p.lane = 1));
