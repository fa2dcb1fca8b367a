//! Numbers and what is said of people stay out of logs, at every level.

use std::{
    fs::File,
    net::TcpListener,
    process::{Command, Stdio},
};

use dialplane::{
    domain::phone_number::PhoneNumber,
    pb::{self, campaign_service_client::CampaignServiceClient, scheduler_service_client::SchedulerServiceClient},
};
use tonic::transport::Endpoint;

use crate::support::{asks::said, database::Database, dialer::Dialer, eventually, new_id, rules};

#[test]
fn the_debug_form_of_a_number_shows_no_digits() {
    let number = PhoneNumber::parse("+12015550142", None).unwrap();
    let shown = format!("{number:?} {:?}", [number]);
    assert!(!shown.contains("2015550") && !shown.contains("5550142"), "{shown}");
}

/// A short life: import, a bad row, a call that is refused, one promised in words, one that asks never to be called, a suppression.
async fn live(url: &str, numbers: &[String], secret: &str) {
    let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
    let channel = eventually("the program listens", || async { endpoint.connect().await.ok() }).await;
    let mut campaigns = CampaignServiceClient::new(channel.clone());
    let request = pb::CreateCampaignRequest { name: "test".into(), rules: Some(rules()), ..Default::default() };
    let campaign_id = campaigns.create_campaign(request).await.unwrap().into_inner().campaign.unwrap().campaign_id;
    let row = |number: &String| pb::NewLead {
        number: number.clone(),
        external_id: format!("{secret}{number}"),
        variables: [("name".to_owned(), secret.to_owned())].into(),
        ..Default::default()
    };
    let leads: Vec<pb::NewLead> = numbers.iter().chain(&numbers[..1]).map(row).collect();
    campaigns
        .create_leads(pb::CreateLeadsRequest { campaign_id: campaign_id.clone(), leads, ..Default::default() })
        .await
        .unwrap();
    campaigns
        .start_campaign(pb::StartCampaignRequest { campaign_id: campaign_id.clone(), ..Default::default() })
        .await
        .unwrap();
    let mut dialer = Dialer::open(SchedulerServiceClient::new(channel), &[], 1).await;
    for outcome in [pb::Outcome::IntentNo, pb::Outcome::DoNotCall, pb::Outcome::NotPlaced] {
        let lease = dialer.call().await;
        let report = pb::OutcomeReport {
            lease_id: lease.lease_id,
            outcome: outcome.into(),
            note: secret.into(),
            metadata: [("said".to_owned(), secret.to_owned())].into(),
            ..Default::default()
        };
        dialer.report_all(report).await;
    }
    let lease = dialer.call().await;
    dialer.report_all(said(&lease.lease_id, &format!("tomorrow at 5, ask for {secret}"))).await;
    let request = pb::ScheduleCallbackRequest {
        campaign_id: campaign_id.clone(),
        lead_id: lease.lead_id.clone(),
        callback_phrase: format!("{secret} has time in ten minutes"),
        ..Default::default()
    };
    let _ = campaigns.schedule_callback(request).await;
    let request = pb::ParseCallbackRequest {
        phrase: format!("{secret} says 4 or 5"),
        campaign_id: campaign_id.clone(),
        lead_id: lease.lead_id,
        ..Default::default()
    };
    campaigns.parse_callback(request).await.unwrap();
    let request = pb::AddSuppressionsRequest { numbers: numbers.to_vec(), reason: "test".into(), ..Default::default() };
    campaigns.add_suppressions(request).await.unwrap();
    let request =
        pb::RemoveSuppressionsRequest { numbers: numbers.to_vec(), reason: "test".into(), ..Default::default() };
    campaigns.remove_suppressions(request).await.unwrap();
    let request = pb::CheckSuppressionsRequest { numbers: numbers.to_vec() };
    campaigns.check_suppressions(request).await.unwrap();
    for number in numbers {
        let request =
            pb::ListLeadsRequest { campaign_id: campaign_id.clone(), number: number.clone(), ..Default::default() };
        campaigns.list_leads(request).await.unwrap();
    }
    let request = pb::StreamOutcomesRequest { campaign_id, ..Default::default() };
    let mut outcomes = campaigns.stream_outcomes(request).await.unwrap().into_inner();
    while let Some(outcome) = outcomes.message().await.unwrap() {
        assert!(!format!("{outcome:?}").contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_at_any_level_names_a_number_or_what_is_said_of_a_person() {
    let database = Database::create().await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = std::env::temp_dir().join(format!("dialplane-it-log-{}", new_id()));
    let mut program = Command::new(env!("CARGO_BIN_EXE_dialplane"))
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--database-url", &database.url])
        .env("RUST_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let numbers: Vec<String> = (0..6).map(|n| format!("+1415555{:04}", 133 + n)).collect();
    live(&format!("http://127.0.0.1:{port}"), &numbers, "Frau-Geheimnis").await;
    program.kill().unwrap();
    program.wait().unwrap();
    let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    assert!(text.contains("serving") && text.contains("TRACE"), "the log is there");
    let told =
        |what: &str| text.lines().filter(|line| line.contains(what)).map(str::to_owned).take(3).collect::<Vec<_>>();
    for number in &numbers {
        assert_eq!(told(&number[2..]), Vec::<String>::new());
    }
    assert_eq!(told("Geheimnis"), Vec::<String>::new());
    std::fs::remove_file(log).unwrap();
    database.drop().await;
}
