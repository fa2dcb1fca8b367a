-- The queue: what waits becomes READY, what is READY and may not be called goes back to waiting.
--
-- Zone arithmetic is the core's: it hands in, per zone_id from 0 on, the open window that holds now or comes next
-- (`opens`, `closes`; null: the zone never opens). Statements only compare instants.
-- Plans are pinned: these tables are filled and emptied faster than statistics follow. What pins them, whatever the planner
-- believes of a table: rows are looked up by key in a lateral of their own (`offset 0`) or a scalar subquery, never joined, and
-- changed by the ctid that was found. A join could walk a table that was small when the plan was made, and `exists` be hashed,
-- which reads all of it.
--
-- Errors: DP001 the campaign does not run; DP002 its rules are newer than the caller's; DP003 the caller's zones or
-- windows are out of date; DP004 the replica is fenced: others have taken over.

-- Lowers the bounds under which no due row lies, for rows that are filed now. The caller has locked the gauges.
create function lower_due_from(p_campaigns int[], p_lanes smallint[], p_at timestamptz[]) returns void
language plpgsql as $$
begin
    update gauge g set promise_from = least(g.promise_from, d.promise), waiting_from = least(g.waiting_from, d.waiting)
    from (
        select i.c, min(i.at) filter (where i.lane = 0) as promise, min(i.at) filter (where i.lane = 1) as waiting
        from unnest(p_campaigns, p_lanes, p_at) as i (c, lane, at) group by i.c
    ) as d
    where g.ctid = gauge_at(d.c) and (d.promise < g.promise_from or d.waiting < g.waiting_from);
end $$;

-- Takes up to p_limit waiting leads that are due out of `due`; those whose zone is closed wait on. Rows of an older epoch are
-- dropped: their leads lie at the cursor again; UNKNOWN's delay (reason 7) outlives a reset. Leads that may be called are given
-- back by place, number and state: their next place is up to the caller, and so are the counts.
-- Callers: refill.
create function refill_waiting(p_campaign int, p_epoch int, p_from timestamptz, p_max_attempts smallint, p_limits smallint[],
                               p_limit int, p_opens timestamptz[], p_closes timestamptz[], p_now timestamptz,
                               out tids tid[], out numbers bigint[], out states smallint[], out seen int, out hours int, out zone int,
                               out last_at timestamptz)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
    changed int;
