//! The pairs that matter, by name: what exactly comes of them, in both orders.

use dialplane::store::{
    Store,
    leases::GrantVerdict::{EngineCap, Gone, Granted, Moved, NumberBusy, Stale},
    permits::BeginVerdict::{Lost, Permitted, TooLate, Wait},
    releases::ReleaseVerdict::{Begun, NotHeld, Released},
};

use super::{
    actions::{Action, Answer},
    changes::LOWERED_CAP,
    scene::{End, Met, Theatre},
    stage::Who,
};

/// Leases that live when a scene begins, and attempts counted by then.
pub(super) const LIVE: i64 = 4;
const COUNTED: i64 = 8;

/// A pair that must have met, and broken nothing.
pub(super) async fn meet(theatre: &Theatre, first: Action, second: Action) -> Met {
    let met = theatre.meet(first, second, End::Commit).await.unwrap();
    assert!(met.waited, "{second:?} should have waited for {first:?}");
    assert_eq!(theatre.stage.broken(&met.granted).await, Vec::<String>::new());
    met
}

impl Theatre {
    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.stage.database.count(sql).await
    }

    /// Slots in use, by the engine's gauge.
    pub(super) async fn slots(&self) -> i64 {
        self.count("select dialing::bigint from gauge where campaign_id = 0").await
    }

    /// Attempts counted, by the campaigns' gauges.
    async fn counted(&self) -> i64 {
        self.count("select sum(attempts)::bigint from gauge").await
    }

    pub async fn leases_of(&self, who: Who) -> i64 {
        self.count(&format!("select count(*) from lease where number = {}", who.number().digits())).await
    }

    /// What people see of a lead of campaign one, and its attempts in this generation and ever.
    async fn lead(&self, who: Who) -> (i16, i32, i32) {
        let sql = "select state, attempts::int, attempts_total from lead_view where campaign_id = $1 and lead_id = $2";
        let row = self.stage.database.sql.query_one(sql, &[&self.stage.one, &self.stage.lead(who)]).await.unwrap();
        (row.get(0), row.get(1), row.get(2))
    }

    /// How often in a row a lead's last outcome came.
    async fn streak(&self, who: Who) -> i64 {
        self.count(&format!("select streak::bigint from lead where number = {}", who.number().digits())).await
    }

    /// The outcome on record of an ended lease.
    async fn outcome(&self, lease: uuid::Uuid) -> Option<i16> {
        let sql = "select outcome from call_attempt where lease_id = $1";
        self.stage.database.sql.query_one(sql, &[&lease]).await.unwrap().get(0)
    }
}

fn sorted(mut leases: Vec<uuid::Uuid>) -> Vec<uuid::Uuid> {
    leases.sort_unstable();
    leases
}

#[tokio::test(flavor = "multi_thread")]
async fn two_settles_of_one_lease_free_one_slot() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::Settle, Action::Settle).await;
    let ended = sorted([Who::Begun, Who::Ringing, Who::Leased].map(|who| theatre.stage.lease(who)).to_vec());
    assert_eq!(sorted(met.first.settled), ended);
    assert_eq!((met.second.settled, sorted(met.second.late)), (Vec::new(), ended.clone()));
    assert_eq!((theatre.slots().await, theatre.counted().await), (LIVE - 3, COUNTED + 3));
    let met = theatre.meet(Action::Settle, Action::Settle, End::Rollback).await.unwrap();
    assert_eq!((sorted(met.second.settled), met.second.late), (ended, Vec::new()));
    assert_eq!((theatre.slots().await, theatre.counted().await), (LIVE - 3, COUNTED + 3));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_and_its_expiry_count_once() {
    let theatre = Theatre::open().await;
    let begun = theatre.stage.lease(Who::Begun);
    let met = meet(&theatre, Action::Settle, Action::Expire).await;
    assert_eq!((met.first.settled.len(), met.second.settled.len()), (3, 0));
    assert_eq!((theatre.outcome(begun).await, theatre.counted().await), (Some(5), COUNTED + 3));
    let met = meet(&theatre, Action::Expire, Action::Settle).await;
    assert_eq!((met.first.settled, met.second.settled.len(), met.second.late), (vec![begun], 2, vec![begun]));
    // The report came late, and is what stands.
    assert_eq!((theatre.outcome(begun).await, theatre.counted().await), (Some(5), COUNTED + 3));
    assert_eq!((theatre.slots().await, theatre.lead(Who::Begun).await), (LIVE - 3, (6, 2, 2)));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_and_a_permit_of_one_lease_exclude_each_other() {
    let theatre = Theatre::open().await;
    for release in [Action::Release, Action::TakeBack] {
        let met = meet(&theatre, release, Action::Begin).await;
        assert_eq!((met.first.releases, met.second.permit), (vec![Released, Released], Some(Lost)));
        assert_eq!((theatre.slots().await, theatre.lead(Who::Leased).await), (LIVE - 2, (6, 1, 1)));
        let met = meet(&theatre, Action::Begin, release).await;
        assert_eq!((met.first.permit, met.second.releases), (Some(Permitted), vec![Begun, Released]));
        assert_eq!((theatre.slots().await, theatre.lead(Who::Leased).await), (LIVE - 1, (3, 2, 2)));
        let met = meet(&theatre, release, release).await;
        assert_eq!((met.first.releases, met.second.releases), (vec![Released, Released], vec![NotHeld, NotHeld]));
    }
    theatre.close().await;
}

/// Who is told to wait for a turn writes the lease all the same: it lives on for that long.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_waited_for_a_turn_that_was_not_given_releases() {
    let theatre = Theatre::open().await;
    let line = "update kept.setting set max_calls_per_second = 0.01; \
        update pace set last_at = engine_now() + interval '1 minute' where campaign_id = 0; \
        update kept.lease set deadline = engine_now() + interval '5 seconds' where begun_at is null";
    theatre.stage.database.sql.batch_execute(line).await.unwrap();
    for release in [Action::Release, Action::TakeBack] {
        let met = theatre.meet(Action::Begin, release, End::Commit).await.unwrap();
        assert!(met.waited, "the permit was refused without a word in the lease");
        assert_eq!((met.first.permit, met.second.releases), (Some(Wait), vec![Released, Released]));
        assert_eq!(theatre.slots().await, LIVE - 2);
    }
    theatre.close().await;
}

