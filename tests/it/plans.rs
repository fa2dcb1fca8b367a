//! Plans of hot statements are pinned, or made once per connection, at a moment that nobody chooses: before the first lead is
//! there, or while the buffer happens to be empty. Whatever was known then, a batch costs no more on a long list with full
//! tables than on a short one. Counted in buffers and rows, not timed.

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::{
    domain::{
        campaign::{CampaignRules, CampaignState},
        ids::{CampaignKey, LeadId, LeaseId, ReplicaId, SessionId, next_id},
        lead::{Facts, LeadState},
        number_rules::{NumberRules, RollingCap},
        outcome::Outcome,
        phone_number::PhoneNumber,
    },
    store::{
        Store, StoreError,
        campaigns::{self, By},
        intake::{self, NewLead},
        leases::{GrantItem, GrantVerdict, ReportDetails, Settlement},
        permits::{BeginItem, BeginVerdict},
        queue::{Parked, QueuedLead, Slot, Windows, waiting},
    },
};
use uuid::Uuid;

use crate::support::{ask, database::Database, settings};

const BATCH: usize = 100;
const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// Deeper indexes, pages that others share.
const GROWTH_MAX: i64 = 2;
const SLACK: i64 = 300;

/// When a connection makes its plans.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Planned {
    /// Before the first row, and nobody has told the planner.
    BeforeAll,
    /// When the planner has seen that there is nothing.
    WhenEmpty,
    /// The list is there, and the planner has seen the pages that READY leads, leases and waiting leads left behind: no rows per page.
    WhenDrained,
    /// With all rows there, and seen.
    WhenFull,
}

/// How much is there: leads, and of them how many are READY, leased, waiting and promised, each.
#[derive(Clone, Copy)]
struct Size {
    leads: i32,
    others: i32,
}

const SHORT: Size = Size { leads: 2_000, others: 200 };
const LONG: Size = Size { leads: 20_000, others: 4_000 };

/// What a statement looked at in a table or an index.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    /// Pages.
    blocks: i64,
    /// Rows or entries, those included that did not fit.
    rows: i64,
}

impl Work {
    fn is_much_more_than(self, other: Work) -> bool {
        let much = |mine: i64, others: i64| mine > GROWTH_MAX * others + SLACK;
        much(self.blocks, other.blocks) || much(self.rows, other.rows)
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks, {} rows", self.blocks, self.rows)
    }
}

/// By table or index.
type Looked = BTreeMap<String, Work>;
/// By what was done.
type Costs = BTreeMap<&'static str, Looked>;
/// Or why it could not be done, in time.
type Done<T> = Result<T, String>;

/// Counters of the running transaction, and of what its connection has not handed in yet.
const WORK: &str = "select c.relname::text, pg_stat_get_xact_blocks_fetched(c.oid), \
     pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid) \
     from pg_class c where c.relkind in ('r', 'i') and c.relnamespace = 'public'::regnamespace";

struct Scene {
    database: Database,
    /// With one connection, whose plans are looked at.
    store: Store,
    campaign: CampaignKey,
    replica: ReplicaId,
    session: SessionId,
    now: DateTime<Utc>,
    planned: Planned,
    costs: Costs,
}

impl Scene {
    async fn open(planned: Planned) -> Scene {
        let database = Database::create().await;
        // On a slow machine it would come along and put the statistics right.
        let off = "select extend_call_attempt(engine_now()); \
            do $$ declare t text; begin for t in select c.oid::regclass::text from pg_class c \
            where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and c.relname <> 'test_clock' \
            loop execute format('alter table %s set (autovacuum_enabled = off)', t); end loop; end $$";
        database.sql.batch_execute(off).await.unwrap();
        let store = Store::new(&database.url, 1).unwrap();
        let mut of_engine = settings();
        of_engine.max_concurrency = 1_000_000;
        store.fill_settings(&of_engine).await.unwrap();
        let replica = store.join_replica(DAY).await.unwrap();
        let session = Uuid::new_v4();
        let open = "insert into dialer_session (session_id, dialer_id, replica_id, slots, opened_at) \
                    values ($1, 'dialer', $2, 500, engine_now())";
        database.sql.execute(open, &[&session, &replica]).await.unwrap();
        let caps = vec![RollingCap { max_calls: 100, period: DAY }];
        let number_rules = NumberRules { caps, ..NumberRules::default() };
        let zone = Some("Etc/UTC".into());
        let rules = CampaignRules { default_time_zone: zone, number_rules, ..CampaignRules::default() };
        let campaign = {
            let db = store.client().await.unwrap();
            let key = campaigns::insert(&db, next_id(), "plans", &rules).await.unwrap().key;
            campaigns::set_state(&db, key, CampaignState::Running).await.unwrap();
            key
        };
        store.client().await.unwrap().batch_execute("set statement_timeout = '20s'").await.unwrap();
        let (now, _) = store.now().await.unwrap();
        Scene { database, store, campaign, replica, session, now, planned, costs: Costs::new() }
    }