begin
    with head as materialized (
        select q.at, q.lead_id from due q
        where q.campaign_id = p_campaign and q.lane = 1 and q.at >= p_from and q.at <= p_now
        order by q.at, q.lead_id limit p_limit
    ), gone as (
        -- The same stretch of the key, not a join: without statistics that walks all rows that wait.
        delete from due q
        where q.campaign_id = p_campaign and q.lane = 1 and q.at >= p_from
            and (q.at, q.lead_id) <= (select h.at, h.lead_id from head h order by h.at desc, h.lead_id desc limit 1)
        returning q.at, q.lead_id, q.epoch, q.reason
    ), waiter as materialized (
        select gone.at, gone.lead_id, gone.epoch as due_epoch, gone.reason, l.*
        from gone cross join lateral (
            select l.ctid as tid, l.number, l.rank, l.zone_id, l.blocked, l.last_outcome, l.streak,
                effective_state(l.state, l.epoch, p_epoch, l.blocked) as state,
                effective_attempts(l.attempts, l.epoch, p_epoch) as attempts
            from lead l where l.campaign_id = p_campaign and l.lead_id = gone.lead_id offset 0
        ) as l
    ), fate as materialized (
        select f.*, p_opens[f.zone_id + 1] as opens, case
            when f.blocked or (f.due_epoch < p_epoch and f.reason <> 7) then 'dropped'
            when f.attempts >= p_max_attempts then 'exhausted'
            when f.state in (6, 7) and retry_is_over(f.last_outcome, f.streak, p_limits) then 'exhausted'
            when p_opens[f.zone_id + 1] <= p_now and p_closes[f.zone_id + 1] > p_now then 'ready'
            else 'closed' end as fate
        from waiter f
    ), w as (
        insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
        select p_campaign, 1, coalesce(f.opens, 'infinity'), f.lead_id, p_epoch, f.state, case when f.opens is null then 5 else 4 end
        from fate f where f.fate = 'closed'
        on conflict (campaign_id, lane, at, lead_id) do update
            set epoch = excluded.epoch, state = excluded.state, reason = excluded.reason
    ), u as (
        update lead l set not_before = case when f.fate = 'closed' then coalesce(f.opens, 'infinity') end,
            state = f.state, attempts = f.attempts, epoch = p_epoch,
            streak = case when l.epoch < p_epoch then 0 else l.streak end
        from fate f
        where f.fate in ('closed', 'exhausted') and l.ctid = f.tid returning 1
    )
    select array_agg(f.tid order by f.rank, f.lead_id) filter (where f.fate = 'ready'),
        array_agg(f.number order by f.rank, f.lead_id) filter (where f.fate = 'ready'),
        array_agg(f.state order by f.rank, f.lead_id) filter (where f.fate = 'ready'),
        count(*), max(f.at), count(*) filter (where f.fate in ('closed', 'exhausted')) - (select count(*) from u),
        coalesce(sum((f.fate = 'closed' and f.opens is not null)::int), 0)
            - coalesce(sum((f.reason = 4 and f.due_epoch = p_epoch)::int), 0),
        coalesce(sum((f.fate = 'closed' and f.opens is null)::int), 0)
            - coalesce(sum((f.reason = 5 and f.due_epoch = p_epoch)::int), 0)
    into tids, numbers, states, seen, last_at, changed, hours, zone from fate f;
    if changed > 0 then
        raise exception using errcode = 'serialization_failure', message = 'a lead was changed during the search';
    end if;
end $$;

