//! The stage: two running campaigns that share numbers, with a lead in every place, built by the store's own functions once
//! and put back from a copy before every scene.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::{
    domain::{
        campaign::{CampaignRules, CampaignState},
        ids::{CampaignKey, LeadId, LeaseId, ReplicaId, SessionId, next_id},
        lead::Fact,
        outcome::Outcome,
        phone_number::PhoneNumber,
        retry_policy::RetryPolicy,
    },
    store::{
        campaigns, changes,
        intake::{self, NewLead},
        leases::{GrantItem, GrantVerdict, ReportDetails, Settlement},
        live_leases::LeaseContext,
        permits::{BeginItem, BeginVerdict},
        queue::{QueuedLead, Windows},
        suppressions,
    },
};
use tokio_postgres::Statement;
use uuid::Uuid;

use super::{
    checks::{BROKEN, PICTURE},
    line::Line,
};
use crate::support::{ask, database::Database, settings};

/// The leads of campaign one, by the place they are in. Campaign two has twins of `Queued`, `Leased` and `Begun`, all READY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// ELIGIBLE, two of them.
    Fresh,
    Fresher,
    /// READY, not reached by an earlier attempt.
    Queued,
    /// A retry that is due.
    Retry,
    /// A promise that is due.
    Promise,
    /// On a lease without a permit, not reached by an earlier attempt.
    Leased,
    /// The same, but for a promise.
    Promised,
    /// On a begun lease past its deadline, not reached by an earlier attempt.
    Begun,
    /// On a begun lease with time left, not reached by an earlier attempt.
    Ringing,
    /// Not reached, and suppressed since; the time of that is over, but nobody has lifted it.
    Blocked,
    /// In no campaign yet.
    Imported,
}

impl Who {
    pub fn number(self) -> PhoneNumber {
        PhoneNumber::parse(&format!("+1201555{:04}", 100 + self as i32), None).unwrap()
    }
}

/// The tables of a stage; what a scene did to them is undone.
const TABLES: [&str; 17] = [
    "setting",
    "campaign",
    "gauge",
    "zone",
    "lead",
    "ready_lead",
    "due",
    "replica",
    "dialer_session",
    "lease",
    "call_attempt",
    "attempt_report",
    "suppression",
    "number_rule",
    "import",
    "request",
    "test_clock",
];

pub struct Stage {
    pub database: Database,
    pub one: CampaignKey,
    pub two: CampaignKey,
    /// Of both campaigns.
    pub rules: CampaignRules,
    /// Whose buffer and session all is.
    pub replica: ReplicaId,
    /// Who lives on.
    pub heir: ReplicaId,
    pub session: SessionId,
    /// Leads of campaign one.
    pub leads: HashMap<Who, LeadId>,
    /// Their ended attempts, all with NO_ANSWER.
    pub earlier: HashMap<Who, LeaseId>,
    /// Ended leases of the other leads.
    pub ended: Vec<LeaseId>,
    /// Their live leases.
    pub leases: HashMap<Who, LeaseId>,
    /// What is known of these, as it stood when the scene began.
    pub contexts: Vec<LeaseContext>,
    /// What may be granted: READY leads and the due promise, as a replica's memory has them.
    pub queued: Vec<QueuedLead>,
    /// The engine's clock.
    pub now: DateTime<Utc>,
    /// `BROKEN` and `PICTURE`, planned once.
    pub looks: [Statement; 2],
}

/// What the core decides when a lease ends with an outcome.
pub fn settlement(
    lease: &LeaseContext,
    outcome: Outcome,
    callback_at: Option<DateTime<Utc>>,
    policy: &RetryPolicy,
    now: DateTime<Utc>,
) -> Settlement {
    let begun_at = lease.begun_at.unwrap_or(lease.granted_at);
    let facts =
        lease.context.facts.merge(Fact { seq: lease.seq, outcome, begun_at, callback_at, callback_latest: None });
    let verdict = facts.verdict(policy, now);
    Settlement {
        lease: lease.lease,
        campaign: lease.context.campaign,
        version: lease.context.version,
        epoch: lease.epoch,
        outcome,
        state: verdict.state,
        due_at: verdict.due_at,
        callback_at,
        facts,
        details: ReportDetails::default(),
    }
}

/// Building goes step by step, so that every place is reached the way the engine reaches it.
struct Builder {
    line: Line,
    stage: Stage,
}

impl Stage {
    /// Never too late.
    pub fn any_time(&self) -> DateTime<Utc> {
        self.now + TimeDelta::days(100)
    }

