//! Why (not): every condition that fails is named, and what is explained is what grants and permits then do.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::pb::{self, Condition, LeadState, Outcome};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tonic::Code;

use crate::support::{
    World,
    asks::{QUIET, attempts, instant, refusal},
    dialer::Dialer,
    hours, lead, number, retry, rules, timestamp, until,
};

impl World {
    async fn explain_at(&mut self, campaign: &str, lead: &str, at: Option<DateTime<Utc>>) -> pb::ExplainLeadResponse {
        let at = at.and_then(timestamp);
        let request = pb::ExplainLeadRequest { campaign_id: campaign.into(), lead_id: lead.into(), at };
        self.campaigns.explain_lead(request).await.unwrap().into_inner()
    }

    async fn why_not(&mut self, campaign: &str, lead: &str) -> Vec<Condition> {
        let told = self.explain_at(campaign, lead, None).await;
        assert_eq!(told.callable, told.failed.is_empty());
        told.failed.iter().map(pb::FailedCondition::condition).collect()
    }

    async fn explain_campaign_at(&mut self, campaign: &str, at: Option<DateTime<Utc>>) -> pb::ExplainCampaignResponse {
        let request = pb::ExplainCampaignRequest { campaign_id: campaign.into(), at: at.and_then(timestamp) };
        self.campaigns.explain_campaign(request).await.unwrap().into_inner()
    }
}