-- The same for fresh leads, in the campaign's order from the cursor on, until p_want are open or p_scan are seen; those whose zone is
-- closed wait in `due`. Also takes up leads whose attempts or retries were exhausted until a limit was raised. `p_taken` are
-- leads that were taken out of `due` just now.
-- Callers: refill.
create function refill_fresh(p_campaign int, p_epoch int, p_rank smallint, p_lead uuid, p_max_attempts smallint,
                             p_limits smallint[], p_taken tid[], p_want int, p_scan int, p_opens timestamptz[], p_closes timestamptz[],
                             p_now timestamptz, out tids tid[], out numbers bigint[], out states smallint[], out seen int, out hours int,
                             out zone int, out first_open timestamptz, out cursor_rank smallint, out cursor_lead uuid)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
    with judged as (
        select s.*, p_opens[s.zone_id + 1] as opens, case
            when s.blocked or s.attempts >= p_max_attempts or s.state not in (1, 6, 7) then 'passed'
            -- It has a due row, or had one until now. Of an older epoch only UNKNOWN's counts, while that very row is there.
            when s.not_before is not null and (s.epoch = p_epoch or s.tid = any (p_taken) or (
                select true from due q where q.campaign_id = p_campaign and q.lane = 1 and q.at = s.not_before
                    and q.lead_id = s.lead_id and q.reason = 7)) then 'passed'
            when s.state in (6, 7) and retry_is_over(s.last_outcome, s.streak, p_limits) then 'passed'
            when (select true from ready_lead r where r.campaign_id = p_campaign and r.lead_id = s.lead_id) then 'passed'
            when (select true from lease z where z.number = s.number and z.lead_id = s.lead_id) then 'passed'
            when p_opens[s.zone_id + 1] <= p_now and p_closes[s.zone_id + 1] > p_now then 'ready'
            else 'closed' end as fate
        from (
            select l.ctid as tid, l.lead_id, l.rank, l.zone_id, l.number, l.blocked, l.epoch, l.not_before, l.last_outcome, l.streak,
                effective_state(l.state, l.epoch, p_epoch, l.blocked) as state,
                effective_attempts(l.attempts, l.epoch, p_epoch) as attempts
            from lead l
            where l.campaign_id = p_campaign and (l.rank, l.lead_id) >= (p_rank, p_lead)
            order by l.rank, l.lead_id limit p_scan
        ) as s offset 0
    ), counted as (
        select j.tid, j.lead_id, j.rank, j.number, j.state, j.attempts, j.opens, j.fate,
            count(*) filter (where j.fate = 'ready') over (order by j.rank, j.lead_id rows unbounded preceding) as open_so_far
        from judged j
    ), taken as materialized (
        select c.* from counted c where c.open_so_far <= p_want
    ), w as (
        insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
        select p_campaign, 1, coalesce(k.opens, 'infinity'), k.lead_id, p_epoch, k.state, case when k.opens is null then 5 else 4 end
        from taken k where k.fate = 'closed'
        on conflict (campaign_id, lane, at, lead_id) do update
            set epoch = excluded.epoch, state = excluded.state, reason = excluded.reason
    ), u as (
        update lead l set not_before = coalesce(k.opens, 'infinity'), state = k.state, attempts = k.attempts, epoch = p_epoch,
            streak = case when l.epoch < p_epoch then 0 else l.streak end
        from taken k where k.fate = 'closed' and l.ctid = k.tid
    )
    select array_agg(k.tid order by k.rank, k.lead_id) filter (where k.fate = 'ready'),
        array_agg(k.number order by k.rank, k.lead_id) filter (where k.fate = 'ready'),
        array_agg(k.state order by k.rank, k.lead_id) filter (where k.fate = 'ready'),
        count(*),
        count(*) filter (where k.fate = 'closed' and k.opens is not null),
        count(*) filter (where k.fate = 'closed' and k.opens is null),
        min(k.opens) filter (where k.fate = 'closed'),
        (select x.rank from taken x order by x.rank desc, x.lead_id desc limit 1),
        (select x.lead_id from taken x order by x.rank desc, x.lead_id desc limit 1)
    into tids, numbers, states, seen, hours, zone, first_open, cursor_rank, cursor_lead from taken k;
end $$;

-- Finds up to p_want leads that may be called: retries by their instants for half of it, then fresh leads by score, then
-- retries again for what is left. Slots that wait for leads (p_sessions, with the ids of their leases) are given the first of them
-- at once, by the checks and verdicts of grant_leases; all others, refused ones too, are READY of p_owner.
-- Commits asynchronously: a refill lost in a crash is done again. After `p_until` nothing is leased: the caller has given that up.
-- Returns a row without a lead that tells about the queue (`scanned` leads of the list were looked at, at the cursor's end 1 at
-- most; `next_waiting` is the first due row left), and then the leads, with a verdict those for which a slot waited.
-- Errors: DP001, DP002, DP003, DP004; 40001 where a lead was changed during the search. Caller: the queue warmer.
create function refill(p_campaign int, p_owner int, p_rules_version int, p_want int, p_scan int,
                       p_opens timestamptz[], p_closes timestamptz[], p_leases uuid[], p_sessions uuid[], p_until timestamptz)
returns table (scanned int, waiting_seen int, waiting_hours int, next_waiting timestamptz,
               campaign_id int, lead_id uuid, number bigint, rank smallint, zone_id smallint, attempts smallint, epoch int,
               attempts_total int, external_id text, variables jsonb, version int, seq int, last_outcome smallint, streak smallint,
               rang_at timestamptz, conversation_seq int, conversation_outcome smallint, callback_at timestamptz,
               callback_latest timestamptz, callbacks smallint, verdict smallint, free_at timestamptz)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    c record;
    g record;
    h record;
    broken boolean;
    t timestamptz;
    a record;
    b record;
    more record;
    judged record;
    room int;
    receipt interval;
    tids tid[];
    numbers bigint[];
    states smallint[];
    verdicts smallint[];
    free timestamptz[];
    takers int := coalesce(cardinality(p_sessions), 0);
    leased int := 0;
    found_now int;
    hours int;
    zone int;
    due_from timestamptz;
    next_promise timestamptz;
