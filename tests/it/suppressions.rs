//! Suppressions: for good or for a while, one by one or by the thousand, and what lifts them.

use std::{process::Stdio, time::Duration};

use dialplane::{
    engine::loops::lifter,
    pb::{self, LeadState, Outcome},
};
use tokio::process::Command;

use crate::support::{
    World,
    asks::{QUIET, instant, one_lead, refusal},
    lead, new_id, number, rules, timestamp,
};

impl World {
    /// Suppresses for so many seconds from now; `None`: for good.
    async fn suppress_for(&mut self, numbers: &[String], seconds: Option<u64>) -> pb::AddSuppressionsResponse {
        let now = self.now().await;
        let expires_at = seconds.and_then(|seconds| timestamp(now + Duration::from_secs(seconds)));
        let reason = seconds.map_or("for good".into(), |seconds| format!("{seconds} s"));
        let request =
            pb::AddSuppressionsRequest { numbers: numbers.to_vec(), reason, expires_at, ..Default::default() };
        self.campaigns.add_suppressions(request).await.unwrap().into_inner()
    }

    async fn suppression(&mut self, number: &str) -> pb::SuppressionCheck {
        let request = pb::CheckSuppressionsRequest { numbers: vec![number.to_owned()] };
        self.campaigns.check_suppressions(request).await.unwrap().into_inner().checks.remove(0)
    }

