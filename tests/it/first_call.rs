//! The main path, once through.

use dialplane::pb;

use crate::support::{World, rules};

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_leased_begun_and_reported() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    assert!(leads.contains(&lease.lead_id));
    assert_eq!(lease.attempt_number, 1);
    assert_eq!(world.lead(&campaign, &lease.lead_id).await.state(), pb::LeadState::DialingIntent);
    let result = dialer.report(&lease.lease_id, pb::Outcome::IntentYes).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    assert_eq!(result.lead_state(), pb::LeadState::IntentYes);
    let next = dialer.lease().await;
    assert_ne!(next.lead_id, lease.lead_id);
    world.check().await;
    world.stop().await;
}