begin
    perform set_config('synchronous_commit', 'off', true);
    perform 1 from replica r where r.replica_id = p_owner and r.expires_at > engine_now() for key share;
    if not found then raise exception using errcode = 'DP004', message = 'the replica is fenced'; end if;
    perform fence_shared(array[p_campaign]);
    select x.state, x.rules_version, x.max_attempts, x.retry_limits, x.max_concurrency, x.begin_within into c
    from campaign x where x.campaign_id = p_campaign;
    if c.state is distinct from 2 then raise exception using errcode = 'DP001', message = 'the campaign does not run'; end if;
    if c.rules_version <> p_rules_version then raise exception using errcode = 'DP002', message = 'the rules changed'; end if;
    perform hold_queue(p_campaign);
    t := engine_now();
    if (select coalesce(max(z.zone_id), 0) from zone z) >= cardinality(p_opens)
        or exists (select from unnest(p_closes) as w where w <= t) then
        raise exception using errcode = 'DP003', message = 'the zones or their windows are out of date';
    end if;
    select x.epoch, x.waiting_from, x.cursor_rank, x.cursor_lead into g from gauge x where x.ctid = gauge_at(p_campaign);
    select * into a from refill_waiting(p_campaign, g.epoch, g.waiting_from, c.max_attempts, c.retry_limits,
                                        -- An odd one out goes to either side by turns of chance.
                                        (p_want + (random() < 0.5)::int) / 2, p_opens, p_closes, t);
    select * into b from refill_fresh(p_campaign, g.epoch, g.cursor_rank, g.cursor_lead, c.max_attempts, c.retry_limits, a.tids,
                                      p_want - coalesce(cardinality(a.tids), 0), p_scan, p_opens, p_closes, t);
    tids := a.tids || b.tids;
    numbers := a.numbers || b.numbers;
    states := a.states || b.states;
    scanned := b.seen;
    waiting_seen := a.seen;
    hours := a.hours + b.hours;
    zone := a.zone + b.zone;
    due_from := least(coalesce(a.last_at, g.waiting_from), b.first_open);
    if coalesce(cardinality(tids), 0) < p_want then
        select * into more from refill_waiting(p_campaign, g.epoch, due_from, c.max_attempts, c.retry_limits,
                                               p_want - coalesce(cardinality(tids), 0), p_opens, p_closes, t);
        tids := tids || more.tids;
        numbers := numbers || more.numbers;
        states := states || more.states;
        waiting_seen := waiting_seen + more.seen;
        hours := hours + more.hours;
        zone := zone + more.zone;
        due_from := coalesce(more.last_at, due_from);
    end if;
    takers := least(takers, coalesce(cardinality(tids), 0));
    perform lock_gauges(case when takers > 0 then array[0, p_campaign] else array[p_campaign] end);
    t := engine_now();
    -- Too late for a lease, or hours have ended on the way: grants see to those who are READY.
    if t > p_until or exists (select from unnest(p_closes) as w where w <= t) then takers := 0; end if;
    select x.dialing, x.waiting_hours, x.waiting_from, x.promise_from into h from gauge x where x.ctid = gauge_at(p_campaign);
    if takers > 0 then
        select x.breaker_open_since is not null into broken from campaign x where x.campaign_id = p_campaign;
        select s.max_concurrency - e.dialing, make_interval(secs => s.receipt_within_ms / 1000.0) into room, receipt
        from setting s, gauge e where s.one and e.ctid = gauge_at(0);
        select * into judged from lease_refusals(p_owner, array_fill(p_campaign, array[takers]), numbers[:takers], p_sessions[:takers], t);
        verdicts := judged.refusals;
        free := judged.free_at;
        for i in 1 .. takers loop
            continue when verdicts[i] <> 0;
            verdicts[i] := case
                -- Grants know when to probe.
                when broken then 11
                when leased >= c.max_concurrency - h.dialing then 4
                when leased >= room then 3
                else 1 end;
            leased := leased + (verdicts[i] = 1)::int;
        end loop;
    end if;
    -- Whoever files a due row lowers its bound under the gauge's lock: what came since the search began is seen here, what comes later
    -- is filed below the bounds that are left here.
    due_from := coalesce((select q.at from due q where q.campaign_id = p_campaign and q.lane = 1
                          and q.at >= least(g.waiting_from, h.waiting_from) and q.at < due_from order by q.at limit 1), due_from);
    next_promise := coalesce((select q.at from due q where q.campaign_id = p_campaign and q.lane = 0 and q.at >= h.promise_from
                              order by q.at limit 1), t);
    if next_promise <= h.promise_from + interval '1 minute' then next_promise := h.promise_from; end if;
    if scanned > 0 or waiting_seen > 0 or next_promise > h.promise_from then
        update gauge x set eligible = x.eligible - n.eligible, no_answer = x.no_answer - n.no_answer, failed = x.failed - n.failed,
            ready = x.ready + n.eligible + n.no_answer + n.failed - leased, dialing = x.dialing + leased,
            waiting_hours = x.waiting_hours + hours, waiting_zone = x.waiting_zone + zone,
            cursor_rank = coalesce(b.cursor_rank, x.cursor_rank), cursor_lead = coalesce(b.cursor_lead, x.cursor_lead),
            waiting_from = due_from, promise_from = next_promise
        from (
            select count(*) filter (where i = 1) as eligible, count(*) filter (where i = 6) as no_answer,
                count(*) filter (where i = 7) as failed
            from unnest(states) as i
        ) as n
        where x.ctid = gauge_at(p_campaign);
    end if;
    if leased > 0 then
        update gauge x set dialing = x.dialing + leased where x.ctid = gauge_at(0);
    end if;
    waiting_hours := h.waiting_hours + hours;
    next_waiting := (select q.at from due q where q.campaign_id = p_campaign and q.lane = 1 and q.at >= due_from order by q.at limit 1);
    return next;
    return query
    with found as materialized (
        select i.place::int, i.state, verdicts[i.place] as verdict, l.*
        from unnest(tids, states) with ordinality as i (tid, state, place)
        cross join lateral (
            select l.lead_id, l.number, l.rank, l.zone_id, effective_attempts(l.attempts, l.epoch, g.epoch) as attempts, l.attempts_total,
                l.external_id, l.variables, l.version, l.seq, l.last_outcome,
                case when l.epoch < g.epoch then 0 else l.streak end::smallint as streak, l.rang_at, l.conversation_seq,
                l.conversation_outcome, l.callback_at, l.callback_latest, l.callbacks
            from lead l where l.ctid = i.tid offset 0
        ) as l
    ), z as (
        insert into lease (lease_id, lead_id, session_id, number, granted_at, not_after, deadline, campaign_id, epoch, seq,
                           attempts, state)
        select p_leases[f.place], f.lead_id, p_sessions[f.place], f.number, t, p_closes[f.zone_id + 1], t + c.begin_within + receipt,
            p_campaign, g.epoch, f.seq + 1, f.attempts, f.state
        from found f where f.verdict = 1
    ), r as (
        insert into ready_lead (campaign_id, lead_id, owner, epoch, state)
        select p_campaign, f.lead_id, p_owner, g.epoch, f.state from found f where f.verdict is distinct from 1
    )
    select null::int, null::int, null::int, null::timestamptz, p_campaign, f.lead_id, f.number, f.rank, f.zone_id, f.attempts, g.epoch,
        f.attempts_total, f.external_id, f.variables, f.version, f.seq, f.last_outcome, f.streak, f.rang_at, f.conversation_seq,
        f.conversation_outcome, f.callback_at, f.callback_latest, f.callbacks, f.verdict, free[f.place]
    from found f order by f.place;
    get diagnostics found_now = row_count;
    if found_now <> coalesce(cardinality(tids), 0) then
        raise exception using errcode = 'serialization_failure', message = 'a lead was changed during the search';
    end if;