    async fn looked(&self) -> Looked {
        let rows = self.store.client().await.unwrap().query(WORK, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), Work { blocks: row.get(1), rows: row.get(2) })).collect()
    }

    /// Runs a statement of the store; the last time that it was run counts.
    async fn cost<T>(&mut self, name: &'static str, run: impl AsyncFnOnce(&Scene) -> Result<T, StoreError>) -> Done<T> {
        self.store.client().await.unwrap().batch_execute("begin").await.unwrap();
        let before = self.looked().await;
        let done = run(self).await.map_err(|error| format!("{name}, planned {:?}: {error}", self.planned))?;
        let mut looked = self.looked().await;
        self.store.client().await.unwrap().batch_execute("commit").await.unwrap();
        for (relation, before) in before {
            let work = looked.entry(relation).or_default();
            *work = Work { blocks: work.blocks - before.blocks, rows: work.rows - before.rows };
        }
        self.costs.insert(name, looked);
        Ok(done)
    }

    /// Leads, all called before.
    async fn fill_list(&self, size: Size) {
        let (campaign, session, leads) = (self.campaign, self.session, size.leads);
        let fill = format!(
            "insert into lead (campaign_id, lead_id, number, rank, created_at, updated_at, last_attempt_at, seq)
             select {campaign}, gen_random_uuid(), 12010000000 + n, case when n <= 1000 then 1 + n % 100 else 101 + n % 800 end,
                 now(), now(), now() - interval '1 hour', 1 from generate_series(1, {leads}) as n;
             update gauge set eligible = eligible + {leads}, cursor_rank = 0, cursor_lead = '00000000-0000-0000-0000-000000000000'
             where campaign_id = {campaign};
             insert into call_attempt (lease_id, lead_id, session_id, campaign_id, seq, attempt_number, granted_at, begun_at,
                 ended_at, outcome, epoch)
             select gen_random_uuid(), lead_id, '{session}', campaign_id, 1, 1, now() - interval '1 hour',
                 now() - interval '1 hour', now(), 6, 0 from lead",
        );
        self.database.sql.batch_execute(&fill).await.unwrap();
    }

    /// Sends leads to their places, but for the first thousand, which wait for nothing.
    async fn fill_places(&self, Size { others, .. }: Size) {
        let (campaign, replica, session) = (self.campaign, self.replica, self.session);
        let place = |nth: i32| {
            let from = 12_010_001_000 + i64::from(nth * others);
            format!("campaign_id = {campaign} and number > {from} and number <= {}", from + i64::from(others))
        };
        let [ready, leased, waiting, promised] = [0, 1, 2, 3].map(place);
        let fill = format!(
            "update lead set not_before = now() + interval '1 hour' * (1 + 9 * random()), state = 6 where {waiting};
             update lead set not_before = now() + interval '1 hour' * (1 + 9 * random()), state = 8, callback_at = now()
             where {promised};
             insert into ready_lead select campaign_id, lead_id, {replica}, 0, 1 from lead where {ready};
             insert into lease (lease_id, lead_id, session_id, number, granted_at, not_after, deadline, campaign_id, epoch, seq,
                 attempts, state)
             select gen_random_uuid(), lead_id, '{session}', number, now(), now() + interval '1 day', now() + interval '1 day',
                 campaign_id, 0, 2, 1, 1 from lead where {leased};
             insert into due select campaign_id, case state when 8 then 0 else 1 end, not_before, lead_id, 0, state,
                 case state when 8 then 2 else 1 end from lead where {waiting} or {promised}",
        );
        self.database.sql.batch_execute(&fill).await.unwrap();
    }

    fn windows(&self) -> Windows {
        let days = TimeDelta::days(10);
        Windows { opens: vec![Some(self.now - days)], closes: vec![Some(self.now + days)] }
    }

    fn item(&self, lead: LeadId, number: i64, seq: i32) -> GrantItem {
        GrantItem {
            campaign: self.campaign,
            lead,
            lease: next_id(),
            session: self.session,
            number,
            seq,
            attempts: 0,
            epoch: 0,
            promised: None,
            open_until: self.now + TimeDelta::days(10),
            rules_version: 1,
        }
    }

    fn parked(&self, lead: LeadId) -> Parked {
        Parked {
            campaign: self.campaign,
            lead,
            promised: None,
            until: Some(self.now + TimeDelta::hours(1)),
            reason: waiting::CALLING_HOURS,
            rules_version: None,
        }
    }

    fn settlement(&self, lease: LeaseId, version: i32, facts: Facts) -> Settlement {
        Settlement {
            lease,
            campaign: self.campaign,
            version,
            epoch: 0,
            outcome: Outcome::NoAnswer,
            state: LeadState::IntentNoAnswer,
            due_at: Some(self.now + TimeDelta::hours(1)),
            callback_at: None,
            facts: Facts { last_seq: 2, last_outcome: Some(Outcome::NoAnswer), ..facts },
            details: ReportDetails::default(),
        }
    }

    fn new_leads(&self, from: usize, leads: usize) -> Vec<NewLead> {
        (from..from + leads)
            .map(|n| NewLead {
                id: next_id(),
                number: PhoneNumber::parse(&format!("+1305{n:07}"), None).unwrap(),
                rank: 900,
                zone: 0,
                external_id: None,
                variables: Default::default(),
            })
            .collect()
    }

    async fn refill(&mut self, want: i32) -> Done<Vec<QueuedLead>> {
        let (ask, until) = (ask(self.campaign, 1, want, 2 * want, &self.windows()), self.any_time());
        Ok(self.cost("refill", async |s| s.store.refill(s.replica, &ask, until).await).await?.ready)
    }

    /// The same for slots that wait.
    async fn lease_at_once(&mut self, want: i32) -> Done<Vec<LeaseId>> {
        let (mut ask, until) = (ask(self.campaign, 1, want, 2 * want, &self.windows()), self.any_time());
        ask.slots = (0..want).map(|_| Slot { lease: next_id(), session: self.session, stream: 0 }).collect();
        let refill = self.cost("lease at once", async |s| s.store.refill(s.replica, &ask, until).await).await?;
        assert!(refill.tried.iter().all(|(_, verdict)| *verdict == GrantVerdict::Granted));
        Ok(ask.slots.iter().take(refill.tried.len()).map(|slot| slot.lease).collect())
    }

    fn any_time(&self) -> DateTime<Utc> {
        self.now + TimeDelta::days(100)
    }

    async fn grant(&mut self, items: &[GrantItem]) -> Done<Vec<GrantVerdict>> {
        let until = self.any_time();
        Ok(self.cost("grant", async |s| s.store.grant(s.replica, items, until).await).await?.0)
    }

    async fn begin(&mut self, leases: &[LeaseId]) -> Done<Vec<BeginVerdict>> {
        let nonce = Uuid::new_v4();
        let item = |lease: &LeaseId| BeginItem { session: self.session, lease: *lease, nonce };
        let items: Vec<_> = leases.iter().map(item).collect();
        let rows = self.cost("begin", async |s| s.store.begin(&items).await).await?;
        Ok(rows.iter().map(|row| row.verdict).collect())
    }

    /// What the core decides by, and then the outcomes; how many were taken.
    async fn settle(&mut self, leases: &[LeaseId]) -> Done<usize> {
        let contexts = self.cost("contexts", async |s| s.store.lease_contexts(leases).await).await?;
        let settlements: Vec<_> = match &contexts[..] {
            [] => leases.iter().map(|lease| self.settlement(*lease, 0, Facts::default())).collect(),
            known => known.iter().map(|c| self.settlement(c.lease, c.context.version, c.context.facts)).collect(),
        };
        Ok(self.cost("settle", async |s| s.store.settle(&settlements).await).await?.len())
    }

    /// What changes nothing, or next to nothing.
    async fn the_rest(&mut self, leases: &[LeaseId], parked: &[LeadId], new: &[NewLead]) -> Done<()> {
        let released = async |s: &Scene| s.store.release(leases, waiting::RETRY, Some(s.session)).await;
        self.cost("release", released).await?;
        let items: Vec<_> = parked.iter().map(|lead| self.parked(*lead)).collect();
        self.cost("park", async |s| s.store.park(&items).await).await?;
        let soon = self.now + TimeDelta::seconds(65);
        self.cost("promises", async |s| s.store.promises(&[s.campaign], soon, 500).await).await?;
        self.cost("campaign", async |s| s.store.campaign(By::Key(s.campaign)).await).await?;
        self.cost("gauge", async |s| s.store.gauge(s.campaign).await).await?;
        self.cost("import", async |s| {
            let mut client = s.store.client().await?;
            let transaction = client.transaction().await?;
            intake::insert(&transaction, s.campaign, new).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Makes all plans: calls about leads and leases that are not there, as often as it takes for a general plan.
    async fn plan(&mut self) -> Done<()> {
        for round in 0..7 {
            let nobody = [next_id()];
            self.refill(1).await?;
            let at_once = self.lease_at_once(1).await?;
            self.grant(&[self.item(nobody[0], 1, 1)]).await?;
            self.begin(&nobody).await?;
            self.settle(&nobody).await?;
            self.the_rest(&[&nobody[..], &at_once].concat(), &nobody, &self.new_leads(9_000_000 + round, 1)).await?;
        }
        // History is looked for only where there may be some.
        let called = "update lead set last_attempt_at = now() where number >= 13050000000";
        self.database.sql.batch_execute(called).await.unwrap();
        self.grant(&[self.item(next_id(), 13_059_000_000, 1)]).await.map(drop)
    }

    /// A life of a batch, and all else that is done in batches.
    async fn live(&mut self) -> Done<()> {
        let queued = self.refill(i32::try_from(3 * BATCH).unwrap()).await?;
        assert_eq!(queued.len(), 3 * BATCH);
        let items: Vec<_> =
            queued.iter().map(|lead| self.item(lead.lead, lead.number, lead.facts.last_seq + 1)).collect();
        let leases: Vec<LeaseId> = items.iter().map(|item| item.lease).collect();
        for part in items[..2 * BATCH].chunks(BATCH) {
            assert_eq!(self.grant(part).await?, [GrantVerdict::Granted; BATCH]);
        }
        let [lived, returned] = [&leases[..BATCH], &leases[BATCH..2 * BATCH]];
        assert_eq!(self.begin(lived).await?, [BeginVerdict::Permitted; BATCH]);
        assert_eq!(self.settle(lived).await?, BATCH);
        let at_once = self.lease_at_once(i32::try_from(BATCH).unwrap()).await?;
        let parked: Vec<LeadId> = queued[2 * BATCH..].iter().map(|lead| lead.lead).collect();
        self.the_rest(&[returned, &at_once].concat(), &parked, &self.new_leads(0, BATCH)).await
    }
}

/// What a batch costs on a list of this size, and why it cost more than anybody waits for.
async fn costs(size: Size, planned: Planned) -> (Costs, Done<()>) {
    let mut scene = Scene::open(planned).await;
    let list_first = matches!(planned, Planned::WhenDrained | Planned::WhenFull);
    if list_first {
        scene.fill_list(size).await;
        scene.fill_places(size).await;
    }
    if planned == Planned::WhenDrained {
        scene.database.sql.batch_execute("delete from ready_lead; delete from lease; delete from due").await.unwrap();
    }
    if planned != Planned::BeforeAll {
        scene.database.sql.batch_execute("vacuum analyze").await.unwrap();
    }
    let mut done = scene.plan().await;
    if !list_first {
        scene.fill_list(size).await;
    }
    if planned != Planned::WhenFull {
        scene.fill_places(size).await;
    }
    if done.is_ok() {
        done = scene.live().await;
    }
    scene.database.drop().await;
    (scene.costs, done)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_costs_the_same_on_a_long_list_whatever_was_known_when_it_was_planned() {
    let (short, done) = costs(SHORT, Planned::WhenFull).await;
    done.unwrap();
    let mut grown = Vec::new();
    for planned in [Planned::WhenFull, Planned::BeforeAll, Planned::WhenDrained, Planned::WhenEmpty] {
        let (long, done) = costs(LONG, planned).await;
        grown.extend(done.err());
        for (name, looked) in long {
            for (relation, work) in looked {
                let before = short[name].get(&relation).copied().unwrap_or_default();
                if work.is_much_more_than(before) {
                    grown.push(format!("{name}, planned {planned:?}: {relation}: {work}; {before} on a short list"));
                }
            }
        }
    }
    assert!(grown.is_empty(), "{}", grown.join("\n"));
}
