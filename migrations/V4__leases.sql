-- Leases: granted, begun, settled, released. Each batch is one call, over any campaigns and sessions.
--
-- Locks: the fence; lease rows; gauges in id order, the engine's first; a grant's new leases last. Every release of a
-- slot is driven by lease rows really deleted, so a duplicate frees nothing; what decides reads in a statement after the
-- one that waited. Plans are pinned as those of the queue are: rows are looked up by key alone, and changed by ctid.

-- Opens a session on a replica, or takes it over from an older stream, wherever that was. Waits for the grants under way of
-- the replica that had it: afterwards that one can grant it nothing. Returns the stream's number; null: another dialer's.
-- Caller: the opening of a stream or a poll.
create function open_session(p_session uuid, p_dialer text, p_replica int, p_slots int) returns int language plpgsql as $$
declare
    old record;
    opened int;
begin
    insert into dialer_session (session_id, dialer_id, replica_id, slots, opened_at)
    values (p_session, p_dialer, p_replica, p_slots, engine_now()) on conflict (session_id) do nothing;
    select s.dialer_id, s.replica_id into old from dialer_session s where s.session_id = p_session for update;
    if old.dialer_id <> p_dialer then return null; end if;
    if old.replica_id <> p_replica then
        perform 1 from replica r where r.replica_id = old.replica_id for update;
    end if;
    update dialer_session s set replica_id = p_replica, slots = p_slots, opened_at = engine_now(), closed_at = null,
        stream = s.stream + 1
    where s.session_id = p_session returning s.stream into opened;
    return opened;
end $$;

-- From when on the number rules of a campaign, and the engine's, allow a call to a number, per item; null: now. The record of
-- attempts is the history: every end of a lease writes it, late reports correct it, no reset touches it. A call counts from its
-- permit; an outcome from when it happened, which is told: neither before the permit nor after the record, nor longer
-- than a call can last (24 h). Exact where nobody else can call the number: under the gauges' lock or with its live lease.
-- Without rules nothing but that is read; without calls lately, the leads of the number alone.
-- Callers: lease_refusals, begin_calls, park_leads, release_leases.
create function number_free_at(p_campaigns int[], p_numbers bigint[], p_now timestamptz) returns timestamptz[]
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
    since timestamptz;
    first_lease uuid;
    called record;
    free_at timestamptz[];
begin
    select p_now - max(r.lasts) - interval '24 hours' into since from number_rule r;
    if since is null then return null; end if;
    select array_agg(l.number) as numbers, array_agg(l.campaign_id) as own, array_agg(l.lead_id) as leads into called
    from lead l where l.number = any (p_numbers) and l.last_attempt_at > since;
    if called.leads is null then return null; end if;
    -- Older partitions are not opened. Ids carry the clock of the replica that made them: no clock is wrong by a month.
    first_lease := uuid_floor(clock_timestamp() - (p_now - since) - interval '31 days');
    with call as materialized (
        select i.ord, i.campaign_id, a.outcome, a.begun_at,
            greatest(a.begun_at, least(a.occurred_at, a.ended_at, a.begun_at + interval '24 hours')) as happened_at
        from (
            select i.ord, i.campaign_id, k.own, k.lead_id
            from unnest(p_campaigns, p_numbers) with ordinality as i (campaign_id, number, ord)
            join unnest(called.numbers, called.own, called.leads) as k (number, own, lead_id) on k.number = i.number
        ) as i
        cross join lateral (
            select a.outcome, coalesce(a.begun_at, a.granted_at) as begun_at, a.occurred_at, a.ended_at
            from call_attempt a
            where a.campaign_id = i.own and a.lead_id = i.lead_id and a.lease_id >= first_lease and a.outcome <> 11 offset 0
        ) as a
    ), in_force as materialized (
        select r.* from number_rule r where r.campaign_id = any (0 || p_campaigns)
    ), counted as (
        select c.ord, r.campaign_id, r.ord as rule, r.at_most, r.lasts,
            case when r.outcomes is null then c.begun_at else c.happened_at end as at
        from call c join in_force r on r.campaign_id in (0, c.campaign_id)
        where r.outcomes is null or c.outcome = any (r.outcomes)
    ), placed as (
        select k.ord, k.at_most, k.at + k.lasts as until,
            row_number() over (partition by k.ord, k.campaign_id, k.rule order by k.at desc) as place
        from counted k
    ), told as (
        select d.ord, max(d.until) as until from placed d where d.place = d.at_most and d.until > p_now group by d.ord
    )
    select array_agg(o.until order by i.ord) into free_at
    from generate_subscripts(p_numbers, 1) as i (ord) left join told o on o.ord = i.ord;
    return free_at;