end $$;

-- Sends leads from READY (p_promised null) or from an overdue promise (its due key) to wait until p_at: the number is
-- busy elsewhere, the zone has closed, or the buffer has no dialer any more. Rows that are gone are left out. p_rules: the rules
-- by which p_at was reckoned, null where they do not matter. Whoever reckoned by older ones is looked at again now: those who waited
-- for hours when the rules changed were called up then, and nobody would call this one.
-- Callers: the dispatcher after a grant; the warmer when a buffer goes back.
create function park_leads(p_campaigns int[], p_leads uuid[], p_promised timestamptz[], p_at timestamptz[], p_reasons smallint[],
                           p_rules int[])
returns int
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
    free timestamptz[];
    moves record;
begin
    perform set_config('synchronous_commit', 'off', true);
    perform fence_shared(p_campaigns);
    -- A search that has seen an old row of a lead must not meet its new one.
    perform hold_queue(c) from (select distinct unnest(p_campaigns) as c order by 1) as f;
    perform lock_gauges(p_campaigns);
    if 8 = any (p_reasons) then
        -- Asked again: a late report or other rules since the refusal had nobody to wake here.
        free := number_free_at(p_campaigns, array(
            select (select l.number from lead l where l.campaign_id = i.c and l.lead_id = i.l)
            from unnest(p_campaigns, p_leads) with ordinality as i (c, l, ord) order by i.ord), engine_now());
    end if;
    with item as materialized (
        select i.c, i.l, i.promised, case when i.reason = 8 then coalesce(i.free, engine_now())
                when i.rules <> c.rules_version then engine_now() else i.at end as at,
            case when i.rules <> c.rules_version then 3 else i.reason end::smallint as reason
        from unnest(p_campaigns, p_leads, p_promised, p_at, p_reasons, p_rules, free) as i (c, l, promised, at, reason, rules, free)
        cross join lateral (select c.rules_version from campaign c where c.campaign_id = i.c offset 0) as c
    ), ready as materialized (
        select i.*, q.tid from item i
        cross join lateral (select q.ctid as tid from ready_lead q where q.campaign_id = i.c and q.lead_id = i.l offset 0) as q
        where i.promised is null
    ), promised as materialized (
        select i.*, q.tid from item i
        cross join lateral (
            select q.ctid as tid from due q where q.campaign_id = i.c and q.lane = 0 and q.at = i.promised and q.lead_id = i.l offset 0
        ) as q
        where i.promised is not null
    ), r as (
        delete from ready_lead q using ready i where q.ctid = i.tid
        returning q.campaign_id, q.lead_id, q.state, q.epoch, i.at, i.reason
    ), p as (
        delete from due q using promised i where q.ctid = i.tid
        returning q.campaign_id, q.lead_id, q.state, q.epoch, i.at, i.reason
    ), moved as materialized (
        select m.*, l.tid
        from (select r.*, 1::smallint as lane from r union all select p.*, 0::smallint from p) as m
        cross join lateral (
            select l.ctid as tid from lead l where l.campaign_id = m.campaign_id and l.lead_id = m.lead_id offset 0) as l
    ), w as (
        insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
        select m.campaign_id, m.lane, m.at, m.lead_id, m.epoch, m.state, m.reason from moved m
        on conflict (campaign_id, lane, at, lead_id) do update
            set epoch = excluded.epoch, state = excluded.state, reason = excluded.reason
    ), u as (
        update lead l set not_before = m.at, state = m.state, epoch = greatest(l.epoch, m.epoch),
            attempts = effective_attempts(l.attempts, l.epoch, m.epoch),
            streak = case when l.epoch < m.epoch then 0 else l.streak end
        from moved m where l.ctid = m.tid
    )
    select array_agg(m.campaign_id) as c, array_agg(case when m.lane = 0 then 8 else 2 end::smallint) as f,
        array_agg(m.state) as t, array_agg(m.lane) as lanes, array_agg(m.at) as at, count(*)::int as n,
        array_agg(waiting_code(m.reason)) as codes
    into moves from moved m;
    if moves.n > 0 then
        perform move_leads(moves.c, moves.f, array_fill(false, array[moves.n]), moves.t, array_fill(false, array[moves.n]));
        perform move_leads(moves.c, array_fill(0::smallint, array[moves.n]), array_fill(false, array[moves.n]),
                           (select array_agg(case when x.lane = 1 then x.code else 0 end::smallint order by x.o)
                            from unnest(moves.codes, moves.lanes) with ordinality as x (code, lane, o)),
                           array_fill(false, array[moves.n]));
        perform lower_due_from(moves.c, moves.lanes, moves.at);
    end if;
    return moves.n;