    pub async fn build() -> Stage {
        let database = Database::create().await;
        let line = Line::open(&database.url).await;
        line.store.fill_settings(&settings()).await.unwrap();
        let hour = Duration::from_secs(3600);
        let replica = line.store.join_replica(12 * hour).await.unwrap();
        let heir = line.store.join_replica(240 * hour).await.unwrap();
        let session = Uuid::new_v4();
        let open = "insert into dialer_session (session_id, dialer_id, replica_id, slots, opened_at) \
                    values ($1, 'dialer', $2, 50, engine_now())";
        database.sql.execute(open, &[&session, &replica]).await.unwrap();
        let rules = CampaignRules {
            default_time_zone: Some("Etc/UTC".into()),
            retry_policy: RetryPolicy::new(vec![(Outcome::NoAnswer, vec![Duration::from_secs(1)])]).unwrap(),
            begin_within: Duration::from_secs(600),
            max_duration: Duration::from_secs(600),
            ..CampaignRules::default()
        };
        let mut keys = Vec::new();
        for name in ["one", "two"] {
            let db = line.store.client().await.unwrap();
            let key = campaigns::insert(&db, next_id(), name, &rules).await.unwrap().key;
            campaigns::set_state(&db, key, CampaignState::Running).await.unwrap();
            keys.push(key);
        }
        let (now, _) = line.store.now().await.unwrap();
        database.sql.batch_execute("set plan_cache_mode = force_generic_plan").await.unwrap();
        let looks = [database.sql.prepare(BROKEN).await.unwrap(), database.sql.prepare(PICTURE).await.unwrap()];
        let stage = Stage {
            database,
            one: keys[0],
            two: keys[1],
            rules,
            replica,
            heir,
            session,
            leads: HashMap::new(),
            earlier: HashMap::new(),
            ended: Vec::new(),
            leases: HashMap::new(),
            contexts: Vec::new(),
            queued: Vec::new(),
            now,
            looks,
        };
        let mut builder = Builder { line, stage };
        builder.fill().await;
        builder.stage.keep().await;
        builder.stage
    }

    /// Open from yesterday on, for longer than any test.
    pub fn windows(&self) -> Windows {
        let days = TimeDelta::days(10);
        Windows { opens: vec![Some(self.now - days)], closes: vec![Some(self.now + days)] }
    }

    pub fn lead(&self, who: Who) -> LeadId {
        self.leads[&who]
    }

    pub fn lease(&self, who: Who) -> LeaseId {
        self.leases[&who]
    }

    /// A grant of this lead, under a lease of its own.
    pub fn item(&self, lead: &QueuedLead) -> GrantItem {
        GrantItem {
            campaign: lead.campaign,
            lead: lead.lead,
            lease: next_id(),
            session: self.session,
            number: lead.number,
            seq: lead.facts.last_seq + 1,
            attempts: lead.attempts,
            epoch: lead.epoch,
            promised: lead.promised,
            open_until: self.now + TimeDelta::days(10),
            rules_version: 1,
        }
    }

    /// Copies everything aside.
    async fn keep(&self) {
        let copies: String =
            TABLES.iter().map(|table| format!("create table kept.{table} as table {table};")).collect();
        self.database.sql.batch_execute(&format!("create schema kept; {copies}")).await.unwrap();
    }

    /// Everything as it was built.
    pub async fn put_back(&self) {
        let back: String = TABLES
            .iter()
            .map(|table| {
                format!("delete from {table}; insert into {table} overriding system value select * from kept.{table};")
            })
            .collect();
        self.database.sql.batch_execute(&back).await.unwrap();
    }

    /// Takes away what scenes left behind in the files: a hundred of them make every statement walk over the dead.
    pub async fn sweep(&self) {
        self.database.sql.batch_execute(&format!("vacuum {}", TABLES.join(", "))).await.unwrap();
    }
}

