-- Changes from outside the hot path: by hand, by a reset, by a suppression, by a fact that comes late. All of them hold
-- the campaign's fence exclusively, take leads out of wherever they are (lift) and put them where they belong (place).
-- They are rare and exact; nothing here is on the way of a call.

-- Takes leads out of READY, the due rows and leases without a permit; counts them nowhere. Their rows then tell state,
-- attempts and epoch as of now. Leads under a permit are left alone and come back with `begun`. The caller holds the
-- fence exclusively and places every lead that is not begun in the same transaction.
create function lift_leads(p_campaign int, p_leads uuid[])
returns table (lead_id uuid, state smallint, begun boolean, not_before timestamptz, lease_id uuid, session_id uuid)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set enable_material = off as $$
#variable_conflict use_column
declare
    ep int;
    leases int;
    moves record;
begin
    -- The engine's gauge is shared with all other campaigns, whose grants would wait: it is locked last. Whoever holds it waits
    -- for none of our rows, since nobody works on this campaign behind our fence.
    perform lock_gauges(array[p_campaign]);
    select g.epoch into ep from gauge g where g.campaign_id = p_campaign;
    with target as materialized (
        select l.*, effective_state(l.state, l.epoch, ep, l.blocked) as now_state, effective_attempts(l.attempts, l.epoch, ep) as now_attempts,
            z.lease_id as live_lease, z.begun_at is not null as is_begun
        from lead l left join lease z on z.number = l.number and z.campaign_id = l.campaign_id and z.lead_id = l.lead_id
        where l.campaign_id = p_campaign and l.lead_id = any (p_leads)
    ), z as (
        delete from lease z using target t where z.lease_id = t.live_lease and z.begun_at is null returning z.*, t.attempts_total
    ), a as (
        insert into call_attempt (lease_id, lead_id, session_id, campaign_id, seq, attempt_number, granted_at, ended_at, dialer_id, epoch)
        select z.lease_id, z.lead_id, z.session_id, z.campaign_id, z.seq, z.attempts_total + 1, z.granted_at, engine_now(),
            coalesce((select s.dialer_id from dialer_session s where s.session_id = z.session_id), ''), z.epoch
        from z
    ), r as (
        delete from ready_lead q where q.campaign_id = p_campaign and q.lead_id = any (p_leads) returning q.lead_id, q.state
    ), d as (
        -- Row by row, by the whole key: a join may walk every waiting lead of the campaign for each of these.
        delete from due q where q.ctid = any (array(
            select w.ctid from target t cross join lateral (
                select w.ctid from due w
                where w.campaign_id = p_campaign and w.lane = case t.state when 8 then 0 else 1 end and w.at = t.not_before
                    and w.lead_id = t.lead_id
                offset 0) as w
            where not t.is_begun))
        returning q.lead_id, case when q.lane = 1 and q.epoch = ep then waiting_code(q.reason) else 0 end::smallint as code
    ), found as (
        -- Grouped, not joined: these plans join by nested loops alone, and nothing here has an index.
        select t.lead_id, t.is_begun, t.blocked, t.not_before, t.now_state, t.now_attempts, null::uuid as lease_id,
            null::uuid as session_id, null::int as lease_seq, null::smallint as state, null::smallint as place, null::smallint as code
        from target t
        union all select z.lead_id, null, null, null, null, null, z.lease_id, z.session_id, z.seq, z.state, 3::smallint, null from z
        union all select r.lead_id, null, null, null, null, null, null, null, null, r.state, 2::smallint, null from r
        union all select d.lead_id, null, null, null, null, null, null, null, null, null, null, d.code from d
    ), lifted as materialized (
        select f.lead_id, bool_or(f.is_begun) as is_begun, bool_or(f.blocked) as blocked, max(f.not_before) as not_before,
            (array_agg(f.lease_id) filter (where f.lease_id is not null))[1] as lease_id,
            (array_agg(f.session_id) filter (where f.session_id is not null))[1] as session_id,
            max(f.lease_seq) as lease_seq, max(f.code) as code, coalesce(max(f.state), max(f.now_state)) as state,
            max(f.now_attempts) as now_attempts, coalesce(max(f.place), max(f.now_state)) as place
        from found f group by f.lead_id
    ), u as (
        update lead l set state = x.state, attempts = x.now_attempts, epoch = ep, not_before = null,
            streak = case when l.epoch < ep then 0 else l.streak end,
            seq = greatest(l.seq, coalesce(x.lease_seq, 0)), version = l.version + 1, updated_at = engine_now()
        from lifted x where l.campaign_id = p_campaign and l.lead_id = x.lead_id and not x.is_begun
    )
    select array_agg(x.lead_id) as leads, array_agg(x.state) as states, array_agg(x.is_begun) as begun,
        array_agg(x.not_before) as not_before, array_agg(x.lease_id) as leases, array_agg(x.session_id) as sessions,
        array_agg(x.place) filter (where not x.is_begun) as f, array_agg(x.blocked) filter (where not x.is_begun) as b,
        array_agg(x.code) filter (where x.code > 0) as codes, count(x.lease_id)::int as freed
    into moves from lifted x;
    perform move_leads(array_agg(p_campaign), array_agg(i.f), array_agg(i.b), array_agg(0::smallint), array_agg(false))
    from unnest(moves.f, moves.b) as i (f, b);
    perform move_leads(array_agg(p_campaign), array_agg(code), array_agg(false), array_agg(0::smallint), array_agg(false))
    from unnest(moves.codes) as code;
    if moves.freed > 0 then
        perform lock_gauges(array[0]);
        update gauge g set dialing = g.dialing - moves.freed where g.ctid = gauge_at(0);
    end if;
    return query select i.* from unnest(moves.leads, moves.states, moves.begun, moves.not_before, moves.leases, moves.sessions) as i;
