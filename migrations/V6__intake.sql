-- Intake of leads.

-- Inserts leads; rows whose number or external_id the campaign has already are left out. Numbers that are suppressed come
-- in blocked: they are looked for last, so that changes of suppressions wait only from then to the commit. The cursor goes back to the first of them, if it had passed. Returns the leads that are new.
-- Callers: CreateLeads, ImportLeads.
create function insert_leads(p_campaign int, p_leads uuid[], p_numbers bigint[], p_ranks smallint[], p_zones smallint[],
                             p_external_ids text[], p_variables jsonb[])
returns setof uuid language plpgsql as $$
declare
    t timestamptz;
    ep int;
    added uuid[];
    blocked int;
    first_rank smallint;
begin
    perform fence_shared(array[p_campaign]);
    t := engine_now();
    select g.epoch into ep from gauge g where g.campaign_id = p_campaign;
    with i as (
        insert into lead (campaign_id, lead_id, number, rank, zone_id, external_id, variables, blocked, epoch, created_at, updated_at)
        select p_campaign, i.lead_id, i.number, i.rank, i.zone_id, i.external_id, i.variables,
            false, ep, t, t
        from unnest(p_leads, p_numbers, p_ranks, p_zones, p_external_ids, p_variables)
            as i (lead_id, number, rank, zone_id, external_id, variables)
        on conflict do nothing
        returning lead.lead_id, lead.rank
    )
    select array_agg(i.lead_id order by i.rank, i.lead_id), min(i.rank) into added, first_rank from i;
    if added is null then return; end if;
    perform hold_suppressions();
    update lead l set blocked = true where l.campaign_id = p_campaign and l.lead_id = any (array(
        select i.lead_id from unnest(p_leads, p_numbers) as i (lead_id, number) join suppression s on s.number = i.number));
    get diagnostics blocked = row_count;
    perform lock_gauges(array[p_campaign]);
    update gauge g set eligible = g.eligible + cardinality(added), blocked_eligible = g.blocked_eligible + blocked,
        cursor_lead = case when (first_rank, added[1]) < (g.cursor_rank, g.cursor_lead) then added[1] else g.cursor_lead end,
        cursor_rank = case when (first_rank, added[1]) < (g.cursor_rank, g.cursor_lead) then first_rank else g.cursor_rank end
    where g.campaign_id = p_campaign;
    return query select unnest(added);
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
