-- What every function of the queue shares: the fence, the gauges, the reset's view of a state, places.

-- The fence of a campaign is a readers-writer lock that lasts to the end of the transaction. The hot functions
-- (refill, grant, begin, settle, release, park, import) hold it shared. Whatever takes rights away or rewrites leads
-- (pause, reset, suppress, rules, changes by hand, late facts) holds it exclusively: when that transaction is
-- answered, no permit that had not seen it can follow. Taken before any row lock, in id order.
create function fence_shared(p_campaigns int[]) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared(7401, c) from (select distinct unnest(p_campaigns) as c order by 1) as f;
end $$;

create function fence_exclusive(p_campaigns int[]) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(7401, c) from (select distinct unnest(p_campaigns) as c order by 1) as f;
end $$;

-- The one place that knows what a reset means for a lead's state: of an older epoch, who was not reached is
-- ELIGIBLE again, but nobody who is suppressed.
create function effective_state(p_state smallint, p_epoch int, p_current int, p_blocked boolean) returns smallint
language sql immutable as $$
    select case when p_state in (6, 7) and p_epoch < p_current and not p_blocked then 1::smallint else p_state end
$$;

-- ... and for its attempts.
create function effective_attempts(p_attempts smallint, p_epoch int, p_current int) returns smallint
language sql immutable as $$
    select case when p_epoch < p_current then 0::smallint else p_attempts end
$$;

-- A lead that comes and a suppression that comes or goes do not see each other before they commit. So there is a gate that
-- lets either kind pass together, and never both. Taken after the fences and before all else, to the end of the transaction.
-- For whoever adds leads: from its look at the suppressions on there are no others.
create function hold_suppressions() returns void language plpgsql as $$
begin
    lock table intake_gate in share mode;
end $$;

-- For whoever adds or lifts suppressions: from its look at the leads on there are no others.
create function hold_intake() returns void language plpgsql as $$
begin
    lock table intake_gate in row exclusive mode;
end $$;

-- One search of a campaign's queue at a time, and no list that grows behind the cursor meanwhile: gauges are locked when it is done.
-- Taken before them, to the end of the transaction. Callers: refill, close_intake, park_leads.
create function hold_queue(p_campaign int) returns void language plpgsql as $$
begin
    perform pg_advisory_xact_lock(7404, p_campaign);
end $$;

-- Whether a lead that was not reached is not retried before a reset, whatever attempts are left: INVALID_NUMBER; NOT_PLACED too
-- often (else such leads are ELIGIBLE); an outcome that came in a row as often as its limit says.
create function retry_is_over(p_outcome smallint, p_streak smallint, p_limits smallint[]) returns boolean
language sql immutable as $$
    select coalesce(p_outcome in (10, 11) or p_streak >= p_limits[p_outcome], false)
$$;

-- Where the version of a gauge is that this statement sees. A gauge is written for every batch; while somebody holds an old snapshot no
-- version of it can be swept away, and a lookup by key would walk all of them, oldest first. So the index is read backwards, for which
-- a range says what an equation would: by that the order would be thought to be none.
create function gauge_at(p_campaign int) returns tid
language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    return (select g.ctid from gauge g where g.campaign_id between p_campaign and p_campaign order by g.campaign_id desc limit 1);
end $$;

-- Locks gauges in id order; the engine's row 0 comes first when it is asked for.
create function lock_gauges(p_campaigns int[]) returns void
language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    c int;
begin
    for c in select distinct i from unnest(p_campaigns) as i order by i loop
        perform 1 from gauge g where g.campaign_id between c and c order by g.campaign_id desc limit 1 for update;
    end loop;
end $$;

-- Moves leads between the counts of their campaigns: n leads from one state to another. 0 is outside; besides states
-- there are 20, waiting for hours, and 21, waiting for a zone. With them, per item: attempts that they made, and bounds under which no
-- due row of them lies. The caller has locked the gauges.
create function move_counts(p_campaigns int[], p_from smallint[], p_from_blocked boolean[], p_to smallint[],
                            p_to_blocked boolean[], p_n int[], p_attempts int[] default null, p_promises timestamptz[] default null,
                            p_waiting timestamptz[] default null) returns void language plpgsql as $$
