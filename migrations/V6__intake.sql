-- Intake of leads.

-- Leads come in by open_intake, COPY of those that are new, close_intake, all in one transaction.
--
-- open_intake holds the fence and answers what the rows carry, and which of these numbers and external_ids the campaign has
-- already. Two intakes that bring the same lead at once do not see each other: the later one violates a unique index and is
-- run again. (INSERT with ON CONFLICT DO NOTHING would spare that, and costs as much again as all the rest.)
-- One plan, whatever the planner believes of the list: `campaign_id + 0` leaves it the indexes led by what is asked for. What it
-- knows of a campaign that is being filled is old, and it would read all of it for each chunk.
-- Callers: CreateLeads, ImportLeads.
create function open_intake(p_campaign int, p_numbers bigint[], p_external_ids text[], out created_at timestamptz,
                            out epoch int, out numbers bigint[], out external_ids text[]) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
begin
    perform fence_shared(array[p_campaign]);
    created_at := engine_now();
    epoch := (select g.epoch from gauge g where g.campaign_id = p_campaign);
    numbers := array(select l.number from lead l where l.number = any (p_numbers) and l.campaign_id + 0 = p_campaign);
    external_ids := array(
        select l.external_id from lead l where l.external_id = any (p_external_ids) and l.campaign_id + 0 = p_campaign);
end $$;

-- Counts leads that have just come in, by their numbers; p_rank, p_lead: the first of them, to which the cursor goes back if it
-- had passed. Those whose number is suppressed become blocked: they are looked for last, so that changes of suppressions
-- wait only from then to the commit.
create function close_intake(p_campaign int, p_numbers bigint[], p_rank smallint, p_lead uuid) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
    suppressed bigint[];
begin
    perform hold_suppressions();
    suppressed := array(select s.number from suppression s where s.number = any (p_numbers));
    if cardinality(suppressed) > 0 then
        update lead l set blocked = true where l.number = any (suppressed) and l.campaign_id + 0 = p_campaign;
    end if;
    perform hold_queue(p_campaign);
    perform lock_gauges(array[p_campaign]);
    update gauge g set eligible = g.eligible + cardinality(p_numbers),
        blocked_eligible = g.blocked_eligible + cardinality(suppressed),
        cursor_lead = case when (p_rank, p_lead) < (g.cursor_rank, g.cursor_lead) then p_lead else g.cursor_lead end,
        cursor_rank = case when (p_rank, p_lead) < (g.cursor_rank, g.cursor_lead) then p_rank else g.cursor_rank end
    where g.campaign_id = p_campaign;
end $$;

-- Numbers for names of zones; names that are new get one. One transaction at a time gives new ones, so that they appear in
-- their order: whoever knows the highest knows them all (DP003).
create function zone_ids(p_names text[]) returns table (zone_id smallint, name text) language plpgsql as $$
#variable_conflict use_column
begin
    if exists (select from unnest(p_names) as n where not exists (select from zone z where z.name = n)) then
        perform pg_advisory_xact_lock(7403);
        insert into zone (name) select distinct n from unnest(p_names) as n
        where not exists (select from zone z where z.name = n) order by n;
    end if;
    return query select z.zone_id, z.name from zone z where z.name = any (p_names);
end $$;

-- The smallest UUIDv7 of an instant.
create function uuid_floor(p_at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from p_at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

-- Partitions of attempts: one for the month of p_now and one for the next. Retention is DROP of an old one.
create function extend_call_attempt(p_now timestamptz) returns void language plpgsql as $$
declare
    first timestamptz;
    name text;
begin
    perform pg_advisory_xact_lock(7402);
    for i in 0..1 loop
        first := date_trunc('month', p_now at time zone 'UTC') at time zone 'UTC' + make_interval(months => i);
        name := 'call_attempt_' || to_char(first at time zone 'UTC', 'YYYY_MM');
        if to_regclass(name) is null and not exists (
            select from call_attempt_default d
            where d.lease_id >= uuid_floor(first) and d.lease_id < uuid_floor(first + interval '1 month')) then
            execute format('create table %I partition of call_attempt for values from (%L) to (%L)', name, uuid_floor(first),
                           uuid_floor((date_trunc('month', first at time zone 'UTC') + interval '1 month') at time zone 'UTC'));
        end if;
    end loop;
end $$;
