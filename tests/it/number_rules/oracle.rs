//! What the statements say about a history, against the pure rules and against counting: three answers, one instant.

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::{
    domain::{
        campaign::CampaignRules,
        number_rules::{CoolDown, NumberRules, RollingCap, next_allowed},
        outcome::Outcome,
        phone_number::PhoneNumber,
        settings::SchedulerSettings,
    },
    pb,
    store::{Store, campaigns, number_rules},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use uuid::Uuid;

use super::model::{Call, Rules, first_allowed};
use crate::support::database::Database;

const NUMBERS: i64 = 40;
const ROUNDS: u64 = 12;

fn minutes(rng: &mut StdRng, to: i64) -> TimeDelta {
    TimeDelta::seconds(rng.random_range(60..to * 60))
}

fn some_rules(rng: &mut StdRng) -> Rules {
    let mut of = vec![pb::Outcome::Abandoned, pb::Outcome::Busy, pb::Outcome::Unknown, pb::Outcome::IntentNo];
    of.retain(|_| rng.random_bool(0.3));
    Rules {
        caps: (0..rng.random_range(0..3)).map(|_| (rng.random_range(1..5), minutes(rng, 4000))).collect(),
        gap: rng.random_bool(0.5).then(|| minutes(rng, 300)),
        after_conversation: rng.random_bool(0.5).then(|| minutes(rng, 6000)),
        cool_downs: of.into_iter().map(|o| (o, minutes(rng, 3000))).collect(),
    }
}

/// The same in the core's words.
fn core(rules: &Rules) -> NumberRules {
    let span = |of: TimeDelta| of.to_std().unwrap();
    let caps = rules.caps.iter().map(|(calls, period)| RollingCap { max_calls: *calls as i32, period: span(*period) });
    let cool_downs = rules
        .cool_downs
        .iter()
        .map(|(o, lasts)| CoolDown { outcome: Outcome::from_code(*o as i16).unwrap(), lasts: span(*lasts) });
    NumberRules {
        caps: caps.collect(),
        min_gap: rules.gap.map(span),
        gap_after_conversation: rules.after_conversation.map(span),
        cool_downs: cool_downs.collect(),
    }
}

/// A lead of a number in some campaign, with attempts and other leases that ended; returns the calls.
async fn history(db: &Database, rng: &mut StdRng, campaign: i32, number: i64, now: DateTime<Utc>) -> Vec<Call> {
    let lead = Uuid::now_v7();
    let mut calls = Vec::new();
    let mut last: Option<DateTime<Utc>> = None;
    let attempt = "insert into call_attempt (lease_id, lead_id, session_id, campaign_id, seq, attempt_number, granted_at, \
                   begun_at, ended_at, occurred_at, outcome, epoch) \
                   values ($1, $2, $1, $3, 1, 1, $4, $5, $6, $7, $8, 0)";
    for _ in 0..rng.random_range(0..9) {
        let granted_at = now - TimeDelta::milliseconds(rng.random_range(2000..5000 * 60_000));
        let permit = rng.random_bool(0.9).then(|| granted_at + TimeDelta::seconds(1));
        let begun_at = permit.unwrap_or(granted_at);
        let ended_at = (begun_at + TimeDelta::seconds(rng.random_range(0..7200))).min(now);
        // Some came back without an attempt.
        let outcome = Outcome::ALL.choose(rng).copied().filter(|_| rng.random_bool(0.9));
        // Told: it may be nonsense.
        let occurred_at = outcome.map(|_| ended_at + TimeDelta::seconds(rng.random_range(-9000..600)));
        let code = outcome.map(Outcome::code);
        db.sql
            .execute(
                attempt,
                &[&Uuid::now_v7(), &lead, &campaign, &granted_at, &permit, &ended_at, &occurred_at, &code],
            )
            .await
            .unwrap();
        if let (Some(outcome), Some(occurred_at)) = (outcome, occurred_at) {
            let happened_at = occurred_at.min(ended_at).max(begun_at);
            let outcome = pb::Outcome::try_from(i32::from(outcome.code())).ok();
            calls.push(Call { begun_at, happened_at, outcome });
        }
        last = last.max(Some(begun_at));
    }
    let insert = "insert into lead (campaign_id, lead_id, number, created_at, updated_at, last_attempt_at, rank) \
                  values ($1, $2, $3, $4, $4, $5, 500)";
    db.sql.execute(insert, &[&campaign, &lead, &number, &now, &last]).await.unwrap();
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_core_and_a_count_agree_on_random_histories() {
    let mut held = 0;
    for seed in 0..ROUNDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let db = Database::create().await;
        let store = Store::new(&db.url, 2).unwrap();
        let (engine, own) = (some_rules(&mut rng), some_rules(&mut rng));
        let fill = SchedulerSettings { number_rules: core(&engine), ..SchedulerSettings::default() };
        store.fill_settings(&fill).await.unwrap();
        let rules = CampaignRules { number_rules: core(&own), ..CampaignRules::default() };
        let client = store.client().await.unwrap();
        let strict = campaigns::insert(&client, Uuid::now_v7(), "strict", &rules).await.unwrap().key;
        let plain = campaigns::insert(&client, Uuid::now_v7(), "plain", &CampaignRules::default()).await.unwrap().key;
        let now = store.now().await.unwrap().0;
        let mut histories = Vec::new();
        for n in 0..NUMBERS {
            let number = 12_015_550_100 + n;
            let mut calls = history(&db, &mut rng, strict, number, now).await;
            calls.extend(history(&db, &mut rng, plain, number, now).await);
            histories.push((number, calls));
        }
        for (campaign, rules) in [(strict, vec![&engine, &own]), (plain, vec![&engine])] {
            let campaigns = vec![campaign; histories.len()];
            let numbers: Vec<i64> = histories.iter().map(|(number, _)| *number).collect();
            let sql = "select number_free_at($1, $2, $3)";
            let row = client.query_one(sql, &[&campaigns, &numbers, &now]).await.unwrap();
            let said: Option<Vec<Option<DateTime<Utc>>>> = row.get(0);
            let said = said.unwrap_or_else(|| vec![None; histories.len()]);
            for ((number, calls), said) in histories.iter().zip(said) {
                let counted = first_allowed(&rules, calls, now);
                assert_eq!(said.unwrap_or(now), counted, "seed {seed}: {calls:#?} {rules:#?}");
                let number = PhoneNumber::from_digits(*number).unwrap();
                let read = store.calls_to(number, now - TimeDelta::days(400)).await.unwrap();
                let limits: Vec<_> = rules.iter().flat_map(|rules| core(rules).limits().collect::<Vec<_>>()).collect();
                assert_eq!(next_allowed(limits, &read, now), said, "seed {seed}: {read:#?}");
                held += usize::from(said.is_some());
            }
        }
        let none = [&engine, &own].iter().all(|rules| rules.wire() == pb::NumberRules::default());
        assert_eq!(number_rules::any(&client).await.unwrap(), !none, "seed {seed}");
        drop(client);
        db.drop().await;
    }
    assert!(held > 100, "only {held} were held up");
}