begin
    update gauge g set
        eligible = g.eligible + d.s1, ready = g.ready + d.s2, dialing = g.dialing + d.s3,
        intent_yes = g.intent_yes + d.s4, intent_no = g.intent_no + d.s5, no_answer = g.no_answer + d.s6,
        failed = g.failed + d.s7, scheduled = g.scheduled + d.s8, consumed = g.consumed + d.s9,
        blocked_eligible = g.blocked_eligible + d.b1, blocked_dialing = g.blocked_dialing + d.b3,
        blocked_no_answer = g.blocked_no_answer + d.b6, blocked_failed = g.blocked_failed + d.b7,
        blocked_other = g.blocked_other + d.b_other,
        waiting_hours = g.waiting_hours + d.hours, waiting_zone = g.waiting_zone + d.zone,
        attempts = g.attempts + d.attempts, promise_from = least(g.promise_from, d.promise), waiting_from = least(g.waiting_from, d.waiting)
    from (
        select c,
            coalesce(sum(n) filter (where s = 1), 0) as s1, coalesce(sum(n) filter (where s = 2), 0) as s2,
            coalesce(sum(n) filter (where s = 3), 0) as s3, coalesce(sum(n) filter (where s = 4), 0) as s4,
            coalesce(sum(n) filter (where s = 5), 0) as s5, coalesce(sum(n) filter (where s = 6), 0) as s6,
            coalesce(sum(n) filter (where s = 7), 0) as s7, coalesce(sum(n) filter (where s = 8), 0) as s8,
            coalesce(sum(n) filter (where s = 9), 0) as s9,
            coalesce(sum(n) filter (where b and s = 1), 0) as b1, coalesce(sum(n) filter (where b and s = 3), 0) as b3,
            coalesce(sum(n) filter (where b and s = 6), 0) as b6, coalesce(sum(n) filter (where b and s = 7), 0) as b7,
            coalesce(sum(n) filter (where b and s in (4, 5, 8, 9)), 0) as b_other,
            coalesce(sum(n) filter (where s = 20), 0) as hours, coalesce(sum(n) filter (where s = 21), 0) as zone,
            coalesce(sum(attempts), 0) as attempts, min(promise) as promise, min(waiting) as waiting
        from (
            select i.c, i.f as s, i.fb as b, -i.n as n, null::int as attempts, null::timestamptz as promise, null::timestamptz as waiting
            from unnest(p_campaigns, p_from, p_from_blocked, p_n) as i (c, f, fb, n)
            union all
            select i.c, i.t, i.tb, i.n, i.attempts, i.promise, i.waiting
            from unnest(p_campaigns, p_to, p_to_blocked, p_n, p_attempts, p_promises, p_waiting)
                as i (c, t, tb, n, attempts, promise, waiting)
        ) as m group by c
    ) as d
    where g.ctid = gauge_at(d.c);
end $$;

-- The same for a batch in which every lead is a row; groups it first, since its kinds are few.
create function move_leads(p_campaigns int[], p_from smallint[], p_from_blocked boolean[], p_to smallint[],
                           p_to_blocked boolean[]) returns void language plpgsql as $$
begin
    perform move_counts(array_agg(c), array_agg(f), array_agg(fb), array_agg(t), array_agg(tb), array_agg(n))
    from (
        select i.c, i.f, i.fb, i.t, i.tb, count(*)::int as n
        from unnest(p_campaigns, p_from, p_from_blocked, p_to, p_to_blocked) as i (c, f, fb, t, tb)
        group by 1, 2, 3, 4, 5
    ) as m
    having count(*) > 0;
end $$;