end $$;

-- What a replica's memory holds of leads that may be leased; in the order asked for.
-- Caller: whoever takes over a buffer.
create function queued_leads(p_campaign int, p_leads uuid[])
returns table (campaign_id int, lead_id uuid, number bigint, rank smallint, zone_id smallint, attempts smallint, epoch int, attempts_total int,
               external_id text, variables jsonb, version int, seq int, last_outcome smallint, streak smallint, rang_at timestamptz,
               conversation_seq int, conversation_outcome smallint, callback_at timestamptz, callback_latest timestamptz,
               callbacks smallint)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
    current int := (select g.epoch from gauge g where g.campaign_id = p_campaign);
begin
    return query
    select l.campaign_id, l.lead_id, l.number, l.rank, l.zone_id, effective_attempts(l.attempts, l.epoch, current), current,
        l.attempts_total, l.external_id, l.variables, l.version, l.seq, l.last_outcome,
        case when l.epoch < current then 0 else l.streak end::smallint, l.rang_at, l.conversation_seq, l.conversation_outcome,
        l.callback_at, l.callback_latest, l.callbacks
    from unnest(p_leads) with ordinality as i (lead_id, place)
    -- Lead by lead: without statistics the planner would walk the list.
    cross join lateral (select x.* from lead x where x.campaign_id = p_campaign and x.lead_id = i.lead_id offset 0) as l
    order by i.place;
