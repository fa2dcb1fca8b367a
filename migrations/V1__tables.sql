-- The data model "E1" (docs/DECISIONS.md says why): a lead's row is wide and cold and written once per life, at
-- settle; READY, DIALING_INTENT and waiting are places, that is rows in narrow tables, not columns.
--
-- Codes are those of the proto. Lead states: 1 ELIGIBLE, 2 READY, 3 DIALING_INTENT, 4 INTENT_YES, 5 INTENT_NO,
-- 6 INTENT_NO_ANSWER, 7 FAILED, 8 SCHEDULED, 9 CONSUMED. Campaign states: 1 DRAFT, 2 RUNNING, 3 PAUSED, 4 ARCHIVED.
-- Outcomes: 1 INTENT_YES .. 11 NOT_PLACED, 12 UNKNOWN.

-- The clock of everything that replicas compare. Tests replace it by one with an offset.
create function engine_now() returns timestamptz language sql volatile as 'select clock_timestamp()';

-- A binary older than this must not run on this schema.
create table schema_requirement (
    one        boolean primary key default true constraint schema_requirement_is_one_row check (one),
    min_binary int not null
);
insert into schema_requirement (min_binary) values (1);

-- Settings of the engine; the environment only fills an empty database.
create table setting (
    one                boolean primary key default true constraint setting_is_one_row check (one),
    max_concurrency    int not null constraint engine_cap_in_bounds check (max_concurrency between 0 and 1000000),
    tick_interval_ms   int not null,
    buffer_factor      int not null,
    batch_size         int not null,
    session_ttl_ms     int not null,
    receipt_within_ms  int not null,
    dial_within_ms     int not null,
    -- Permits per second of all campaigns; null: no limit.
    max_calls_per_second float8 constraint engine_call_rate_in_bounds check (max_calls_per_second between 0.01 and 10000),
    -- Read by the core alone; statements compare number_rule.
    number_rules       jsonb not null default '{}',
    etag               bigint not null default 1
);

create table campaign (
    campaign_id     int generated always as identity primary key,
    public_id       uuid not null constraint campaign_public_id_is_unique unique,
    name            text not null,
    state           smallint not null default 1 constraint campaign_state_is_known check (state between 1 and 4),
    state_since     timestamptz not null,
    -- Read by the core alone; what statements compare stands in columns of its own.
    rules           jsonb not null,
    rules_version   int not null default 1,
    max_attempts    smallint not null constraint max_attempts_in_bounds check (max_attempts between 1 and 100),
    -- By the code of an outcome: from how many in a row on it is not retried; null: no limit.
    retry_limits    smallint[] not null default '{}',
    max_concurrency int constraint campaign_cap_in_bounds check (max_concurrency between 0 and 1000000),
    max_calls_per_second float8 constraint campaign_call_rate_in_bounds check (max_calls_per_second between 0.01 and 10000),
    begin_within    interval not null,
    max_duration    interval not null,
    -- NOT_PLACED in a row after which the circuit breaker opens; 0: never.
    breaker_after   int not null constraint breaker_after_in_bounds check (breaker_after between 0 and 1000),
    breaker_probe_interval interval not null,
    -- Here, not in the gauge: permits read it, and it changes seldom. Changed under the gauge's lock.
    breaker_open_since timestamptz,
    next_probe_at   timestamptz,
    constraint an_open_breaker_is_probed check ((breaker_open_since is null) = (next_probe_at is null)),
    etag            bigint not null default 1,
    created_at      timestamptz not null,
    updated_at      timestamptz not null
);

-- Whether there is any, in one look.
create index campaign_with_a_call_rate on campaign (campaign_id) where max_calls_per_second is not null;