end $$;

-- Puts lifted leads where they belong: a state, and the instant from which they wait (null: they do not). A suppressed lead
-- keeps its instant and waits nowhere. An ELIGIBLE lead that does not wait lies at its place in the campaign's order: the
-- cursor goes back to it. The same transaction as the lift.
create function place_leads(p_campaign int, p_leads uuid[], p_states smallint[], p_at timestamptz[], p_reasons smallint[])
returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    moves record;
begin
    with item as materialized (
        select i.lead_id, i.state, i.at, i.reason, l.rank, l.blocked, l.epoch, i.at is not null and not l.blocked as waits
        from unnest(p_leads, p_states, p_at, p_reasons) as i (lead_id, state, at, reason)
        join lead l on l.campaign_id = p_campaign and l.lead_id = i.lead_id
    ), u as (
        update lead l set state = i.state, not_before = i.at
        from item i where l.campaign_id = p_campaign and l.lead_id = i.lead_id
    ), d as (
        insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
        select p_campaign, case i.state when 8 then 0 else 1 end, i.at, i.lead_id, i.epoch, i.state, i.reason from item i where i.waits
        on conflict (campaign_id, lane, at, lead_id) do update
            set epoch = excluded.epoch, state = excluded.state, reason = excluded.reason
    )
    select array_agg(i.state) as t, array_agg(i.blocked) as b, count(*)::int as n,
        array_agg(case when i.waits and i.state <> 8 then waiting_code(i.reason) else 0 end::smallint) as codes,
        min(i.at) filter (where i.waits and i.state = 8) as promise, min(i.at) filter (where i.waits and i.state <> 8) as waiting,
        (array_agg(i.rank order by i.rank, i.lead_id) filter (where i.state = 1 and i.at is null and not i.blocked))[1] as first_rank,
        (array_agg(i.lead_id order by i.rank, i.lead_id) filter (where i.state = 1 and i.at is null and not i.blocked))[1] as first_lead
    into moves from item i;
    if moves.n > 0 then
        perform move_leads(array_fill(p_campaign, array[2 * moves.n]), array_fill(0::smallint, array[2 * moves.n]),
                           array_fill(false, array[2 * moves.n]), moves.t || moves.codes,
                           moves.b || array_fill(false, array[moves.n]));
        perform lower_due_from(array[p_campaign, p_campaign], array[0, 1]::smallint[], array[moves.promise, moves.waiting]);
        update gauge g set cursor_rank = moves.first_rank, cursor_lead = moves.first_lead
        where g.campaign_id = p_campaign and (moves.first_rank, moves.first_lead) < (g.cursor_rank, g.cursor_lead);
    end if;
end $$;