fn counts(told: &pb::ExplainCampaignResponse) -> BTreeMap<&'static str, i64> {
    told.counts.iter().map(|count| (count.condition().as_str_name(), count.leads)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_for_not_calling_a_lead_is_told() {
    let mut world = World::start().await;
    let campaign = world.draft(attempts(1)).await;
    let leads = world.add_some(&campaign, 6).await;
    let [fresh, consumed, suppressed, promised, spent, _] = leads.as_slice() else { unreachable!() };
    assert_eq!(world.why_not(&campaign, fresh).await, [Condition::CampaignRunning, Condition::DialerConnected]);
    world.consume(&campaign, &[consumed.as_str()]).await;
    world.suppress(&[number(2)]).await;
    world.promise(&campaign, promised, Duration::from_secs(3600)).await;
    world.run(&campaign).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert_eq!(world.why_not(&campaign, consumed).await, [Condition::NotComplete]);
    assert_eq!(world.why_not(&campaign, suppressed).await, [Condition::NotSuppressed]);
    let told = world.explain_at(&campaign, promised, None).await;
    assert_eq!(told.failed[0].condition(), Condition::CallbackDue);
    assert_eq!(told.first_callable_at, world.lead(&campaign, promised).await.callback_at);
    assert_eq!(told.failed[0].next_change_at, told.first_callable_at);
    let lease = dialer.lease().await;
    assert_eq!(world.why_not(&campaign, &lease.lead_id).await, [Condition::NotLeased]);
    dialer.begin(&lease).await;
    dialer.report(&lease.lease_id, Outcome::Busy).await;
    let told = world.why_not(&campaign, &lease.lead_id).await;
    assert_eq!(told, [Condition::AttemptsLeft, Condition::NotBefore]);
    let (lease, _) = dialer.call_with(Outcome::DoNotCall).await;
    let told = world.why_not(&campaign, &lease.lead_id).await;
    assert_eq!(told, [Condition::NotDoNotCall, Condition::NotSuppressed, Condition::NotComplete]);
    let (lease, _) = dialer.call_with(Outcome::InvalidNumber).await;
    assert_eq!(world.why_not(&campaign, &lease.lead_id).await, [Condition::AttemptsLeft, Condition::Retried]);
    let settings = pb::SchedulerSettings { max_concurrency: Some(0), ..Default::default() };
    world.set(settings).await;
    let open = world.campaign(rules()).await;
    let waiting = world.add(&open, vec![lead(90)]).await.remove(0);
    assert_eq!(world.why_not(&open, &waiting).await, [Condition::EngineRoom]);
    assert_ne!(spent, &waiting);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_and_zones_are_told_with_the_instant_at_which_they_open() {
    let mut world = World::start().await;
    let now = world.now().await;
    let later = |hours: i64| (now + TimeDelta::hours(hours)).format("%H:00").to_string();
    let closed = pb::CampaignRules {
        calling_hours: Some(hours(&later(3), &until(&later(5)))),
        default_time_zone: String::new(),
        ..rules()
    };
    let campaign = world.campaign(closed).await;
    let zoned = pb::NewLead { time_zone: "Etc/UTC".into(), ..lead(1) };
    let leads = world.add(&campaign, vec![zoned]).await;
    let _dialer = world.dialer(&campaign, 1).await;
    let told = world.explain_at(&campaign, &leads[0], None).await;
    assert_eq!(told.failed.iter().map(pb::FailedCondition::condition).collect::<Vec<_>>(), [Condition::CallingHours]);
    let opens = instant(told.first_callable_at.unwrap());
    assert_eq!(opens.format("%H:%M:%S").to_string(), format!("{}:00", later(3)));
    assert!(world.explain_at(&campaign, &leads[0], Some(opens)).await.callable);
    let before = world.explain_at(&campaign, &leads[0], Some(opens - TimeDelta::microseconds(1))).await;
    assert!(!before.callable);
    let over = world.explain_at(&campaign, &leads[0], Some(opens + TimeDelta::hours(2))).await;
    assert_eq!(over.first_callable_at.map(instant), Some(opens + TimeDelta::days(1)));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaigns_explanation_counts_every_lead() {
    let mut world = World::start().await;
    let campaign = world.campaign(attempts(1)).await;
    let leads = world.add_some(&campaign, 10).await;
    world.consume(&campaign, &[leads[0].as_str(), leads[1].as_str()]).await;
    world.suppress(&[number(2), number(3), number(4)]).await;
    let promised = world.promise(&campaign, &leads[5], Duration::from_secs(60)).await;
    let told = world.explain_campaign_at(&campaign, None).await;
    assert_eq!((told.leads, told.callable), (10, 4));
    let expected = [("CONDITION_CALLBACK_DUE", 1), ("CONDITION_NOT_COMPLETE", 2), ("CONDITION_NOT_SUPPRESSED", 3)];
    assert_eq!(counts(&told), BTreeMap::from(expected));
    let due = promised.callback_at.map(instant).unwrap();
    assert_eq!(world.explain_campaign_at(&campaign, Some(due)).await.callable, 5);
    world.pause(&campaign).await;
    let told = world.explain_campaign_at(&campaign, None).await;
    assert_eq!(told.failed[0].condition(), Condition::CampaignRunning);
    assert_eq!((told.callable, told.first_callable_at), (4, None), "but nobody is called while it is paused");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_explained() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let nobody = pb::ExplainLeadRequest { campaign_id: campaign.clone(), lead_id: crate::support::new_id(), at: None };
    assert_eq!(refusal(world.campaigns.explain_lead(nobody).await).code, Code::NotFound);
    let nothing = pb::ExplainCampaignRequest { campaign_id: crate::support::new_id(), at: None };
    assert_eq!(refusal(world.campaigns.explain_campaign(nothing).await).code, Code::NotFound);
    let nonsense = pb::ExplainLeadRequest { campaign_id: "x".into(), lead_id: String::new(), at: None };
    assert_eq!(refusal(world.campaigns.explain_lead(nonsense).await).fields, ["campaign_id", "lead_id"]);
    world.stop().await;
}

/// Leads in all kinds of states, by chance.
async fn stir(world: &mut World, campaign: &str, dialer: &mut Dialer, rng: &mut StdRng, leads: &[String]) {
    for _ in 0..leads.len() / 2 {
        let outcomes = [
            Outcome::NoAnswer,
            Outcome::Busy,
            Outcome::NotPlaced,
            Outcome::IntentNo,
            Outcome::InvalidNumber,
            Outcome::Failed,
            Outcome::DoNotCall,
        ];
        dialer.call_with(outcomes[rng.random_range(0..outcomes.len())]).await;
    }
    for lead_id in leads {
        let state = world.lead(campaign, lead_id).await.state();
        if state != LeadState::Eligible && state != LeadState::Ready {
            continue;
        }
        match rng.random_range(0..6) {
            0 => drop(world.consume(campaign, &[lead_id.as_str()]).await),
            1 => {
                let number = world.lead(campaign, lead_id).await.number;
                world.suppress(&[number]).await;
            }
            2 => drop(world.promise(campaign, lead_id, Duration::from_secs(rng.random_range(60..7200))).await),
            _ => {}
        }
    }
}

/// Which leads are leased when room is no matter; all are released again.
async fn leased(world: &World, campaign: &str) -> Vec<String> {
    let mut dialer = world.dialer(campaign, 100).await;
    let mut leads = Vec::new();
    while let Ok(lease) = tokio::time::timeout(QUIET * 2, dialer.lease()).await {
        leads.push(lease.lead_id);
    }
    leads.sort_unstable();
    leads
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_explained_is_what_is_leased_now_and_at_the_instants_foretold() {
    let seed =
        std::env::var("DIALPLANE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("DIALPLANE_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::start().await;
    let campaign = world
        .campaign(pb::CampaignRules {
            max_attempts: Some(2),
            retry_rules: vec![retry(Outcome::NoAnswer, Duration::from_secs(600)), retry(Outcome::Busy, Duration::ZERO)],
            ..rules()
        })
        .await;
    world.set(pb::SchedulerSettings { max_concurrency: Some(1000), ..Default::default() }).await;
    let leads = world.add_some(&campaign, 24).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    stir(&mut world, &campaign, &mut dialer, &mut rng, &leads).await;
    drop(dialer);
    let (mut instants, mut callable) = (Vec::new(), 0);
    for step in 0..4 {
        // A dialer must be there for the explanation; it holds one lease at the most.
        let idle = world.dialer(&campaign, 1).await;
        let mut foretold = BTreeMap::new();
        for lead_id in &leads {
            let told = world.explain_at(&campaign, lead_id, None).await;
            let first = if told.failed.iter().all(|one| one.condition() == Condition::NotLeased) {
                Some(DateTime::UNIX_EPOCH)
            } else {
                told.first_callable_at.map(instant)
            };
            instants.extend(first);
            foretold.extend(first.map(|first| (lead_id.clone(), first)));
        }
        drop(idle);
        let asked = world.now().await;
        let leased = leased(&world, &campaign).await;
        let answered = world.now().await;
        for (lead_id, first) in &foretold {
            let told = *first == DateTime::UNIX_EPOCH;
            callable += usize::from(told);
            assert!(!told || leased.contains(lead_id), "step {step}: {lead_id} may be called and is not");
            // Between the two its instant came or did not.
            let surely_not = *first > answered + TimeDelta::seconds(1);
            assert!(
                !surely_not || !leased.contains(lead_id),
                "step {step}: {lead_id} is called before {first} ({asked})"
            );
        }
        for lead_id in &leased {
            assert!(foretold.contains_key(lead_id), "step {step}: {lead_id} is called and nobody said when");
        }
        let now = world.now().await;
        instants.retain(|at| *at > now);
        instants.sort_unstable();
        let Some(next) = instants.first() else { break };
        world.advance((*next - now).to_std().unwrap()).await;
    }
    assert!(callable > 0, "somebody may be called");
    world.check().await;
    world.stop().await;
}