end $$;

-- What forbids leases, per item, as verdicts of grant_leases: 9, 6, 5 or 10, or 0. The caller has locked the engine's gauge, so no
-- lease ends meanwhile. Callers: grant_leases, refill.
create function lease_refusals(p_replica int, p_campaigns int[], p_numbers bigint[], p_sessions uuid[], p_now timestamptz,
                               out refusals smallint[], out free_at timestamptz[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
declare
    busy bigint[] := array(select z.number from lease z where z.number = any (p_numbers));
    twice boolean := (select count(distinct n) < count(*) from unnest(p_numbers) as n);
    all_here boolean := not exists (
        select from (select distinct i from unnest(p_sessions) as i) as d (session_id) where (
            select true from dialer_session s
            where s.session_id = d.session_id and s.replica_id = p_replica and s.closed_at is null) is null);
begin
    free_at := number_free_at(p_campaigns, p_numbers, p_now);
    select array_agg(case
            when not all_here and (select true from dialer_session s
                where s.session_id = i.session_id and s.replica_id = p_replica and s.closed_at is null) is null then 9
            when (select true from suppression x where x.number = i.number) then 6
            when i.number = any (busy) then 5
            when twice and array_position(p_numbers, i.number) < i.ord then 5
            when free_at[i.ord] is not null then 10
            else 0 end::smallint order by i.ord)
    into refusals from unnest(p_numbers, p_sessions) with ordinality as i (number, session_id, ord);
end $$;

-- Turns queued leads into leases, in the order given, as far as the caps have room. Verdicts: 1 granted; 2 gone: not in
-- the queue any more; 3 the engine's cap; 4 the campaign's cap; 5 the number is on a live lease; 6 suppressed; 7 the
-- hours are over; 8 the campaign does not run, or its rules are newer; 9 the session is not on this replica any more; 10 a
-- number rule forbids it until `free_at`; 11 the circuit breaker is open, and no probe is due. Only 1 changes anything.
-- `p_promised` is the due key of a promise, null for a READY lead. `p_epochs` is the epoch in which the caller counted
-- attempts: a reset since then makes them none. Commits asynchronously: a grant lost in a crash
-- was never permitted, and the permit's own flush covers the grant before it. After `p_until` it is too late: the caller
-- has given the answer up, and would not know of these leases.
-- Errors: DP004 fenced, DP005 too late. Caller: the dispatcher.
create function grant_leases(p_replica int, p_campaigns int[], p_leads uuid[], p_leases uuid[], p_sessions uuid[],
                             p_numbers bigint[], p_seqs int[], p_attempts smallint[], p_epochs int[],
                             p_promised timestamptz[], p_open_until timestamptz[], p_rules int[], p_until timestamptz)
returns table (verdicts smallint[], granted_at timestamptz, free_at timestamptz[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    t timestamptz;
    room int;
    receipt interval;
    judged record;
    moves record;
begin
    perform set_config('synchronous_commit', 'off', true);
    perform 1 from replica r where r.replica_id = p_replica and r.expires_at > engine_now() for key share;
    if not found then raise exception using errcode = 'DP004', message = 'the replica is fenced'; end if;
    perform fence_shared(p_campaigns);
    perform lock_gauges(array[0] || p_campaigns);
    t := engine_now();
    if t > p_until then raise exception using errcode = 'DP005', message = 'the call came too late'; end if;
    select s.max_concurrency - g.dialing, make_interval(secs => s.receipt_within_ms / 1000.0) into room, receipt
    from setting s, gauge g where s.one and g.ctid = gauge_at(0);
    select * into judged from lease_refusals(p_replica, p_campaigns, p_numbers, p_sessions, t);
    with in_campaign as materialized (
        select d.campaign_id, c.*, g.epoch, c.max_concurrency - g.dialing as free_slots
        from (select distinct i from unnest(p_campaigns) as i) as d (campaign_id)
        cross join lateral (
            select c.state, c.rules_version, c.max_concurrency, c.begin_within, c.breaker_open_since, c.next_probe_at
            from campaign c where c.campaign_id = d.campaign_id offset 0
        ) as c
        cross join lateral (select g.epoch, g.dialing from gauge g where g.ctid = gauge_at(d.campaign_id) offset 0) as g
    ), item as materialized (
        select i.ord::int, i.campaign_id, i.lead_id, i.promised, i.begin_within, i.epoch, i.breaker_open_since is not null as broken,
            least(i.free_slots, case when i.breaker_open_since is not null then (i.next_probe_at <= t)::int end)
                as campaign_room, case
            when i.state <> 2 or i.rules_version <> i.rules then 8
            when i.open_until <= t and i.refusal <> 9 then 7
            else i.refusal end as refused
        from (
            select * from unnest(p_campaigns, p_leads, p_promised, p_open_until, p_rules, judged.refusals) with ordinality
                as i (campaign_id, lead_id, promised, open_until, rules, refusal, ord)
            join in_campaign c using (campaign_id) offset 0
        ) as i
    ), judged as materialized (
        select x.*, case when x.no_room = 0 and row_number() over (partition by x.no_room order by x.ord) > room then 3 else x.no_room end as verdict
        from (
            select i.*, case when i.refused = 0
                and row_number() over (partition by i.campaign_id, i.refused order by i.ord) > i.campaign_room
                then case when i.broken then 11 else 4 end else i.refused end as no_room
            from item i offset 0
        ) as x
    ), ready as materialized (
        select j.ord, q.tid from judged j
        cross join lateral (
            select q.ctid as tid from ready_lead q
            where q.campaign_id = j.campaign_id and q.lead_id = j.lead_id and q.owner = p_replica offset 0) as q
        where j.verdict = 0 and j.promised is null
    ), promised as materialized (
        select j.ord, q.tid from judged j
        cross join lateral (
            select q.ctid as tid from due q
            where q.campaign_id = j.campaign_id and q.lane = 0 and q.at = j.promised and q.lead_id = j.lead_id offset 0) as q
        where j.verdict = 0 and j.promised is not null
    ), r as (
        delete from ready_lead q using ready i where q.ctid = i.tid returning i.ord, q.state, 2::smallint as place
    ), p as (
        delete from due q using promised i where q.ctid = i.tid returning i.ord, q.state, 8::smallint as place
    ), claimed as materialized (
        select r.* from r union all select p.* from p
    ), told as materialized (
        select j.ord, j.verdict, j.campaign_id, j.begin_within, j.epoch, j.broken, k.place, k.state
        from judged j left join claimed k on k.ord = j.ord
    ), z as (
        insert into lease (lease_id, lead_id, session_id, number, granted_at, not_after, deadline, campaign_id, epoch, seq,
                           attempts, state)
        select p_leases[k.ord], p_leads[k.ord], p_sessions[k.ord], p_numbers[k.ord], t, p_open_until[k.ord], t + k.begin_within + receipt,
            k.campaign_id, k.epoch, p_seqs[k.ord], effective_attempts(p_attempts[k.ord], p_epochs[k.ord], k.epoch), k.state
        from told k where k.place is not null
    )
    select array_agg(case when o.verdict <> 0 then o.verdict when o.place is null then 2 else 1 end::smallint order by o.ord) as verdicts,
        array_agg(o.campaign_id) filter (where o.place is not null) as c,
        array_agg(o.place) filter (where o.place is not null) as f,
        array_agg(o.campaign_id) filter (where o.place is not null and o.broken) as probed,
        count(o.place)::int as n
    into moves from told o;
    if moves.n > 0 then
        perform move_leads(moves.c || array_fill(0, array[moves.n]), moves.f || array_fill(0::smallint, array[moves.n]),
                           array_fill(false, array[2 * moves.n]), array_fill(3::smallint, array[2 * moves.n]),
                           array_fill(false, array[2 * moves.n]));
    end if;
    if moves.probed is not null then
        update campaign c set next_probe_at = t + c.breaker_probe_interval where c.campaign_id = any (moves.probed);
    end if;
    return query select moves.verdicts, t, judged.free_at;
end $$;

-- How far apart turns are: a hair more than evenly, so that a closed second never holds one too many.
create function call_gap(p_rate float8) returns interval language sql immutable as $$
    select make_interval(secs => (floor(1000000 / p_rate) + 1) / 1000000)
$$;

-- The turns of permits where calls per second are limited, by the engine, by the campaign, or by both. A turn is at least a gap
-- after the last one that was given, and up to 250 ms ahead: the engine answers at its instant. Who would come later gets none
-- (`at` is null), takes none, and is told in `again` when to ask: as the line moves on, and a second after its turn could come
-- at the latest. A lease lives on for that long. A campaign with a limit leaves the engine no gap while others fill its turns.
-- Without any limit nothing is locked or written. Else lease rows are locked, then those of `pace` in id order, to the commit.
-- The plans are begin_calls' own; `s.one` is the key by which they read the settings. Caller: begin_calls, which decides by the turn.
create function take_turns(p_sessions uuid[], p_leases uuid[], p_barred uuid[], p_now timestamptz, out at timestamptz[], out again timestamptz[])
language plpgsql as $$
declare
    ahead constant interval := interval '250 milliseconds';
    t timestamptz;
    keys int[];
    pace record;
    lasts timestamptz[];
    lines timestamptz[];
    e int;
    own int;
    turn_e timestamptz;
    turn_own timestamptz;
    turn timestamptz;
    place timestamptz;
    filled boolean;
    i record;
begin
    at := array_fill(p_now, array[cardinality(p_leases)]);
    again := array_fill(null::timestamptz, array[cardinality(p_leases)]);
    if not exists (select from setting s where s.one and s.max_calls_per_second is not null)
        and not exists (select from campaign c where c.max_calls_per_second is not null) then
        return;
    end if;
    perform 1 from lease z where z.lease_id = any (p_leases) order by z.lease_id for no key update;
    keys := array(
        select 0 from setting s where s.one and s.max_calls_per_second is not null
        union select c.campaign_id from lease z join campaign c on c.campaign_id = z.campaign_id
        where z.lease_id = any (p_leases) and c.max_calls_per_second is not null order by 1);
    perform 1 from pace p where p.campaign_id = any (keys) order by p.campaign_id for no key update;
    -- Limits as they are now: one that was lifted has no gap, and its turns are at once.
    select array_agg(p.campaign_id order by p.campaign_id) as keys, array_agg(p.last_at order by p.campaign_id) as lasts,
        array_agg(p.line_at order by p.campaign_id) as lines,
        array_agg(call_gap(case p.campaign_id when 0 then s.max_calls_per_second else c.max_calls_per_second end) order by p.campaign_id) as gaps
    into pace
    from pace p join setting s on s.one left join campaign c on c.campaign_id = p.campaign_id where p.campaign_id = any (keys);
    lasts := pace.lasts;
    lines := pace.lines;
    t := engine_now();
    e := array_position(pace.keys, 0);
    for i in
        select x.ord::int, array_position(pace.keys, z.campaign_id) as own, least(z.not_after, z.deadline) as until
        from unnest(p_sessions, p_leases) with ordinality as x (session_id, lease_id, ord)
        join lease z on z.lease_id = x.lease_id and z.session_id = x.session_id
        join campaign c on c.campaign_id = z.campaign_id
        where z.begun_at is null and c.state = 2 and z.not_after > t and z.deadline > t
            and (c.breaker_open_since is null or c.breaker_open_since <= z.granted_at)
            and not exists (select from suppression n where n.number = z.number) and z.lease_id <> all (p_barred)
        order by x.ord
    loop
        own := i.own;
        turn_e := lasts[e] + pace.gaps[e];
        turn_own := lasts[own] + pace.gaps[own];
        turn := greatest(t, turn_e, turn_own);
        filled := coalesce(turn_e > t and turn_own > turn_e, false);
        if turn <= t + ahead and not filled then
            at[i.ord] := turn;
            if turn < i.until then
                -- Under a limit that was lifted meanwhile the turn is at once; one further ahead is still to come.
                if e is not null then lasts[e] := greatest(lasts[e], turn); end if;
                if own is not null then lasts[own] := greatest(lasts[own], turn); end if;
            end if;
        else
            own := case when turn_own >= coalesce(turn_e, turn_own) then own else e end;
            place := greatest(turn, lines[own]);
            lines[own] := least(place + pace.gaps[own], turn + interval '1 second');
            at[i.ord] := null;
            again[i.ord] := greatest(t + interval '10 milliseconds', least(place, turn + (0.5 + random() / 2) * interval '1 second')
                - case when filled then turn_e - t else ahead / 2 end);
        end if;
    end loop;
    update pace p set last_at = n.last_at, line_at = n.line_at
    from unnest(pace.keys, lasts, lines) as n (campaign_id, last_at, line_at)
    where p.campaign_id = n.campaign_id and (p.last_at, p.line_at) <> (n.last_at, n.line_at);
    update lease z set deadline = n.again + c.begin_within
    from unnest(p_leases, again) as n (lease_id, again), campaign c
    where n.again is not null and z.lease_id = n.lease_id and c.campaign_id = z.campaign_id
        and z.deadline < n.again + c.begin_within / 2;
end $$;

-- The permit. Verdicts: 1 permitted, now or before by the same nonce; 2 the lease is gone or another session's; 3 begun
-- by another nonce; 4 the campaign does not run; 5 suppressed; 6 the hours are over; 7 too late: its deadline passed; 8 wait for
-- a turn: the lease stays; 10 a number rule forbids it; 11 the circuit breaker opened since the grant. `begun_at` is the instant of
-- the permit; with 8 when to ask again, with 10 from when on the rules allow it. On record, and on disk, before the answer: commits
-- synchronously. 4 to 7, 10 and 11 leave the lease to the caller, who releases it.
-- Caller: the permit gatherer.
create function begin_calls(p_sessions uuid[], p_leases uuid[], p_nonces uuid[])
returns table (lease_ids uuid[], verdicts smallint[], begun_at timestamptz[], now timestamptz)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    t timestamptz;
    turns record;
    fresh uuid[];
    asked record;
    barred uuid[] := '{}';
begin
    -- Whose lease it is never changes: what is read here before the fence holds behind it.
    select array_agg(z.lease_id) as leases, array_agg(z.campaign_id) as campaigns, array_agg(z.number) as numbers, null::timestamptz[] as free
    into asked from lease z where z.lease_id = any (p_leases);
    perform fence_shared(asked.campaigns);
    t := engine_now();
    asked.free := number_free_at(asked.campaigns, asked.numbers, t);
    if asked.free is not null then
        barred := array(select i.l from unnest(asked.leases, asked.free) as i (l, f) where i.f is not null);
    end if;
    -- What the number rules allow now they allow at the turn, too: time only frees.
    select * into turns from take_turns(p_sessions, p_leases, barred, t);
    with in_campaign as materialized (
        select d.campaign_id, c.* from (select distinct i from unnest(asked.campaigns) as i) as d (campaign_id)
        cross join lateral (
            select c.state, c.max_duration, c.breaker_open_since from campaign c where c.campaign_id = d.campaign_id offset 0) as c
    ), found as materialized (
        select i.session_id, i.nonce, i.at, z.*
        from unnest(p_sessions, p_leases, p_nonces, turns.at) as i (session_id, lease_id, nonce, at)
        cross join lateral (select z.ctid as tid, z.campaign_id from lease z where z.lease_id = i.lease_id offset 0) as z
    ), b as (
        update lease z set begun_at = i.at, nonce = i.nonce, deadline = i.at + c.max_duration
        from found i join in_campaign c on c.campaign_id = i.campaign_id
        where z.ctid = i.tid and z.session_id = i.session_id and z.begun_at is null and z.not_after > i.at
            and z.deadline > i.at and c.state = 2 and (c.breaker_open_since is null or c.breaker_open_since <= z.granted_at)
            and (select true from suppression x where x.number = z.number) is null and z.lease_id <> all (barred)
        returning z.lease_id
    )
    select array_agg(b.lease_id) into fresh from b;
    if cardinality(fresh) = cardinality(p_leases) then
        return query select p_leases, array_fill(1::smallint, array[cardinality(p_leases)]), turns.at, engine_now();
        return;
    end if;
    if fresh is null then
        -- Nothing that a crash may not forget.
        perform set_config('synchronous_commit', 'off', true);
    end if;
    return query
    select array_agg(i.lease_id), array_agg(case
            when z.lease_id is null then 2
            when z.begun_at is not null and z.nonce = i.nonce then 1
            when z.begun_at is not null then 3
            when c.state <> 2 then 4
            when exists (select from suppression x where x.number = z.number) then 5
            when c.breaker_open_since > z.granted_at then 11
            when z.not_after <= coalesce(i.at, t) then 6
            when z.deadline <= coalesce(i.at, t) then 7
            when z.lease_id = any (barred) then 10
            -- No turn yet, or somebody wrote it meanwhile: to be asked again.
            else 8 end::smallint),
        array_agg(coalesce(z.begun_at, asked.free[array_position(asked.leases, i.lease_id)], i.again, t + interval '10 milliseconds')),
        engine_now()
    from unnest(p_sessions, p_leases, p_nonces, turns.at, turns.again) as i (session_id, lease_id, nonce, at, again)
    left join lateral (select z.* from lease z where z.lease_id = i.lease_id and z.session_id = i.session_id offset 0) as z on true
    left join lateral (select c.* from campaign c where c.campaign_id = z.campaign_id offset 0) as c on true;
end $$;

-- Ends leases with their outcomes, as the core decided them: per lease the state that follows, when it is due, the
-- promise (and the one that was said, for the record), the digest of the facts. A lead whose version or epoch is not the one the core saw is left alone, and so is a
-- DO_NOT_CALL whose number other leads have (that takes settle_do_not_call); the caller looks again. A retry
-- is filed even where no attempts are left: max_attempts may be raised until it is due, and else the refill drops it. Returns
-- what was settled.
-- Callers: the outcome gatherer, the sweeper (UNKNOWN).
create function settle_leases(p_campaigns int[], p_leases uuid[], p_versions int[], p_epochs int[], p_outcomes smallint[], p_states smallint[],
                              p_due timestamptz[], p_callbacks timestamptz[], p_said timestamptz[], p_streaks smallint[],
                              p_callback_counts smallint[], p_conversation_seqs int[], p_conversation_outcomes smallint[],
                              p_occurred timestamptz[], p_providers text[], p_talk_ms int[], p_ring_ms int[], p_notes text[],
                              p_metadata jsonb[], p_alone boolean, p_callback_latest timestamptz[], p_phrases text[])
returns table (lease_ids uuid[], session_ids uuid[], states smallint[])
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    t timestamptz;
    fact bigint;
    moves record;
begin
    perform fence_shared(p_campaigns);
    if p_alone and 4 = any (p_outcomes) then perform hold_intake(); end if;
    t := engine_now();
    fact := fact_no();
    with in_campaign as materialized (
        select d.campaign_id, g.epoch from (select distinct i from unnest(p_campaigns) as i) as d (campaign_id)
        cross join lateral (select g.epoch from gauge g where g.ctid = gauge_at(d.campaign_id) offset 0) as g
    ), found as materialized (
        select i.ord::int, i.epoch as current_epoch, i.outcome, z.tid as lease_tid, l.tid as lead_tid, l.blocked,
            l.blocked or i.outcome = 4 as blocked_after, l.attempts_total
        from unnest(p_campaigns, p_leases, p_versions, p_epochs, p_outcomes) with ordinality
            as i (campaign_id, lease_id, version, epoch, outcome, ord)
        join in_campaign c on c.campaign_id = i.campaign_id and c.epoch = i.epoch
        cross join lateral (
            select z.ctid as tid, z.campaign_id, z.lead_id, z.number from lease z where z.lease_id = i.lease_id offset 0) as z
        cross join lateral (
            select l.ctid as tid, l.version, l.blocked, l.attempts_total from lead l
            where l.campaign_id = z.campaign_id and l.lead_id = z.lead_id offset 0
        ) as l
        where l.version = i.version and (i.outcome <> 4 or not p_alone or (
            select true from lead o where o.number = z.number and o.campaign_id <> z.campaign_id limit 1) is null)
    ), gone as materialized (
        delete from lease z using found f where z.ctid = f.lease_tid
        returning f.ord, f.current_epoch, f.lead_tid, f.outcome, f.blocked, f.blocked_after, f.attempts_total,
            z.lease_id, z.lead_id, z.session_id, z.campaign_id, z.number, z.seq, z.epoch, z.granted_at, z.begun_at, z.attempts
    ), filed as materialized (
        select g.*, case when not g.blocked_after then p_due[g.ord] end as waits_until from gone g
    ), l as (
        update lead l set state = p_states[x.ord],
            attempts = case when x.epoch < x.current_epoch then 0 else x.attempts + (x.outcome <> 11)::int end,
            attempts_total = l.attempts_total + (x.outcome <> 11)::int, epoch = x.current_epoch,
            not_before = p_due[x.ord], callback_at = p_callbacks[x.ord],
            callback_latest = p_callback_latest[x.ord], last_outcome = x.outcome, streak = p_streaks[x.ord], callbacks = p_callback_counts[x.ord],
            conversation_seq = p_conversation_seqs[x.ord],
            conversation_outcome = p_conversation_outcomes[x.ord], seq = x.seq, last_attempt_at = coalesce(x.begun_at, t),
            rang_at = case when x.outcome <> 11 then coalesce(x.begun_at, x.granted_at) else l.rang_at end,
            returned_in_a_row = 0, version = l.version + 1, do_not_call = l.do_not_call or x.outcome = 4,
            blocked = x.blocked_after, updated_at = t
        from filed x where l.ctid = x.lead_tid returning 1
    ), d as (
        insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
        select x.campaign_id, case p_states[x.ord] when 8 then 0 else 1 end, x.waits_until, x.lead_id, x.current_epoch, p_states[x.ord],
            case when p_states[x.ord] = 8 then 2 when x.outcome = 12 then 7 when x.outcome = 11 then 3 else 1 end
        from filed x where x.waits_until is not null
        on conflict (campaign_id, lane, at, lead_id) do update
            set epoch = excluded.epoch, state = excluded.state, reason = excluded.reason
    ), n as (
        insert into suppression (number, reason, created_at)
        select x.number, 'DO_NOT_CALL', t from filed x where x.outcome = 4
        on conflict (number) do update set reason = excluded.reason, expires_at = null where suppression.expires_at is not null
    ), a as (
        insert into call_attempt (lease_id, lead_id, session_id, campaign_id, seq, attempt_number, granted_at, begun_at, ended_at,
            occurred_at, callback_at, talk_ms, ring_ms, outcome, counted, by_engine, dialer_id, provider_call_id, note, metadata, epoch,
            accepted_no, callback_phrase, callback_latest)
        select x.lease_id, x.lead_id, x.session_id, x.campaign_id, x.seq, x.attempts_total + 1, x.granted_at, x.begun_at, t,
            coalesce(p_occurred[x.ord], t), p_said[x.ord], p_talk_ms[x.ord], p_ring_ms[x.ord], x.outcome,
            x.outcome <> 11, x.outcome = 12, coalesce((select s.dialer_id from dialer_session s where s.session_id = x.session_id), ''), p_providers[x.ord], p_notes[x.ord], p_metadata[x.ord], x.epoch, fact,
            p_phrases[x.ord], case when p_said[x.ord] is not null then p_callback_latest[x.ord] end
        from filed x
    )
    select array_agg(x.lease_id) as leases, array_agg(x.session_id) as sessions, array_agg(x.campaign_id) as c,
        array_agg(p_states[x.ord]) as t, array_agg(x.blocked) as fb, array_agg(x.blocked_after) as tb,
        array_agg(x.waits_until) as at,
        array_agg((x.outcome <> 11)::int) as counted, array_agg(x.outcome) as outcomes, array_agg(x.begun_at) as begun, count(*)::int as n,
        (select count(*) from l) as leads
    into moves from filed x;
    -- Leads change under the exclusive fence alone, but for those that are queued.
    if moves.leads <> moves.n then raise exception 'a lead moved under its lease'; end if;
    if moves.n > 0 then
        perform lock_gauges(array[0] || moves.c);
        perform move_counts(array_agg(m.c) || 0, array_agg(3::smallint) || 3::smallint, array_agg(m.fb) || false, array_agg(m.t) || 0::smallint,
                            array_agg(m.tb) || false, array_agg(m.n) || moves.n, array_agg(m.counted), array_agg(m.promise), array_agg(m.waiting))
        from (
            select i.c, i.fb, i.t, i.tb, count(*)::int as n, sum(i.counted)::int as counted,
                min(i.at) filter (where i.t = 8) as promise, min(i.at) filter (where i.t <> 8) as waiting
            from unnest(moves.c, moves.fb, moves.t, moves.tb, moves.counted, moves.at) as i (c, fb, t, tb, counted, at) group by 1, 2, 3, 4
        ) as m;
        perform note_provider(moves.c, moves.outcomes, moves.begun);
    end if;
    return query select moves.leases, moves.sessions, moves.t;
end $$;

-- Takes back leases without a permit: their leads are in the queue again at once, after a number rule once it allows a call, in the state they were leased from,
-- and no attempt is counted. From the fifth time in a row on a lead backs off, but for a number rule, which says when. The ended lease leaves a row without
-- an outcome, by which a late report finds its lead. p_session null: whoever holds them.
-- Verdicts: 1 released, 2 begun, 3 not held. Callers: ReleaseLeases, the dispatcher, the sweeper, refused permits.
create function release_leases(p_leases uuid[], p_reasons smallint[], p_session uuid,
                               p_back_off_from int, p_back_off interval)
returns table (lease_id uuid, verdict smallint, session_id uuid)
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
    t timestamptz;
    asked record;
    free timestamptz[];
    moves record;
begin
    perform fence_shared(array(select distinct z.campaign_id from lease z where z.lease_id = any (p_leases)));
    t := engine_now();
    if 8 = any (p_reasons) then
        -- Asked again: a late report or other rules since the refusal had nobody to wake here.
        select array_agg(z.campaign_id order by i.ord) as campaigns, array_agg(z.number order by i.ord) as numbers into asked
        from unnest(p_leases) with ordinality as i (lease_id, ord)
        left join lateral (select z.campaign_id, z.number from lease z where z.lease_id = i.lease_id offset 0) as z on true;
        free := number_free_at(asked.campaigns, asked.numbers, t);
    end if;
    -- Locked first: a begin that is told to wait writes its lease, too, and what is found then is what is there.
    perform 1 from lease z where z.lease_id = any (p_leases) order by z.lease_id for update;
    with found as materialized (
        select case i.reason when 8 then i.free end as at, i.reason, z.tid from unnest(p_leases, p_reasons, free) as i (lease_id, reason, free)
        cross join lateral (select z.ctid as tid from lease z where z.lease_id = i.lease_id offset 0) as z
    ), gone as (
        delete from lease z using found i
        where z.ctid = i.tid and z.begun_at is null and (p_session is null or z.session_id = p_session)
        returning z.*, i.at, i.reason
    ), back as materialized (
        select x.*, l.tid, l.attempts_total, l.blocked,
            coalesce((select s.dialer_id from dialer_session s where s.session_id = x.session_id), '') as dialer_id,
            case when l.returned_in_a_row + 1 >= p_back_off_from and x.reason <> 8 then greatest(coalesce(x.at, t), t + p_back_off)
                else coalesce(x.at, t) end as due_at
        from gone x
        cross join lateral (
            select l.ctid as tid, l.attempts_total, l.blocked, l.returned_in_a_row from lead l
            where l.campaign_id = x.campaign_id and l.lead_id = x.lead_id offset 0
        ) as l
    ), l as (
        update lead l set state = x.state, attempts = x.attempts, epoch = x.epoch, not_before = x.due_at, seq = x.seq,
            streak = case when l.epoch < x.epoch then 0 else l.streak end,
            returned_in_a_row = l.returned_in_a_row + 1, version = l.version + 1, updated_at = t
        from back x where l.ctid = x.tid
    ), d as (
        insert into due (campaign_id, lane, at, lead_id, epoch, state, reason)
        select x.campaign_id, case x.state when 8 then 0 else 1 end, x.due_at, x.lead_id, x.epoch, x.state, x.reason from back x
        where not x.blocked
        on conflict (campaign_id, lane, at, lead_id) do update
            set epoch = excluded.epoch, state = excluded.state, reason = excluded.reason
    ), a as (
        insert into call_attempt (lease_id, lead_id, session_id, campaign_id, seq, attempt_number, granted_at, ended_at, dialer_id, epoch)
        select x.lease_id, x.lead_id, x.session_id, x.campaign_id, x.seq, x.attempts_total + 1, x.granted_at, t, x.dialer_id, x.epoch
        from back x
    )
    select array_agg(x.lease_id) as leases, array_agg(x.session_id) as sessions, array_agg(x.campaign_id) as c,
        array_agg(x.state) as t, array_agg(x.blocked) as b, array_agg(case x.state when 8 then 0 else 1 end::smallint) as lanes,
        array_agg(x.due_at) as at,
        array_agg(case when x.state = 8 or x.blocked then 0 else waiting_code(x.reason) end::smallint) as codes,
        count(*)::int as n
    into moves from back x;
    if moves.n > 0 then
        perform lock_gauges(array[0] || moves.c);
        perform move_leads(moves.c || array_fill(0, array[moves.n]) || moves.c,
                           array_fill(3::smallint, array[2 * moves.n]) || array_fill(0::smallint, array[moves.n]),
                           moves.b || array_fill(false, array[2 * moves.n]),
                           moves.t || array_fill(0::smallint, array[moves.n]) || moves.codes,
                           moves.b || array_fill(false, array[2 * moves.n]));
        perform lower_due_from(moves.c, moves.lanes, moves.at);
    end if;
    return query
    select i.l, case when x.l is not null then 1 when z.lease_id is not null then 2 else 3 end::smallint, coalesce(x.s, z.session_id)
    from unnest(p_leases) as i (l)
    left join unnest(moves.leases, moves.sessions) as x (l, s) on x.l = i.l
    left join lateral (
        select z.lease_id, z.session_id from lease z where z.lease_id = i.l and (p_session is null or z.session_id = p_session) offset 0
    ) as z on true;
end $$;

-- What the core decides by about live leases and their leads. Leases that are gone are left out.
-- Callers: the outcome gatherer, the sweeper, reopened sessions.
create function lease_contexts(p_leases uuid[])
returns table (lease_id uuid, lease_seq int, begun_at timestamptz, granted_at timestamptz, campaign_id int, lead_id uuid, version int,
               state smallint, seq int, last_outcome smallint, streak smallint, rang_at timestamptz, conversation_seq int,
               conversation_outcome smallint, callback_at timestamptz, callback_latest timestamptz, callbacks smallint, attempts smallint,
               epoch int)
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_mergejoin = off set enable_bitmapscan = off as $$
begin
    return query
    select z.lease_id, z.seq, z.begun_at, z.granted_at, z.campaign_id, z.lead_id, l.version, l.state, l.seq, l.last_outcome,
        case when l.epoch < g.epoch then 0 else l.streak end::smallint, l.rang_at, l.conversation_seq, l.conversation_outcome,
        l.callback_at, l.callback_latest, l.callbacks, l.attempts, g.epoch
    from unnest(p_leases) as i (lease_id)
    -- Lease by lease: tables that were empty when this was planned would be walked.
    cross join lateral (select x.* from lease x where x.lease_id = i.lease_id offset 0) as z
    cross join lateral (select x.* from lead x where x.campaign_id = z.campaign_id and x.lead_id = z.lead_id offset 0) as l
    cross join lateral (select x.epoch from gauge x where x.campaign_id = z.campaign_id offset 0) as g;
end $$;