-- Sends back everything of a campaign that was queued or leased without a permit, due at once: a pause, new rules.
-- Returns the leases that are over. The caller holds the fence exclusively.
create function recall_campaign(p_campaign int) returns table (lease_id uuid, session_id uuid)
language plpgsql
-- By key, never by a walk of the list.
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    lifted record;
begin
    select array_agg(x.lead_id) as leads, array_agg(x.state) as states, array_agg(x.lease_id) as leases,
        array_agg(x.session_id) as sessions
    into lifted
    from lift_leads(p_campaign, array(
        select r.lead_id from ready_lead r where r.campaign_id = p_campaign
        union all select z.lead_id from lease z where z.campaign_id = p_campaign and z.begun_at is null)) as x;
    perform place_leads(p_campaign, array_agg(l.lead_id), array_agg(l.state), array_agg(case l.state when 8 then l.callback_at else engine_now() end),
                        array_agg(case l.state when 8 then 2 else 3 end::smallint))
    from unnest(lifted.leads) as i (lead_id) join lead l on l.campaign_id = p_campaign and l.lead_id = i.lead_id;
    return query select i.l, i.s from unnest(lifted.leases, lifted.sessions) as i (l, s) where i.l is not null;
end $$;

-- Leads that wait for hours or a zone look again now: the campaign's rules have changed. Those whose hours have come
-- already are among them: the counts start anew at none, so none may be left behind.
create function recheck_hours(p_campaign int) returns void language plpgsql as $$
declare
    t timestamptz := engine_now();
begin
    perform lock_gauges(array[p_campaign]);
    with d as (
        delete from due q using gauge g
        where g.campaign_id = p_campaign and q.campaign_id = p_campaign and q.reason in (4, 5)
        returning q.*
    ), u as (
        update lead l set not_before = t from d where l.campaign_id = p_campaign and l.lead_id = d.lead_id and l.not_before = d.at
        returning l.lead_id, d.lane, d.at
    )
    insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
    select d.campaign_id, d.lane, t, d.lead_id, d.epoch, d.state, 3 from d join u on u.lead_id = d.lead_id and u.lane = d.lane and u.at = d.at;
    update gauge g set waiting_hours = 0, waiting_zone = 0, waiting_from = least(g.waiting_from, t),
        promise_from = least(g.promise_from, t)
    where g.campaign_id = p_campaign;
end $$;

-- Leads that wait for a number rule look again now: these, or (null) all of the campaign. The rules have changed, or a call did
-- not ring after all. The caller holds the fence exclusively. Returns how many.
create function look_again(p_campaign int, p_leads uuid[]) returns int
language plpgsql
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    t timestamptz := engine_now();
    n int;
begin
    perform lock_gauges(array[p_campaign]);
    p_leads := coalesce(p_leads, array(select q.lead_id from due q where q.campaign_id = p_campaign and q.reason = 8));
    with d as (
        delete from due q using lead l
        where l.campaign_id = p_campaign and l.lead_id = any (p_leads) and q.campaign_id = p_campaign
            and q.lane = case l.state when 8 then 0 else 1 end and q.at = l.not_before and q.lead_id = l.lead_id and q.reason = 8
        returning q.*
    ), u as (
        update lead l set not_before = t from d where l.campaign_id = p_campaign and l.lead_id = d.lead_id
    )
    insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
    select d.campaign_id, d.lane, t, d.lead_id, d.epoch, d.state, case d.lane when 0 then 2 else 3 end from d;
    get diagnostics n = row_count;
    update gauge g set waiting_from = least(g.waiting_from, t), promise_from = least(g.promise_from, t)
    where g.campaign_id = p_campaign and n > 0;
    return n;
end $$;

