//! Intake: imports in chunks that resume and repeat, duplicates that are reported or updated, rows refused one by one.

use std::collections::BTreeMap;

use dialplane::pb::{self, DuplicateAction, LeadState, Outcome, RefusedRowCode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::support::{
    World,
    asks::{QUIET, one_lead, taken_apart},
    lead, new_id, number, rules,
};

/// One stream of an import.
struct Import {
    campaign_id: String,
    import_id: String,
    chunks: mpsc::Sender<pb::ImportLeadsRequest>,
    acks: Streaming<pb::ImportLeadsResponse>,
}

impl Import {
    async fn open(world: &mut World, campaign_id: &str, import_id: &str) -> Import {
        let (chunks, outgoing) = mpsc::channel(8);
        let acks = world.campaigns.import_leads(ReceiverStream::new(outgoing)).await.unwrap().into_inner();
        Import { campaign_id: campaign_id.into(), import_id: import_id.into(), chunks, acks }
    }

    async fn send(&mut self, seq: i64, leads: Vec<pb::NewLead>) -> Result<pb::ImportLeadsResponse, Status> {
        self.send_with(seq, leads, DuplicateAction::Unspecified).await
    }

    async fn send_with(
        &mut self,
        seq: i64,
        leads: Vec<pb::NewLead>,
        action: DuplicateAction,
    ) -> Result<pb::ImportLeadsResponse, Status> {
        let chunk = pb::ImportLeadsRequest {
            campaign_id: self.campaign_id.clone(),
            import_id: self.import_id.clone(),
            seq,
            leads,
            on_duplicate: action.into(),
        };
        self.chunks.send(chunk).await.unwrap();
        Ok(self.acks.message().await?.expect("an acknowledgement"))
    }
}

fn rows(range: std::ops::Range<usize>) -> Vec<pb::NewLead> {
    range.map(lead).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_acknowledged_one_by_one_and_become_leads() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let mut import = Import::open(&mut world, &campaign, &new_id()).await;
    let first = import.send(1, rows(0..10)).await.unwrap();
    assert_eq!((first.seq, first.through_seq, first.created), (1, 1, 10));
    assert_eq!(world.stats(&campaign).await.leads, 10, "acknowledged is durable");
    let second = import.send(2, rows(10..15)).await.unwrap();
    assert_eq!((second.seq, second.through_seq, second.created), (2, 2, 5));
    assert_eq!(world.count(&campaign, LeadState::Eligible).await, 15);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_sent_twice_changes_nothing_and_is_answered_alike() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let id = new_id();
    let mut import = Import::open(&mut world, &campaign, &id).await;
    let mut chunk = rows(0..3);
    chunk.push(lead(0));
    let first = import.send(1, chunk.clone()).await.unwrap();
    assert_eq!((first.created, first.refused.len()), (3, 1));
    assert_eq!(import.send(1, chunk.clone()).await.unwrap(), first);
    let mut again = Import::open(&mut world, &campaign, &id).await;
    assert_eq!(again.send(1, chunk).await.unwrap(), first);
    assert_eq!(world.stats(&campaign).await.leads, 3);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_resumes_where_it_stopped() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let id = new_id();
    let mut import = Import::open(&mut world, &campaign, &id).await;
    import.send(1, rows(0..2)).await.unwrap();
    import.send(2, rows(2..4)).await.unwrap();
    drop(import);
    let mut resumed = Import::open(&mut world, &campaign, &id).await;
    let stands = resumed.send(0, Vec::new()).await.unwrap();
    assert_eq!((stands.seq, stands.through_seq), (0, 2));
    let third = resumed.send(3, rows(4..6)).await.unwrap();
    assert_eq!((third.through_seq, third.created), (3, 2));
    assert_eq!(world.stats(&campaign).await.leads, 6);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_out_of_order_is_refused_and_says_where_to_go_on() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let id = new_id();
    let mut import = Import::open(&mut world, &campaign, &id).await;
    import.send(1, rows(0..2)).await.unwrap();
    let refused = taken_apart(&import.send(3, rows(2..4)).await.unwrap_err());
    refused.is(Code::FailedPrecondition, "IMPORT_OUT_OF_ORDER");
    assert_eq!(refused.metadata["through_seq"], "1");
    assert!(import.acks.message().await.unwrap().is_none(), "the refusal ends the stream");
    assert_eq!(world.stats(&campaign).await.leads, 2);
    let mut resumed = Import::open(&mut world, &campaign, &id).await;
    assert_eq!(resumed.send(2, rows(2..4)).await.unwrap().created, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_chunks_are_refused_by_their_fields_and_write_nothing() {
    let mut world = World::start().await;
    let (campaign, other) = (world.draft(rules()).await, world.draft(rules()).await);
    for (seq, leads, field) in
        [(-1, rows(0..1), "seq"), (0, rows(0..1), "leads"), (1, Vec::new(), "leads"), (1, rows(0..5001), "leads")]
    {
        let mut import = Import::open(&mut world, &campaign, &new_id()).await;
        taken_apart(&import.send(seq, leads).await.unwrap_err()).is_bad_input(&[field]);
    }
    let mut nameless = Import::open(&mut world, &campaign, "7").await;
    taken_apart(&nameless.send(1, rows(0..1)).await.unwrap_err()).is_bad_input(&["import_id"]);
    let mut nowhere = Import::open(&mut world, &new_id(), &new_id()).await;
    taken_apart(&nowhere.send(1, rows(0..1)).await.unwrap_err()).is(Code::NotFound, "CAMPAIGN_NOT_FOUND");
    assert_eq!(world.database.count("select count(*) from lead").await, 0);
    assert_eq!(world.database.count("select count(*) from import").await, 0);
    let id = new_id();
    Import::open(&mut world, &campaign, &id).await.send(1, rows(0..1)).await.unwrap();
    let mut stolen = Import::open(&mut world, &other, &id).await;
    taken_apart(&stolen.send(2, rows(1..2)).await.unwrap_err()).is_bad_input(&["import_id"]);
    assert_eq!(world.stats(&other).await.leads, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_reported_and_leave_the_lead_as_it_was() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let ids = world.add_some(&campaign, 1).await;
    let before = world.lead(&campaign, &ids[0]).await;
    let mut import = Import::open(&mut world, &campaign, &new_id()).await;
    let again = pb::NewLead { score: Some(1), external_id: "x".into(), number: "(201) 555-0000".into(), ..lead(0) };
    let twins = vec![again, lead(1), lead(1)];
    let answer = import.send_with(1, twins, DuplicateAction::Report).await.unwrap();
    assert_eq!((answer.created, answer.updated), (1, 0));
    let refused: Vec<_> = answer.refused.iter().map(|row| (row.row, row.code())).collect();
    assert_eq!(refused, [(0, RefusedRowCode::Duplicate), (2, RefusedRowCode::Duplicate)]);
    assert_eq!(answer.refused[0].lead_id, ids[0]);
    assert_eq!(world.lead(&campaign, &ids[0]).await, before);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_updated_when_asked_but_never_in_state_or_flags() {
    let (mut world, campaign, id, mut dialer) = one_lead(rules()).await;
    dialer.call_with(Outcome::IntentNo).await;
    let mut import = Import::open(&mut world, &campaign, &new_id()).await;
    let again = pb::NewLead { score: Some(998), external_id: "crm".into(), time_zone: "Asia/Tokyo".into(), ..lead(0) };
    let answer = import.send_with(1, vec![again, lead(1)], DuplicateAction::Update).await.unwrap();
    assert_eq!((answer.created, answer.updated, answer.refused.len()), (1, 1, 0));
    let after = world.lead(&campaign, &id).await;
    assert_eq!((after.score, after.external_id.as_str(), after.time_zone.as_str()), (998, "crm", "Asia/Tokyo"));
    assert_eq!((after.state(), after.attempts), (LeadState::IntentNo, 1));
    assert_eq!(dialer.lease().await.number, number(1), "who has spoken is not called again");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_external_id_of_another_number_is_refused() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let keyed = |n: usize| pb::NewLead { external_id: "same".into(), ..lead(n) };
    let mut import = Import::open(&mut world, &campaign, &new_id()).await;
    let answer = import.send(1, vec![keyed(0), keyed(1), lead(2)]).await.unwrap();
    assert_eq!(answer.created, 2);
    assert_eq!((answer.refused[0].row, answer.refused[0].code()), (1, RefusedRowCode::BadExternalId));
    let answer = import.send_with(2, vec![keyed(2)], DuplicateAction::Update).await.unwrap();
    assert_eq!((answer.updated, answer.refused[0].code()), (0, RefusedRowCode::BadExternalId));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_suppressed_comes_in_and_is_not_called() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.suppress(&[number(1)]).await;
    let mut dialer = world.dialer(&campaign, 3).await;
    let mut import = Import::open(&mut world, &campaign, &new_id()).await;
    assert_eq!(import.send(1, rows(0..2)).await.unwrap().created, 2);
    assert_eq!(dialer.lease().await.number, number(0));
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.stats(&campaign).await.suppressed, 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_refused_row_by_row_and_the_good_ones_become_leads() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let megabyte = "x".repeat(1 << 20);
    let with = |change: &dyn Fn(&mut pb::NewLead)| {
        let mut row = lead(50);
        change(&mut row);
        row
    };
    let leads = vec![
        lead(0),
        with(&|row| row.number = "not a number".into()),
        with(&|row| row.number.clear()),
        with(&|row| row.number = "+999123456789".into()),
        with(&|row| row.number = megabyte.clone()),
        with(&|row| row.time_zone = "Mars/Olympus".into()),
        with(&|row| row.score = Some(999)),
        with(&|row| row.score = Some(-1)),
        with(&|row| row.external_id = megabyte.clone()),
        with(&|row| row.variables = BTreeMap::from([("k".into(), megabyte.clone())])),
        with(&|row| row.variables = BTreeMap::from([(String::new(), "v".into())])),
        with(&|row| row.variables = BTreeMap::from([("k".into(), "nul\0".into())])),
        with(&|row| row.external_id = "nul\0".into()),
        lead(0),
        lead(1),
    ];
    let request = pb::CreateLeadsRequest { campaign_id: campaign.clone(), leads, ..Default::default() };
    let answer = world.campaigns.create_leads(request).await.unwrap().into_inner();
    use pb::RefusedRowCode::{BadExternalId, BadNumber, BadScore, BadTimeZone, BadVariables, Duplicate};
    let refused: Vec<_> = answer.refused.iter().map(|row| (row.row, row.code())).collect();
    let wanted = [
        (1, BadNumber),
        (2, BadNumber),
        (3, BadNumber),
        (4, BadNumber),
        (5, BadTimeZone),
        (6, BadScore),
        (7, BadScore),
        (8, BadExternalId),
        (9, BadVariables),
        (10, BadVariables),
        (11, BadVariables),
        (12, BadExternalId),
        (13, Duplicate),
    ];
    assert_eq!(refused, wanted);
    assert!(answer.refused.iter().all(|row| row.reason.len() < 200), "the value is not repeated");
    assert_eq!((answer.created, world.stats(&campaign).await.leads), (2, 2));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_are_in_the_order_in_which_their_chunks_were_sent() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let import_id = new_id();
    let mut import = Import::open(&mut world, &campaign, &import_id).await;
    // None waits for the one before it: chunks are read while others are written.
    for seq in 1..=8 {
        let first = usize::try_from(seq - 1).unwrap() * 300;
        let (campaign_id, import_id) = (campaign.clone(), import_id.clone());
        let leads = rows(first..first + 300);
        let chunk = pb::ImportLeadsRequest { campaign_id, import_id, seq, leads, ..Default::default() };
        import.chunks.send(chunk).await.unwrap();
    }
    for seq in 1..=8 {
        let ack = import.acks.message().await.unwrap().unwrap();
        assert_eq!((ack.seq, ack.through_seq, ack.created), (seq, seq, 300));
    }
    let turned =
        "select count(*) from (select number < lag(number) over (order by lead_id) as back from lead) l where back";
    assert_eq!(world.database.count(turned).await, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_several_bring_at_once_comes_in_once_and_is_reported_to_the_others() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let mut bringing = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = world.campaigns.clone();
        let request =
            pb::CreateLeadsRequest { campaign_id: campaign.clone(), leads: rows(0..500), ..Default::default() };
        bringing.spawn(async move { client.create_leads(request).await.unwrap().into_inner() });
    }
    let answers = bringing.join_all().await;
    assert_eq!(answers.iter().map(|answer| answer.created).sum::<i32>(), 500);
    let refused: Vec<_> = answers.iter().flat_map(|answer| &answer.refused).collect();
    assert_eq!(refused.len(), 1500);
    assert!(refused.iter().all(|row| row.code() == RefusedRowCode::Duplicate && !row.lead_id.is_empty()));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_chunk_asks_of_the_list_does_not_grow_with_it_even_where_the_statistics_are_old() {
    let mut world = World::start().await;
    // By them a campaign has one lead.
    let others = "insert into lead (campaign_id, lead_id, number, created_at, updated_at, rank, external_id)
                  select 1000 + n, gen_random_uuid(), 4930000000 + n, now(), now(), 1, 'of ' || n from generate_series(1, 1000) n;
                  alter table lead set (autovacuum_enabled = off); analyze lead";
    world.database.sql.batch_execute(others).await.unwrap();
    let campaign = world.draft(rules()).await;
    let keyed = |n: usize| pb::NewLead { external_id: format!("key {n}"), ..lead(n) };
    let leads = (0..2000).map(keyed).collect();
    let request = pb::CreateLeadsRequest { campaign_id: campaign, leads, ..Default::default() };
    assert_eq!(world.campaigns.clone().create_leads(request).await.unwrap().into_inner().created, 2000);
    let ask = "begin; select open_intake(max(campaign_id), array[12015550007, 1], array['key 8', 'new']) from campaign";
    world.database.sql.batch_execute(ask).await.unwrap();
    let read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'lead'";
    assert_eq!(world.database.count(read).await, 2, "the number and the key that are there");
    world.database.sql.batch_execute("commit; delete from lead where campaign_id > 1000").await.unwrap();
    world.check().await;
    world.stop().await;
}