-- The turns of permits where calls per second are limited: one row per campaign, and row 0 for the engine. Not in the gauge:
-- a begin holds these through its flush, and grants and settles must not wait for that.
create table pace (
    campaign_id int primary key,
    -- The last turn that was given.
    last_at     timestamptz not null default '-infinity',
    -- The next place in the line of those who were told to wait: it only spreads them.
    line_at     timestamptz not null default '-infinity'
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
insert into pace (campaign_id) values (0);

-- What is counted: one row per campaign, and row 0 for the engine (of which only `dialing` is used). The checks
-- catch drift. `blocked_*` are the suppressed leads among those of a state: a reset never frees them.
create table gauge (
    campaign_id        int primary key,
    epoch              int not null default 0,
    eligible           int not null default 0 constraint eligible_not_negative check (eligible >= 0),
    ready              int not null default 0 constraint ready_not_negative check (ready >= 0),
    dialing            int not null default 0 constraint dialing_not_negative check (dialing >= 0),
    intent_yes         int not null default 0 constraint intent_yes_not_negative check (intent_yes >= 0),
    intent_no          int not null default 0 constraint intent_no_not_negative check (intent_no >= 0),
    no_answer          int not null default 0 constraint no_answer_not_negative check (no_answer >= 0),
    failed             int not null default 0 constraint failed_not_negative check (failed >= 0),
    scheduled          int not null default 0 constraint scheduled_not_negative check (scheduled >= 0),
    consumed           int not null default 0 constraint consumed_not_negative check (consumed >= 0),
    blocked_eligible   int not null default 0 constraint blocked_eligible_not_negative check (blocked_eligible >= 0),
    blocked_dialing    int not null default 0 constraint blocked_dialing_not_negative check (blocked_dialing >= 0),
    blocked_no_answer  int not null default 0 constraint blocked_no_answer_not_negative check (blocked_no_answer >= 0),
    blocked_failed     int not null default 0 constraint blocked_failed_not_negative check (blocked_failed >= 0),
    -- Suppressed leads in the states that no reset touches.
    blocked_other      int not null default 0 constraint blocked_other_not_negative check (blocked_other >= 0),
    -- Of this epoch's waiting leads: those outside their hours, those without a zone.
    waiting_hours      int not null default 0 constraint waiting_hours_not_negative check (waiting_hours >= 0),
    waiting_zone       int not null default 0 constraint waiting_zone_not_negative check (waiting_zone >= 0),
    attempts           bigint not null default 0,
    -- Permits in a row that were all NOT_PLACED, and when the first of them was given.
    not_placed_in_a_row int not null default 0,
    not_placed_since   timestamptz,
    -- The warm cursor: no ELIGIBLE lead lies before it in the order (rank, lead_id), but those that wait in `due`.
    cursor_rank        smallint not null default 0,
    cursor_lead        uuid not null default '00000000-0000-0000-0000-000000000000',
    -- Lower bounds of the due rows per lane, so that dead index entries at the head are not walked.
    promise_from       timestamptz not null default '-infinity',
    waiting_from       timestamptz not null default '-infinity'
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0);
insert into gauge (campaign_id) values (0);

-- Names of time zones, so that hot rows carry two bytes. 0 is "none of its own".
create table zone (
    zone_id smallint generated always as identity primary key,
    name    text not null constraint zone_name_is_unique unique
);

-- Vacuum as usual: every change is HOT, and a page is cleaned by whoever changes it next.
create table lead (
    campaign_id          int not null,
    lead_id              uuid not null,
    number               bigint not null,
    created_at           timestamptz not null,
    updated_at           timestamptz not null,
    -- The key of its due row, when it waits.
    not_before           timestamptz,
    -- The promise, until an attempt for it rang; infinity: held, nobody knows for when.
    callback_at          timestamptz,
    -- The end of the interval that was asked for, where one was.
    callback_latest      timestamptz,
    last_attempt_at      timestamptz,
    -- When the newest attempt that rang began: NOT_PLACED never did.
    rang_at              timestamptz,
    epoch                int not null default 0,
    -- Moves with every change that a settle must have seen.
    version              int not null default 0,
    -- Leases ended so far; orders the attempts.
    seq                  int not null default 0,
    attempts_total       int not null default 0,
    conversation_seq     int not null default 0,
    rank                 smallint not null constraint rank_is_999_minus_score check (rank between 1 and 999),
    state                smallint not null default 1 constraint places_are_not_columns check (state in (1, 4, 5, 6, 7, 8, 9)),
    zone_id              smallint not null default 0,
    -- Attempts of the lead's epoch.
    attempts             smallint not null default 0 constraint attempts_not_negative check (attempts >= 0),
    last_outcome         smallint,
    -- How often in a row last_outcome has come.
    streak               smallint not null default 0,
    conversation_outcome smallint,
    callbacks            smallint not null default 0,
    -- Leases in a row that came back without an attempt.
    returned_in_a_row    smallint not null default 0,
    do_not_call          boolean not null default false,
    -- The number is suppressed.
    blocked              boolean not null default false,
    external_id          text,
    variables            jsonb,
    constraint scheduled_leads_have_a_promise check (state <> 8 or callback_at is not null),
    constraint do_not_call_leads_are_blocked check (blocked or not do_not_call)
) with (fillfactor = 80);
-- Serves "one lead per number and campaign" and, led by the number, a suppression's search over all campaigns.
create unique index lead_number_is_unique_in_its_campaign on lead (number, campaign_id);
create unique index lead_external_id_is_unique_in_its_campaign on lead (external_id, campaign_id) where external_id is not null;
create index lead_in_order on lead (campaign_id, rank, lead_id);
-- The key comes last: while the list is empty both indexes look alike to the planner, it takes the newer one, and pinned plans stay.
alter table lead add primary key (campaign_id, lead_id);

-- READY: the queue's small buffer. `state` is the one to go back to, `owner` the replica whose memory orders it.
create table ready_lead (
    campaign_id int not null,
    lead_id     uuid not null,
    owner       int not null,
    epoch       int not null,
    state       smallint not null constraint ready_leads_come_from_a_waiting_state check (state in (1, 6, 7)),
    primary key (campaign_id, lead_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- Waiting leads by instant. Lane 0: promises; they belong to no buffer. Lane 1: the rest.
-- Reasons are WaitingReason of the proto, where 8 is a number rule; 7 is a retry after UNKNOWN, whose delay outlives a reset.
create table due (
    campaign_id int not null,
    lane        smallint not null,
    at          timestamptz not null,
    lead_id     uuid not null,
    epoch       int not null,
    state       smallint not null constraint due_leads_wait check (state in (1, 6, 7, 8)),
    reason      smallint not null,
    primary key (campaign_id, lane, at, lead_id),
    constraint promises_have_a_lane_of_their_own check ((lane = 0) = (state = 8))
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- An engine replica; it alone hands leases to the sessions on it. Expired: others take over what it had.
create table replica (
    replica_id int generated always as identity primary key,
    started_at timestamptz not null,
    expires_at timestamptz not null,
    -- What it holds and wants, one place per campaign, told each second while there are others: leases; whether it has
    -- work and dialers for it; whether only the engine's cap keeps it from leasing; due promises among what waits.
    told_at    timestamptz not null default '-infinity',
    campaigns  int[] not null default '{}',
    held       int[] not null default '{}',
    working    boolean[] not null default '{}',
    starved    boolean[] not null default '{}',
    promised   int[] not null default '{}'
) with (fillfactor = 50);

create table dialer_session (
    session_id uuid primary key,
    dialer_id  text not null,
    replica_id int not null,
    slots      int not null,
    -- Counts its streams: of two, the later one has the session.
    stream     int not null default 0,
    opened_at  timestamptz not null,
    -- Kept for a while after its end: leases and attempts name it.
    closed_at  timestamptz
);

-- DIALING_INTENT: a live lease. The unique number makes it the only one of its number, and, since a lead's number
-- is unique in its campaign and never changes, of its lead. With `begun_at` it is the record before the ring.
-- Half empty pages keep the permit, which writes it once, HOT.
create table lease (
    lease_id    uuid primary key,
    lead_id     uuid not null,
    session_id  uuid not null,
    nonce       uuid,
    number      bigint not null constraint at_most_one_live_lease_per_number unique,
    granted_at  timestamptz not null,
    not_after   timestamptz not null,
    deadline    timestamptz not null,
    begun_at    timestamptz,
    campaign_id int not null,
    epoch       int not null,
    seq         int not null,
    attempts    smallint not null,
    -- The state that a release goes back to.
    state       smallint not null constraint leased_leads_come_from_a_waiting_state check (state in (1, 6, 7, 8)),
    constraint begun_leases_have_a_nonce check ((begun_at is null) = (nonce is null))
) with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);

-- Where the numbers of facts come from: the ids of the transactions that accept them, moved up by `base` so that they only rise.
-- A database that was restored elsewhere, or a standby that took over, begins a new numbering above all facts it has: so a
-- reader's cursor is good wherever the facts are that it has passed. See open_numbering.
create table fact_numbering (
    numbering_id uuid primary key default gen_random_uuid(),
    -- Cluster, database and timeline.
    origin       text not null,
    base         bigint not null,
    first_no     bigint not null constraint numberings_do_not_overlap unique
);
insert into fact_numbering (origin, base, first_no) values ('', 0, 0);

-- Ended leases; those with an outcome are the attempts. Without one: it came back without an attempt, and the row
-- is there so that a late report finds its lead. Ids are UUIDv7, so ranges of ids are ranges of time.
create table call_attempt (
    lease_id         uuid not null,
    lead_id          uuid not null,
    session_id       uuid not null,
    campaign_id      int not null,
    seq              int not null,
    attempt_number   int not null,
    granted_at       timestamptz not null,
    begun_at         timestamptz,
    ended_at         timestamptz not null,
    occurred_at      timestamptz,
    callback_at      timestamptz,
    talk_ms          int,
    ring_ms          int,
    outcome          smallint,
    -- The generation that the lease belonged to.
    epoch            int not null,
    counted          boolean not null default false,
    by_engine        boolean not null default false,
    dialer_id        text not null default '',
    provider_call_id text,
    note             text,
    metadata         jsonb,
    -- The number of its outcome, while no other report has come.
    accepted_no      bigint,
    -- In what words the callback was asked for, and the end of the interval that they name.
    callback_phrase  text,
    callback_latest  timestamptz,
    primary key (lease_id)
) partition by range (lease_id);
create table call_attempt_default partition of call_attempt default;
create index call_attempt_by_lead on call_attempt (campaign_id, lead_id, lease_id);
create index call_attempt_by_provider on call_attempt (provider_call_id) where provider_call_id is not null;
-- Serves StreamOutcomes; grows at its end alone.
create index call_attempt_in_order on call_attempt (accepted_no, lease_id) where accepted_no is not null;

-- Reports of an attempt once there are several, all of them, as they were told, with their verdicts and their numbers.
create table attempt_report (
    report_id   bigint generated always as identity primary key,
    lease_id    uuid not null,
    -- 0, 1, ...: counts those of the attempt.
    nth         int not null,
    received_at timestamptz not null,
    outcome     smallint not null,
    verdict     smallint not null,
    callback_at timestamptz,
    accepted_no bigint not null,
    occurred_at timestamptz,
    talk_ms     int,
    ring_ms     int,
    provider_call_id text,
    note        text,
    metadata    jsonb,
    callback_phrase text
);
create index attempt_report_by_lease on attempt_report (lease_id, report_id);
create index attempt_report_in_order on attempt_report (accepted_no, lease_id, nth);

-- Numbers that nobody may call, until their row is deleted: by hand, or by the engine once expires_at has passed. No clock
-- frees a number by itself.
create table suppression (
    number     bigint primary key,
    reason     text not null,
    created_at timestamptz not null,
    -- Null: for good.
    expires_at timestamptz
);
create index suppression_by_expiry on suppression (expires_at, number) where expires_at is not null;

-- No rows, ever: its lock is the gate between leads that come and suppressions that come or go (hold_suppressions,
-- hold_intake).
create table intake_gate (one boolean primary key);

-- Number rules as statements compare them; campaign 0: the engine's, for all. Of the calls of a number, over all campaigns,
-- those with one of `outcomes` (null: all that rang) may be `at_most` within any span of this length.
create table number_rule (
    campaign_id int not null,
    ord         smallint not null,
    outcomes    smallint[],
    at_most     smallint not null constraint a_number_rule_allows_some_calls check (at_most between 1 and 100),
    lasts       interval not null constraint a_number_rule_lasts_for_a_while check (lasts > interval '0'),
    primary key (campaign_id, ord)
);

create table import (
    import_id   uuid primary key,
    campaign_id int not null,
    through_seq bigint not null,
    updated_at  timestamptz not null
);

-- Answers of mutations, so that a repeated request_id is answered alike.
create table request (
    request_id  uuid primary key,
    method      text not null,
    fingerprint bytea not null,
    response    bytea,
    created_at  timestamptz not null
);
create index request_by_age on request (created_at);

-- Changes by people: who, what, when. Written in the transaction of the change and never changed.
create table audit_event (
    event_id    bigint generated always as identity primary key,
    at          timestamptz not null,
    actor       text not null,
    method      text not null,
    request_id  uuid,
    campaign_id int,
    lead_id     uuid,
    numbers     bigint[] not null default '{}',
    details     jsonb not null
);
create index audit_event_by_campaign on audit_event (campaign_id, event_id);
create index audit_event_by_lead on audit_event (lead_id, event_id) where lead_id is not null;
create index audit_event_by_number on audit_event using gin (numbers);