impl Builder {
    async fn fill(&mut self) {
        use Who::{Begun, Blocked, Fresh, Fresher, Imported, Leased, Promise, Promised, Queued, Retry, Ringing};
        let (one, two) = (self.stage.one, self.stage.two);
        self.insert(one, &[Queued, Leased, Begun, Ringing]).await;
        let rung = self.ring(&[Queued, Leased, Begun, Ringing]).await;
        self.stage.earlier.extend(rung);
        self.end(&[Queued, Leased, Begun, Ringing], Outcome::NoAnswer).await;
        self.advance(2).await;
        self.refill(one).await;
        let ready = self.stage.queued.clone();
        self.insert(one, &[Promise, Promised, Retry, Blocked]).await;
        self.ring(&[Promise, Promised, Retry, Blocked]).await;
        self.end(&[Promise, Promised], Outcome::CallbackRequested).await;
        self.end(&[Retry, Blocked], Outcome::NoAnswer).await;
        self.suppress(Blocked).await;
        self.stage.queued = ready;
        self.lease(&[Begun]).await;
        self.begin(&[Begun]).await;
        self.insert(two, &[Queued, Leased, Begun]).await;
        self.refill(two).await;
        self.advance(605).await;
        self.lease(&[Ringing]).await;
        self.begin(&[Ringing]).await;
        self.lease(&[Leased]).await;
        let promises = self.line.store.promises(&[one], self.stage.now, 10).await.unwrap();
        assert_eq!(promises.len(), 2);
        self.stage.queued.extend(promises);
        self.lease(&[Promised]).await;
        self.insert(one, &[Fresh, Fresher]).await;
        self.stage.leads.insert(Imported, next_id());
        let leases: Vec<LeaseId> = self.stage.leases.values().copied().collect();
        self.stage.contexts = self.line.store.lease_contexts(&leases).await.unwrap();
        assert_eq!(self.stage.contexts.len(), 4);
        assert_eq!(self.stage.database.violations().await, Vec::<String>::new());
    }

    async fn insert(&mut self, campaign: CampaignKey, who: &[Who]) {
        let new: Vec<NewLead> = who
            .iter()
            .map(|who| NewLead {
                id: next_id(),
                number: who.number(),
                rank: 500,
                zone: 0,
                external_id: None,
                variables: Default::default(),
            })
            .collect();
        intake::insert(&self.line.store.client().await.unwrap(), campaign, &new).await.unwrap();
        if campaign == self.stage.one {
            self.stage.leads.extend(who.iter().copied().zip(new.iter().map(|lead| lead.id)));
        }
    }

    async fn refill(&mut self, campaign: CampaignKey) {
        let stage = &mut self.stage;
        let ask = ask(campaign, 1, 10, 100, &stage.windows());
        let refill = self.line.store.refill(stage.replica, &ask, stage.any_time()).await.unwrap();
        stage.queued.extend(refill.ready);
    }

    /// Grants queued leads of campaign one.
    async fn lease(&mut self, who: &[Who]) -> HashMap<Who, LeaseId> {
        let mut leased = HashMap::new();
        for who in who {
            let at = self.stage.queued.iter().position(|lead| lead.lead == self.stage.leads[who]).unwrap();
            let lead = self.stage.queued.remove(at);
            let item = self.stage.item(&lead);
            let (verdicts, _) = self
                .line
                .store
                .grant(self.stage.replica, std::slice::from_ref(&item), self.stage.any_time())
                .await
                .unwrap();
            assert_eq!(verdicts, [GrantVerdict::Granted], "{who:?}");
            leased.insert(*who, item.lease);
        }
        self.stage.leases.extend(leased.iter());
        leased
    }

    async fn begin(&self, who: &[Who]) {
        for who in who {
            let item = BeginItem { session: self.stage.session, lease: self.stage.lease(*who), nonce: Uuid::new_v4() };
            let begun = self.line.store.begin(&[item]).await.unwrap();
            assert_eq!(begun[0].verdict, BeginVerdict::Permitted);
        }
    }

    /// Leads from the list to a begun lease.
    async fn ring(&mut self, who: &[Who]) -> HashMap<Who, LeaseId> {
        self.refill(self.stage.one).await;
        let leased = self.lease(who).await;
        self.begin(who).await;
        leased
    }

    async fn end(&mut self, who: &[Who], outcome: Outcome) {
        let leases: Vec<LeaseId> = who.iter().filter_map(|who| self.stage.leases.remove(who)).collect();
        let (now, _) = self.line.store.now().await.unwrap();
        let promise = (outcome == Outcome::CallbackRequested).then(|| now + TimeDelta::seconds(10));
        let contexts = self.line.store.lease_contexts(&leases).await.unwrap();
        let policy = &self.stage.rules.retry_policy;
        let settlements: Vec<_> =
            contexts.iter().map(|context| settlement(context, outcome, promise, policy, now)).collect();
        self.stage.ended.extend(leases);
        assert_eq!(self.line.store.settle(&settlements).await.unwrap().len(), who.len());
    }

    async fn suppress(&self, who: Who) {
        let db = self.line.store.client().await.unwrap();
        let until = self.stage.now + TimeDelta::seconds(1);
        suppressions::insert(&db, &[who.number()], "test", Some(until)).await.unwrap();
        let (blocked, _) = changes::block(&db, self.stage.one, &[self.stage.leads[&who]]).await.unwrap();
        assert_eq!(blocked, 1);
    }

    async fn advance(&mut self, seconds: u64) {
        self.stage.database.advance(Duration::from_secs(seconds)).await;
        self.stage.now = self.line.store.now().await.unwrap().0;
    }
}