-- Blocks leads of one campaign whose number is suppressed: they leave the queue and leases without a permit; the gauge
-- counts them apart. Leads blocked already are left alone. Returns the number of leads and the leases that are over.
create function block_leads(p_campaign int, p_leads uuid[], out leads int, out leases uuid[], out sessions uuid[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off as $$
declare
    lifted record;
begin
    p_leads := array(select l.lead_id from lead l where l.campaign_id = p_campaign and l.lead_id = any (p_leads) and not l.blocked);
    select array_agg(x.lead_id) filter (where not x.begun) as ids, array_agg(x.state) filter (where not x.begun) as states,
        array_agg(coalesce(x.not_before, engine_now())) filter (where not x.begun) as at,
        array_agg(x.lease_id) filter (where x.lease_id is not null) as leases,
        array_agg(x.session_id) filter (where x.lease_id is not null) as sessions, count(*) filter (where x.begun)::int as begun
    into lifted from lift_leads(p_campaign, p_leads) as x;
    update lead l set blocked = true, version = l.version + 1 where l.campaign_id = p_campaign and l.lead_id = any (p_leads);
    perform place_leads(p_campaign, array_agg(i.id), array_agg(i.state),
                        array_agg(case when i.state in (1, 6, 7, 8) then i.at end), array_agg(3::smallint))
    from unnest(lifted.ids, lifted.states, lifted.at) as i (id, state, at);
    update gauge g set blocked_dialing = g.blocked_dialing + lifted.begun where g.campaign_id = p_campaign and lifted.begun > 0;
    leads := cardinality(p_leads);
    leases := coalesce(lifted.leases, '{}');
    sessions := coalesce(lifted.sessions, '{}');
end $$;

-- Unblocks leads whose number is suppressed no more. Who was not reached before a reset meanwhile is ELIGIBLE. Who waited for
-- a zone looks again now. Who asked never to be called stays blocked, but for p_pardon: a person takes that back.
create function unblock_leads(p_campaign int, p_leads uuid[], p_pardon boolean) returns int
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off as $$
declare
    ep int;
    lifted record;
    begun uuid[];
    t timestamptz := engine_now();
begin
    perform lock_gauges(array[0, p_campaign]);
    select g.epoch into ep from gauge g where g.campaign_id = p_campaign;
    select array_agg(l.lead_id) as ids, array_agg(l.not_before) as at,
        array_agg(effective_state(l.state, l.epoch, ep, false)) as states into lifted
    from lead l where l.campaign_id = p_campaign and l.lead_id = any (p_leads) and l.blocked and (p_pardon or not l.do_not_call);
    select array_agg(x.lead_id) filter (where x.begun) into begun from lift_leads(p_campaign, lifted.ids) as x;
    update lead l set blocked = false, do_not_call = false, version = l.version + 1
    where l.campaign_id = p_campaign and l.lead_id = any (lifted.ids);
    perform place_leads(p_campaign, array_agg(i.id), array_agg(i.state),
        array_agg(case when i.state = 8 then greatest(l.callback_at, nullif(i.at, 'infinity'), t)
            when i.state = 1 or (i.state in (6, 7) and l.attempts < c.max_attempts and not retry_is_over(l.last_outcome, l.streak, c.retry_limits)) then greatest(nullif(i.at, 'infinity'), t) end),
        array_agg(case i.state when 8 then 2 else 3 end::smallint))
    from unnest(lifted.ids, lifted.at, lifted.states) as i (id, at, state)
    join lead l on l.campaign_id = p_campaign and l.lead_id = i.id
    join campaign c on c.campaign_id = p_campaign
    where i.id <> all (coalesce(begun, '{}'));
    update gauge g set blocked_dialing = g.blocked_dialing - cardinality(begun) where g.campaign_id = p_campaign and cardinality(begun) > 0;
    return coalesce(cardinality(lifted.ids), 0);
end $$;

-- Opens a new generation: whoever was not reached is ELIGIBLE again, at a cost that does not know the size of the list.
-- Leases without a permit and READY leads go back first (they are the buffer and the caps, never the list). The caller
-- holds the fence exclusively and has settled overdue begun leases as UNKNOWN. Returns the leases that are over.
create function reset_campaign(p_campaign int) returns table (lease_id uuid, session_id uuid)
language plpgsql
-- By key, never by a walk of the list.
set plan_cache_mode = force_generic_plan set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    lifted record;
begin
    select array_agg(x.lead_id) as leads, array_agg(x.lease_id) as leases, array_agg(x.session_id) as sessions into lifted
    from lift_leads(p_campaign, array(
        select r.lead_id from ready_lead r where r.campaign_id = p_campaign
        union all select z.lead_id from lease z where z.campaign_id = p_campaign and z.begun_at is null)) as x;
    -- They lie at the cursor again; a promise stays a promise.
    perform place_leads(p_campaign, array_agg(l.lead_id), array_agg(case l.state when 8 then 8 else 1 end::smallint),
                        array_agg(case l.state when 8 then l.callback_at end), array_agg(2::smallint))
    from unnest(lifted.leads) as i (lead_id) join lead l on l.campaign_id = p_campaign and l.lead_id = i.lead_id;
    update gauge g set epoch = g.epoch + 1, cursor_rank = 0, cursor_lead = '00000000-0000-0000-0000-000000000000',
        eligible = g.eligible + g.no_answer - g.blocked_no_answer + g.failed - g.blocked_failed,
        no_answer = g.blocked_no_answer, failed = g.blocked_failed, waiting_hours = 0, waiting_zone = 0
    where g.campaign_id = p_campaign;
    return query select i.l, i.s from unnest(lifted.leases, lifted.sessions) as i (l, s) where i.l is not null;
end $$;

-- The warmer walks the list from its head again: more leads may be called than it believed.
create function rewind_cursor(p_campaign int) returns void language sql as $$
    update gauge set cursor_rank = 0, cursor_lead = '00000000-0000-0000-0000-000000000000' where campaign_id = p_campaign
$$;