/// Who waited for a change that takes `Leased` away gets no permit; who was first keeps it, and the lease.
async fn a_permit_and(change: Action, lead_without: (i16, i32, i32), lead_with: (i16, i32, i32)) {
    let theatre = Theatre::open().await;
    let unbegun = sorted(vec![theatre.stage.lease(Who::Leased), theatre.stage.lease(Who::Promised)]);
    let met = meet(&theatre, change, Action::Begin).await;
    assert_eq!((sorted(met.first.revoked), met.second.permit), (unbegun, Some(Lost)));
    assert_eq!((theatre.leases_of(Who::Leased).await, theatre.lead(Who::Leased).await), (0, lead_without));
    let met = meet(&theatre, Action::Begin, change).await;
    assert_eq!((met.first.permit, met.second.revoked), (Some(Permitted), vec![theatre.stage.lease(Who::Promised)]));
    assert_eq!((theatre.leases_of(Who::Leased).await, theatre.lead(Who::Leased).await), (1, lead_with));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_waited_for_a_pause_is_refused() {
    a_permit_and(Action::Pause, (6, 1, 1), (3, 2, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_waited_for_a_suppression_is_refused() {
    a_permit_and(Action::Suppress, (6, 1, 1), (3, 2, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_waited_for_a_reset_is_refused() {
    // The attempt under way counts in the new generation.
    a_permit_and(Action::Reset, (1, 0, 1), (3, 1, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_waited_for_new_rules_is_refused() {
    a_permit_and(Action::CampaignCap, (6, 1, 1), (3, 2, 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_waited_for_a_lowered_cap_respects_it() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::EngineCap, Action::Grant).await;
    assert_eq!(met.second.grants, [EngineCap, EngineCap]);
    assert_eq!(theatre.slots().await, i64::from(LOWERED_CAP));
    let met = meet(&theatre, Action::Grant, Action::EngineCap).await;
    assert_eq!(met.first.grants, [Granted, Granted]);
    // What was granted last went back first.
    assert_eq!(theatre.slots().await, i64::from(LOWERED_CAP));
    assert_eq!((theatre.leases_of(Who::Queued).await, theatre.leases_of(Who::Leased).await), (0, 1));
    let met = meet(&theatre, Action::CampaignCap, Action::Grant).await;
    assert_eq!((met.second.grants, theatre.slots().await), (vec![Stale, Stale], 2));
    let met = meet(&theatre, Action::Grant, Action::CampaignCap).await;
    assert_eq!((met.first.grants, met.second.revoked.len()), (vec![Granted, Granted], 4));
    assert_eq!(theatre.slots().await, 2, "those with a permit");
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_grants_of_one_lead_make_one_lease() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::Grant, Action::Grant).await;
    assert_eq!((met.first.grants, met.second.grants), (vec![Granted, Granted], vec![NumberBusy, NumberBusy]));
    assert_eq!((theatre.leases_of(Who::Queued).await, theatre.leases_of(Who::Promise).await), (1, 1));
    assert_eq!(theatre.slots().await, LIVE + 2);
    let met = theatre.meet(Action::Grant, Action::Grant, End::Rollback).await.unwrap();
    assert_eq!((met.second.grants, theatre.slots().await), (vec![Granted, Granted], LIVE + 2));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_grants_of_one_number_make_one_lease() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::Grant, Action::GrantTwins).await;
    assert_eq!(met.first.grants, [Granted, Granted]);
    assert_eq!(met.second.grants, [NumberBusy, NumberBusy, NumberBusy]);
    assert_eq!((theatre.leases_of(Who::Queued).await, theatre.slots().await), (1, LIVE + 2));
    let met = meet(&theatre, Action::GrantTwins, Action::Grant).await;
    assert_eq!(met.first.grants, [Granted, NumberBusy, NumberBusy]);
    assert_eq!(met.second.grants, [NumberBusy, Granted]);
    assert_eq!((theatre.leases_of(Who::Queued).await, theatre.slots().await), (1, LIVE + 2));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_leads_of_a_number_in_one_batch_one_is_leased() {
    let theatre = Theatre::open().await;
    let answer = theatre.after(0, Action::GrantAll).await.unwrap();
    let told = |verdict| answer.grants.iter().filter(|one| **one == verdict).count();
    assert_eq!((told(Granted), told(NumberBusy)), (2, 3), "{:?}", answer.grants);
    assert_eq!(theatre.leases_of(Who::Queued).await, 1);
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_lead_is_leased_by_the_replica_whose_it_is_and_by_no_other() {
    let theatre = Theatre::open().await;
    let stage = &theatre.stage;
    let store = Store::new(&stage.database.url, 1).unwrap();
    let lead = stage.queued.iter().find(|lead| lead.lead == stage.lead(Who::Queued)).unwrap();
    for (replica, verdict) in [(stage.heir, Gone), (stage.replica, Granted)] {
        let sql = &stage.database.sql;
        sql.execute("update dialer_session set replica_id = $1", &[&replica]).await.unwrap();
        let (granted, _) = store.grant(replica, &[stage.item(lead)], stage.any_time()).await.unwrap();
        assert_eq!(granted, [verdict]);
    }
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_waited_for_the_end_of_its_numbers_lease_finds_it_free() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::Settle, Action::GrantTwins).await;
    assert_eq!(met.second.grants, [Granted, Granted, Granted]);
    let met = meet(&theatre, Action::GrantTwins, Action::Settle).await;
    assert_eq!((met.first.grants, met.second.settled.len()), (vec![Granted, NumberBusy, NumberBusy], 3));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_that_a_reset_slipped_past_belongs_to_the_new_generation() {
    let theatre = Theatre::open().await;
    let [begun, ringing, leased] = [Who::Begun, Who::Ringing, Who::Leased].map(|who| theatre.stage.lease(who));
    let met = meet(&theatre, Action::Reset, Action::Settle).await;
    assert_eq!((met.first.settled, met.second.settled), (vec![begun], vec![ringing]));
    assert_eq!(sorted(met.second.late), sorted(vec![begun, leased]));
    // Not reached in this generation, in which nothing has been spent yet and nobody was called before.
    assert_eq!((theatre.lead(Who::Ringing).await, theatre.streak(Who::Ringing).await), ((6, 0, 2), 1));
    assert_eq!((theatre.outcome(leased).await, theatre.counted().await), (Some(5), COUNTED + 2));
    let met = meet(&theatre, Action::Settle, Action::Reset).await;
    assert_eq!((met.first.settled.len(), met.second.settled.len()), (3, 0));
    assert_eq!(theatre.lead(Who::Ringing).await, (1, 0, 2));
    assert_eq!((theatre.slots().await, theatre.counted().await), (LIVE - 4, COUNTED + 3));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_waited_for_its_replicas_burial_grants_nothing() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::Bury, Action::Grant).await;
    assert_eq!((met.second, theatre.slots().await), (Answer::refused("fenced"), LIVE));
    let inherited = format!("select count(*) from ready_lead where owner = {}", theatre.stage.heir);
    assert_eq!(theatre.count(&inherited).await, 4);
    let met = meet(&theatre, Action::Grant, Action::Bury).await;
    assert_eq!((met.first.grants, theatre.slots().await), (vec![Granted, Granted], LIVE + 2));
    // What had been granted first was seen: none of it is inherited, and all of it without a permit is overdue now.
    assert_eq!(theatre.count(&inherited).await, 3);
    let overdue = theatre.overdue().await;
    assert!(met.granted.iter().all(|lease| overdue.contains(lease)));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_to_a_session_that_moved_is_refused() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::TakeOver, Action::Grant).await;
    assert_eq!((met.second.grants, theatre.slots().await), (vec![Moved, Moved], LIVE));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_take_over_waits_for_a_grant_of_the_older_replica() {
    let theatre = Theatre::open().await;
    // What it reads afterwards is all that the session holds.
    let met = meet(&theatre, Action::Grant, Action::TakeOver).await;
    assert_eq!((met.first.grants, theatre.slots().await), (vec![Granted, Granted], LIVE + 2));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_was_given_up_makes_nothing() {
    let theatre = Theatre::open().await;
    assert!(theatre.refuses_what_was_given_up().await);
    assert_eq!(theatre.slots().await, LIVE);
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_after_the_deadline_is_refused() {
    let theatre = Theatre::open().await;
    assert_eq!(theatre.after(1, Action::Begin).await.unwrap().permit, Some(Permitted));
    assert_eq!(theatre.after(700, Action::Begin).await.unwrap().permit, Some(TooLate));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_waited_for_a_suppression_blocks_its_leads() {
    let theatre = Theatre::open().await;
    let number = Who::Imported.number().digits();
    let blocked = format!("select count(*) from lead where number = {number} and blocked");
    // Also where the number is new to both.
    for suppress in [Action::Suppress, Action::SuppressNew] {
        for (first, second) in [(suppress, Action::Import), (Action::Import, suppress)] {
            meet(&theatre, first, second).await;
            assert_eq!(theatre.count(&blocked).await, 1, "{first:?}, {second:?}");
        }
    }
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suppression_that_is_over_is_not_lifted_once_somebody_made_it_longer() {
    let theatre = Theatre::open().await;
    let number = Who::Blocked.number().digits();
    let blocked = format!("select count(*) from lead where number = {number} and blocked");
    let for_good = format!("select count(*) from suppression where number = {number} and expires_at is null");
    for longer in [Action::Extend, Action::RefuseBlocked] {
        for (first, second) in [(longer, Action::Lift), (Action::Lift, longer)] {
            meet(&theatre, first, second).await;
            let found = (theatre.count(&blocked).await, theatre.count(&for_good).await);
            assert_eq!(found, (1, 1), "{first:?}, {second:?}");
        }
    }
    assert_eq!(theatre.after(1, Action::Lift).await.unwrap().leads, 1, "alone it is lifted");
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_conversation_that_waited_for_a_grant_revokes_or_blocks_it() {
    let theatre = Theatre::open().await;
    let leased = theatre.stage.lease(Who::Leased);
    let met = meet(&theatre, Action::Grant, Action::LateReport).await;
    assert_eq!(met.first.grants, [Granted, Granted]);
    assert_eq!(met.second.revoked, [met.first.granted[0], leased]);
    assert_eq!((theatre.leases_of(Who::Queued).await, theatre.lead(Who::Queued).await), (0, (5, 1, 1)));
    assert_eq!(theatre.slots().await, LIVE);
    let met = meet(&theatre, Action::LateReport, Action::Grant).await;
    assert_eq!((met.first.revoked, met.second.grants), (vec![leased], vec![Gone, Granted]));
    assert_eq!((theatre.leases_of(Who::Queued).await, theatre.lead(Who::Queued).await), (0, (5, 1, 1)));
    // Where a permit came first, the end of that call decides.
    meet(&theatre, Action::Begin, Action::LateReport).await;
    assert_eq!((theatre.leases_of(Who::Leased).await, theatre.lead(Who::Leased).await), (1, (3, 2, 2)));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_decides_again_when_a_late_conversation_came_between() {
    let theatre = Theatre::open().await;
    for (first, second) in [(Action::LateReport, Action::Settle), (Action::Settle, Action::LateReport)] {
        meet(&theatre, first, second).await;
        // The refusal of the earlier attempt outlives that nobody answered the later one.
        assert_eq!(theatre.lead(Who::Begun).await, (5, 2, 2), "{first:?}, {second:?}");
        assert_eq!(theatre.outcome(theatre.stage.lease(Who::Begun)).await, Some(5));
    }
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_released_and_reset_is_kept_once() {
    let theatre = Theatre::open().await;
    let kept = format!(
        "select count(*) from due join lead using (campaign_id, lead_id) where number = {} and lane = 0",
        Who::Promised.number().digits()
    );
    for (first, second) in [(Action::Release, Action::Reset), (Action::Reset, Action::Release)] {
        meet(&theatre, first, second).await;
        assert_eq!((theatre.count(&kept).await, theatre.lead(Who::Promised).await), (1, (8, 0, 1)));
        assert_eq!(theatre.leases_of(Who::Promised).await, 0);
    }
    theatre.close().await;
}