    async fn listed(&mut self, filter: pb::SuppressionFilter) -> Vec<String> {
        let mut request = pb::ListSuppressionsRequest { filter: Some(filter), page_size: 2, ..Default::default() };
        let mut numbers = Vec::new();
        loop {
            let page = self.campaigns.list_suppressions(request.clone()).await.unwrap().into_inner();
            assert!(page.suppressions.len() <= 2);
            numbers.extend(page.suppressions.into_iter().map(|one| one.number));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return numbers;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suppression_ends_at_its_instant_and_its_leads_are_called_again() {
    let (mut world, campaign, id, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    let done = world.suppress_for(&[number(0)], Some(60)).await;
    assert_eq!((done.added, done.extended, done.leads), (1, 0, 1));
    assert_eq!(dialer.revoked(&lease.lease_id).await, pb::RevokeReason::Suppressed);
    let check = world.suppression(&number(0)).await;
    let lasts = instant(check.expires_at.unwrap()) - instant(check.since.unwrap());
    assert!((55..=60).contains(&lasts.num_seconds()), "{lasts}");
    world.advance(Duration::from_secs(50)).await;
    assert_eq!(lifter::run_once(world.engine()).await.unwrap(), 0, "it is not over yet");
    assert!(dialer.gets_nothing_for(QUIET).await && world.lead(&campaign, &id).await.suppressed);
    world.advance(Duration::from_secs(11)).await;
    assert_eq!(dialer.call().await.lead_id, id);
    assert!(!world.suppression(&number(0)).await.suppressed);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_suppressions_of_a_number_the_longer_holds() {
    let mut world = World::start().await;
    let one = [number(0)];
    for (seconds, added, extended, held) in [
        (Some(3600), 1, 0, "3600 s"),
        (Some(60), 0, 0, "3600 s"),
        (Some(7200), 0, 1, "7200 s"),
        (None, 0, 1, "for good"),
        (Some(9000), 0, 0, "for good"),
        (None, 0, 0, "for good"),
    ] {
        let done = world.suppress_for(&one, seconds).await;
        assert_eq!((done.added, done.extended), (added, extended), "{seconds:?}");
        assert_eq!(world.suppression(&one[0]).await.reason, held);
    }
    world.advance(Duration::from_secs(10_000)).await;
    assert_eq!(lifter::run_once(world.engine()).await.unwrap(), 0);
    assert_eq!(world.suppression(&one[0]).await.expires_at, None);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_call_makes_a_suppression_last_for_good() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let ids = world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    // One is refused under the call, the other one afterwards.
    let (late, _) = dialer.call_with(Outcome::NoAnswer).await;
    let call = dialer.call().await;
    world.suppress_for(&[number(0), number(1)], Some(60)).await;
    dialer.report(&call.lease_id, Outcome::DoNotCall).await;
    dialer.report(&late.lease_id, Outcome::DoNotCall).await;
    world.advance(Duration::from_secs(100)).await;
    assert_eq!(lifter::run_once(world.engine()).await.unwrap(), 0);
    for (index, id) in ids.iter().enumerate() {
        let check = world.suppression(&number(index)).await;
        assert_eq!((check.suppressed, check.expires_at, check.reason.as_str()), (true, None, "DO_NOT_CALL"));
        assert!(world.lead(&campaign, id).await.do_not_call);
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_clears_no_do_not_call() {
    let (mut world, campaign, id, mut dialer) = one_lead(rules()).await;
    dialer.call_with(Outcome::DoNotCall).await;
    let elsewhere = world.draft(rules()).await;
    let twin = world.add_some(&elsewhere, 1).await.remove(0);
    // No call of ours makes it so; should it ever be, the flag holds by itself.
    world.database.sql.batch_execute("update suppression set expires_at = engine_now()").await.unwrap();
    while world.suppression(&number(0)).await.suppressed {
        lifter::run_once(world.engine()).await.unwrap();
    }
    let refused = world.lead(&campaign, &id).await;
    assert!(refused.do_not_call && refused.suppressed);
    assert!(!world.lead(&elsewhere, &twin).await.suppressed);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_suppressions_hold_before_the_answer_first_and_last_of_them_alike() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add(&campaign, vec![lead(0), lead(9_999), lead(10_000)]).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let begun = dialer.call().await;
    let waiting = dialer.lease().await;
    let numbers: Vec<String> = (0..10_000).map(number).collect();
    let done = world.suppress(&numbers).await;
    assert_eq!((done.added, done.leads), (10_000, 2));
    let live =
        world.database.count("select count(*) from lease z join suppression using (number) where begun_at is null");
    assert_eq!(live.await, 0, "at the answer");
    assert_eq!(dialer.revoked(&waiting.lease_id).await, pb::RevokeReason::Suppressed);
    assert_eq!(dialer.lease().await.number, number(10_000), "the only one left");
    dialer.report(&begun.lease_id, Outcome::NoAnswer).await;
    let again = world.suppress(&numbers).await;
    assert_eq!((again.added, again.extended, again.leads), (0, 0, 0), "a list taken in twice changes nothing");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_and_suppressions_of_the_same_new_numbers_at_once_end_blocked() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    for round in 0..20 {
        let of: Vec<usize> = (round * 50..round * 50 + 50).collect();
        let create = pb::CreateLeadsRequest {
            campaign_id: campaign.clone(),
            leads: of.iter().map(|n| lead(*n)).collect(),
            ..Default::default()
        };
        let add = pb::AddSuppressionsRequest { numbers: of.iter().map(|n| number(*n)).collect(), ..Default::default() };
        let (mut one, mut other) = (world.campaigns.clone(), world.campaigns.clone());
        let (created, added) = tokio::join!(one.create_leads(create), other.add_suppressions(add));
        assert_eq!((created.unwrap().into_inner().created, added.unwrap().into_inner().added), (50, 50));
    }
    assert_eq!(world.stats(&campaign).await.suppressed, 1000);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suppressions_are_listed_in_order_of_number_by_what_they_are() {
    let mut world = World::start().await;
    world.suppress_for(&[number(3), number(1)], Some(60)).await;
    world.advance(Duration::from_secs(10)).await;
    let now = world.now().await;
    world.suppress_for(&[number(0), number(2), number(4)], None).await;
    let all = pb::SuppressionFilter::default();
    assert_eq!(world.listed(all.clone()).await, (0..5).map(number).collect::<Vec<_>>());
    let soon = pb::SuppressionFilter { expires_before: timestamp(now + Duration::from_secs(80)), ..all.clone() };
    assert_eq!(world.listed(soon).await, [number(1), number(3)]);
    let old = pb::SuppressionFilter { created_before: timestamp(now), ..all.clone() };
    assert_eq!(world.listed(old).await, [number(1), number(3)]);
    let reason = pb::SuppressionFilter { reason: "for good".into(), ..all };
    assert_eq!(world.listed(reason).await, [number(0), number(2), number(4)]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_suppressions_that_match_are_lifted_and_counted_before() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    world.add_some(&campaign, 3).await;
    let wrong: Vec<String> = (0..2_500).map(number).collect();
    world.suppress(&wrong).await;
    world.suppress_for(&[number(3_000), number(0)], None).await;
    let filter = Some(pb::SuppressionFilter { reason: "test".into(), ..Default::default() });
    let request = pb::RemoveSuppressionsRequest {
        filter,
        reason: "a wrong list".into(),
        validate_only: true,
        request_id: new_id(),
        ..Default::default()
    };
    let mut remove = async |request: &pb::RemoveSuppressionsRequest| {
        world.campaigns.remove_suppressions(request.clone()).await.unwrap().into_inner()
    };
    let counted = remove(&request).await;
    assert_eq!((counted.removed, counted.leads), (2_500, 3));
    let request = pb::RemoveSuppressionsRequest { validate_only: false, request_id: new_id(), ..request };
    assert_eq!(remove(&request).await, counted);
    assert_eq!(remove(&request).await, counted, "a repetition is answered alike");
    assert_eq!(world.listed(pb::SuppressionFilter::default()).await, [number(3_000)]);
    assert_eq!(world.stats(&campaign).await.suppressed, 0);
    let of =
        pb::ListAuditEventsRequest { method: "RemoveSuppressions".into(), number: number(1_700), ..Default::default() };
    let events = world.campaigns.list_audit_events(of).await.unwrap().into_inner().events;
    assert_eq!(events.len(), 1, "the event of its batch names the number");
    assert_eq!(events[0].details["reason"], "a wrong list");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_about_suppressions_is_refused_by_its_field() {
    let mut world = World::start().await;
    let now = world.now().await;
    let numbers = vec![number(0)];
    let past =
        pb::AddSuppressionsRequest { numbers: numbers.clone(), expires_at: timestamp(now), ..Default::default() };
    refusal(world.campaigns.add_suppressions(past).await).is_bad_input(&["expires_at"]);
    let odd = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let add = pb::AddSuppressionsRequest { numbers: numbers.clone(), expires_at: odd, ..Default::default() };
    refusal(world.campaigns.add_suppressions(add).await).is_bad_input(&["expires_at"]);
    let filter = pb::SuppressionFilter { created_before: odd, expires_before: odd, reason: "x".repeat(201) };
    let fields = ["filter.reason", "filter.created_before", "filter.expires_before"];
    let list = pb::ListSuppressionsRequest { filter: Some(filter.clone()), ..Default::default() };
    refusal(world.campaigns.list_suppressions(list).await).is_bad_input(&fields);
    let list = pb::ListSuppressionsRequest { page_size: -1, page_token: "x".into(), ..Default::default() };
    refusal(world.campaigns.list_suppressions(list).await).is_bad_input(&["page_size", "page_token"]);
    let remove = pb::RemoveSuppressionsRequest { reason: "r".into(), ..Default::default() };
    let empty = pb::RemoveSuppressionsRequest { filter: Some(Default::default()), ..remove.clone() };
    refusal(world.campaigns.remove_suppressions(empty).await).is_bad_input(&["filter"]);
    let both = pb::SuppressionFilter { reason: "x".into(), ..Default::default() };
    let both = pb::RemoveSuppressionsRequest { numbers, filter: Some(both), ..remove.clone() };
    refusal(world.campaigns.remove_suppressions(both).await).is_bad_input(&["filter"]);
    refusal(world.campaigns.remove_suppressions(remove).await).is_bad_input(&["numbers"]);
    assert_eq!(world.database.count("select count(*) from suppression").await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_imports_a_list_tells_refused_rows_and_changes_nothing_the_second_time() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    world.add_some(&campaign, 30).await;
    let dir = std::env::temp_dir().join(format!("dialplane-it-suppress-{}", new_id()));
    std::fs::create_dir(&dir).unwrap();
    let rows: String = (0..25).map(|n| format!("{},not a score\n", &number(n)[2..])).collect();
    std::fs::write(dir.join("list.csv"), format!("Telefon,score\n{rows}12,\n")).unwrap();
    let server = format!("http://{}", world.replica.running.address);
    let run = async |line: &str| {
        let file = dir.join("list.csv").display().to_string();
        let output = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(line.split(' ').map(|word| word.replace("FILE", &file)))
            .args(["-o", "json", "--server", &server])
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), json)
    };
    let import = "suppress import FILE --map number=Telefon --default-region US --for 30d --reason list --chunk 10";
    let (code, first) = run(import).await;
    assert_eq!((code, &first["added"], &first["leads"], &first["refused"]), (1, &25.into(), &25.into(), &1.into()));
    assert_eq!(first["refused_rows"][0]["line"], 27);
    let written = std::fs::read_to_string(dir.join("list.refused.csv")).unwrap();
    assert!(written.starts_with("refused_line,refused_reason,Telefon,score\n27,number: "), "{written}");
    let shorter = import.replace("30d", "29d");
    let (_, second) = run(&shorter).await;
    assert_eq!((&second["rows"], &second["added"], &second["extended"]), (&26.into(), &0.into(), &0.into()));
    let (code, checked) = run(&format!("suppress check {} {}", number(24), number(25))).await;
    assert_eq!((code, &checked[0]["suppressed"], &checked[1]["suppressed"]), (0, &true.into(), &false.into()));
    let (_, removed) = run("suppress remove --with-reason list --reason test --dry-run").await;
    assert_eq!((&removed["removed"], &removed["leads"]), (&25.into(), &25.into()));
    let (_, consumed) = run(&format!("leads consume --campaign {campaign} --state ELIGIBLE")).await;
    assert_eq!((&consumed["matched"], &consumed["consumed"]), (&30.into(), &30.into()));
    let (_, listed) = run("suppress list --limit 0").await;
    assert_eq!(listed["suppressions"].as_array().unwrap().len(), 25);
    assert_eq!(world.count(&campaign, LeadState::Consumed).await, 30);
    std::fs::remove_dir_all(dir).unwrap();
    world.check().await;
    world.stop().await;
}
