//! COMPLETED is RUNNING with nobody left to be called: derived, never stored, and never said too early.

use std::time::Duration;

use dialplane::pb::{self, CampaignState, Outcome};

use crate::support::{World, asks::attempts, eventually, hours, lead, lead_nowhere, number, retry, rules};

impl World {
    async fn shown(&mut self, campaign_id: &str) -> CampaignState {
        let request = pb::GetCampaignRequest { campaign_id: campaign_id.into() };
        let shown = self.campaigns.get_campaign(request).await.unwrap().into_inner().campaign.unwrap().state();
        assert_eq!(self.stats(campaign_id).await.state(), shown);
        let listed = |state: CampaignState| pb::ListCampaignsRequest { state: state.into(), ..Default::default() };
        for state in [CampaignState::Unspecified, CampaignState::Running, CampaignState::Completed] {
            let found = self.campaigns.list_campaigns(listed(state)).await.unwrap().into_inner().campaigns;
            let found = found.iter().find(|campaign| campaign.campaign_id == campaign_id).map(pb::Campaign::state);
            assert_eq!(found, (state == shown || state == CampaignState::Unspecified).then_some(shown), "{state:?}");
        }
        shown
    }

    /// Waits until the campaign is complete: the warmer may have to look at leads first.
    async fn completes(&mut self, campaign_id: &str) {
        let client = self.campaigns.clone();
        eventually("the campaign is complete", || {
            let (mut client, campaign_id) = (client.clone(), campaign_id.to_owned());
            async move {
                let request = pb::GetCampaignRequest { campaign_id };
                let campaign = client.get_campaign(request).await.unwrap().into_inner().campaign.unwrap();
                (campaign.state() == CampaignState::Completed).then_some(())
            }
        })
        .await;
        assert_eq!(self.shown(campaign_id).await, CampaignState::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_complete_when_everybody_has_been_reached_or_given_up() {
    let mut world = World::start().await;
    let ways = [
        (Outcome::IntentYes, 3),
        (Outcome::IntentNo, 3),
        (Outcome::DoNotCall, 3),
        (Outcome::InvalidNumber, 3),
        (Outcome::NoAnswer, 1),
        (Outcome::Failed, 1),
    ];
    for (way, (outcome, max_attempts)) in ways.into_iter().enumerate() {
        let campaign = world.campaign(attempts(max_attempts)).await;
        world.add(&campaign, vec![lead(2 * way), lead(2 * way + 1)]).await;
        let mut dialer = world.dialer(&campaign, 1).await;
        dialer.call_with(outcome).await;
        assert_eq!(world.shown(&campaign).await, CampaignState::Running, "{outcome:?}: one is left");
        dialer.call_with(outcome).await;
        assert_eq!(world.shown(&campaign).await, CampaignState::Completed, "{outcome:?}");
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_complete_when_the_rest_is_suppressed_or_handled_by_hand() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 2).await;
    world.suppress(&[number(0)]).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running);
    world.consume(&campaign, &[&leads[1]]).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed);
    world.stop().await;
}

// politics-rewired/Spoke PR #1241: campaigns were marked complete by a job that had counted too little.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_not_complete_while_a_call_a_retry_or_a_promise_is_open_or_the_hours_are_closed() {
    let mut world = World::start().await;
    let soon = retry(Outcome::NoAnswer, Duration::from_secs(3600));
    let campaign = world.campaign(pb::CampaignRules { retry_rules: vec![soon], ..attempts(2) }).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "nobody is in it yet");
    let leads = world.add_some(&campaign, 2).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "nobody has been called");
    world.consume(&campaign, &[&leads[1]]).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "one has not been called");
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "a lease is out");
    dialer.begin(&lease).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "a call is under way");
    dialer.report(&lease.lease_id, Outcome::NoAnswer).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "a retry waits");
    world.promise(&campaign, &leads[0], Duration::from_secs(7200)).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "a promise waits");
    assert_eq!(world.stats(&campaign).await.due_soon, 0);
    world.advance(Duration::from_secs(7000)).await;
    assert_eq!(world.stats(&campaign).await.due_soon, 1);
    world.advance(Duration::from_secs(300)).await;
    dialer.call_with(Outcome::NoAnswer).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed, "its attempts are spent");
    // Closed all year but for one minute that has just passed or is hours away.
    let minute = world.now().await + chrono::TimeDelta::hours(6);
    let (start, end) = (minute.format("%H:%M"), (minute + chrono::TimeDelta::minutes(1)).format("%H:%M"));
    let closed = pb::CampaignRules { calling_hours: Some(hours(&start.to_string(), &end.to_string())), ..rules() };
    let closed = world.campaign(closed).await;
    world.add(&closed, vec![lead(5)]).await;
    let _dialer = world.dialer(&closed, 1).await;
    eventually("the lead waits for its hours", || async {
        (world.database.count("select count(*) from due where reason = 4").await > 0).then_some(())
    })
    .await;
    assert_eq!(world.shown(&closed).await, CampaignState::Running, "the hours are closed");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_that_lack_a_zone_or_an_instant_do_not_hold_a_campaign_up_but_are_counted() {
    let mut world = World::start().await;
    let campaign = world.campaign(pb::CampaignRules { default_time_zone: String::new(), ..rules() }).await;
    let nowhere = lead_nowhere(0);
    let somewhere = pb::NewLead { time_zone: "Etc/UTC".into(), ..lead(1) };
    let leads = world.add(&campaign, vec![nowhere, somewhere.clone()]).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let (called, _) = dialer.call_with(Outcome::IntentNo).await;
    assert_eq!(called.lead_id, leads[1]);
    world.completes(&campaign).await;
    assert_eq!(world.stats(&campaign).await.waiting_for_time_zone, 1);
    let later = world.add(&campaign, vec![pb::NewLead { number: number(2), ..somewhere }]).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running);
    world.promise(&campaign, &later[0], Duration::from_secs(3600)).await;
    // As a promise without an instant is stored.
    let held = "update due set at = 'infinity' where lane = 0; update lead set not_before = 'infinity', callback_at = 'infinity' \
                where state = 8";
    world.database.sql.batch_execute(held).await.unwrap();
    world.completes(&campaign).await;
    assert_eq!(world.stats(&campaign).await.held, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_leads_a_reset_more_attempts_and_a_lifted_suppression_wake_a_complete_campaign() {
    let mut world = World::start().await;
    let campaign = world.campaign(attempts(1)).await;
    world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    dialer.call_with(Outcome::NoAnswer).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed);
    world.run(&campaign).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed, "it runs already");

    world.reset(&campaign).await;
    assert_eq!(dialer.call_with(Outcome::NoAnswer).await.1.lead_state(), pb::LeadState::IntentNoAnswer);
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed);

    world.change(&campaign, "rules.max_attempts", attempts(2)).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Running, "a second attempt is due later");
    world.advance(Duration::from_secs(3 * 3600)).await;
    dialer.call_with(Outcome::NoAnswer).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed);

    world.suppress(&[number(1)]).await;
    world.add(&campaign, vec![lead(1)]).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed, "nobody may call the new one");
    let numbers = vec![number(1)];
    let request = pb::RemoveSuppressionsRequest { numbers, reason: "test".into(), ..Default::default() };
    world.campaigns.remove_suppressions(request).await.unwrap();
    assert_eq!(dialer.call_with(Outcome::IntentNo).await.0.number, number(1));
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed);

    world.add(&campaign, vec![lead(2)]).await;
    dialer.call_with(Outcome::IntentYes).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Completed);
    world.pause(&campaign).await;
    assert_eq!(world.shown(&campaign).await, CampaignState::Paused);
    world.check().await;
    world.stop().await;
}