end $$;

-- The same of promises that are due at p_until, the first p_limit of each campaign.
-- Caller: the dispatcher's survey.
create function due_promises(p_campaigns int[], p_until timestamptz, p_limit bigint)
returns table (campaign_id int, lead_id uuid, number bigint, rank smallint, zone_id smallint, attempts smallint, epoch int, attempts_total int,
               external_id text, variables jsonb, version int, seq int, last_outcome smallint, streak smallint, rang_at timestamptz,
               conversation_seq int, conversation_outcome smallint, callback_at timestamptz, callback_latest timestamptz,
               callbacks smallint, promised timestamptz)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
    return query
    select l.campaign_id, l.lead_id, l.number, l.rank, l.zone_id, effective_attempts(l.attempts, l.epoch, g.epoch), g.epoch,
        l.attempts_total, l.external_id, l.variables, l.version, l.seq, l.last_outcome,
        case when l.epoch < g.epoch then 0 else l.streak end::smallint, l.rang_at, l.conversation_seq, l.conversation_outcome,
        l.callback_at, l.callback_latest, l.callbacks, d.at
    from unnest(p_campaigns) as i (campaign_id)
    cross join lateral (select x.epoch, x.promise_from from gauge x where x.campaign_id = i.campaign_id offset 0) as g
    cross join lateral (
        select q.at, q.lead_id from due q
        where q.campaign_id = i.campaign_id and q.lane = 0 and q.at >= g.promise_from and q.at <= p_until
        order by q.at, q.lead_id limit p_limit
    ) as d
    cross join lateral (select x.* from lead x where x.campaign_id = i.campaign_id and x.lead_id = d.lead_id offset 0) as l;
end $$;