-- Opens and closes circuit breakers by how many permits in a row were NOT_PLACED. The caller has locked the gauges, or holds the
-- fence exclusively. Callers: note_provider, changed rules.
create function set_breakers(p_campaigns int[]) returns void language plpgsql as $$
begin
    -- By the clock after the lock: what was granted before is older than the breaker.
    update campaign c set breaker_open_since = case when b.open then b.now end,
        next_probe_at = case when b.open then b.now + c.breaker_probe_interval end
    from (
        select x.campaign_id, x.breaker_after > 0 and g.not_placed_in_a_row >= x.breaker_after as open, engine_now() as now
        from campaign x join gauge g on g.campaign_id = x.campaign_id where x.campaign_id = any (p_campaigns)
    ) as b
    where c.campaign_id = b.campaign_id and b.open <> (c.breaker_open_since is not null);
end $$;

-- What outcomes say about the provider. A call that was placed ends the row of NOT_PLACED if its permit was not given before that
-- row's first one: a long call of before proves nothing. Reports without a permit and UNKNOWN say nothing. The caller has locked the
-- gauges, or holds the fence exclusively. Callers: settle, late facts.
create function note_provider(p_campaigns int[], p_outcomes smallint[], p_begun timestamptz[]) returns void language plpgsql as $$
begin
    with told as (
        select i.c, count(*) filter (where i.o = 11)::int as refused, min(i.b) filter (where i.o = 11) as refused_from,
            max(i.b) filter (where i.o <> 11) as placed_at
        from unnest(p_campaigns, p_outcomes, p_begun) as i (c, o, b)
        where i.b is not null and i.o <> 12 group by i.c
    ), judged as (
        select g.ctid as tid, t.refused, coalesce(g.not_placed_since, t.refused_from) as since,
            coalesce(t.placed_at >= coalesce(g.not_placed_since, t.refused_from), false) as placed
        from told t join gauge g on g.ctid = gauge_at(t.c)
    )
    update gauge g set not_placed_in_a_row = case when j.placed then 0 else g.not_placed_in_a_row + j.refused end,
        not_placed_since = case when not j.placed then j.since end
    -- Nothing is written while calls are placed and none was refused: that is every settle but few.
    from judged j where g.ctid = j.tid and case when j.placed then g.not_placed_in_a_row > 0 else j.refused > 0 end;
    if found then
        perform set_breakers(p_campaigns);
    end if;
end $$;

-- Counts a due row's reason: 20 and 21 as in move_counts, else 0.
create function waiting_code(p_reason smallint) returns smallint language sql immutable as $$
    select case p_reason when 4 then 20::smallint when 5 then 21::smallint else 0::smallint end
$$;

-- The number of a fact that is accepted now. Readers take a fact when no transaction of a lower number can commit any more:
-- the order of numbers is final then, whatever the order of commits. Callers: whatever writes outcomes.
create function fact_no() returns bigint language plpgsql volatile as $$
begin
    return (select n.base + pg_current_xact_id()::text::bigint from fact_numbering n order by n.first_no desc limit 1);
end $$;

-- Facts below this number are all that there are: those of them that were accepted can be seen.
create function facts_until() returns bigint language sql stable as $$
    select n.base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint from fact_numbering n order by n.first_no desc limit 1
$$;

-- Begins a new numbering where the transaction ids are not those of the last one: after a restore elsewhere, an upgrade by
-- pg_upgrade, a failover. Caller: a replica that joins.
create function open_numbering() returns void language plpgsql as $$
declare
    here text := (select format('%s/%s/%s', s.system_identifier, d.oid, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))
                  from pg_control_system() s, pg_database d where d.datname = current_database());
    last fact_numbering;
    top bigint;
    xid bigint;
begin
    select n.* into last from fact_numbering n order by n.first_no desc limit 1;
    if last.origin = here then return; end if;
    -- Whoever numbers by the last one has committed then.
    lock table fact_numbering in access exclusive mode;
    select n.* into last from fact_numbering n order by n.first_no desc limit 1;
    if last.origin = here then return; end if;
    top := greatest(last.first_no, (select max(a.accepted_no) from call_attempt a where a.accepted_no is not null),
                    (select max(r.accepted_no) from attempt_report r));
    xid := pg_current_xact_id()::text::bigint;
    insert into fact_numbering (origin, base, first_no)
    values (here, greatest(last.base, top + 1 - xid), greatest(last.base + xid, top + 1));
end $$;
