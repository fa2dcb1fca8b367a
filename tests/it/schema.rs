//! The schema by PostgreSQL's own catalogue, and how it comes to be.

use dialplane::{
    domain::{campaign::CampaignState, lead::LeadState, outcome::Outcome},
    store::{Store, StoreError, migrations::schema_version},
};

use crate::support::database::Database;

async fn column(database: &Database, sql: &str) -> Vec<String> {
    database.sql.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

const OURS: &str =
    "c.relnamespace = 'public'::regnamespace and c.relname not in ('refinery_schema_history', 'test_clock')";

#[tokio::test(flavor = "multi_thread")]
async fn every_table_has_a_primary_key() {
    let database = Database::create().await;
    let bare = format!(
        "select c.relname::text from pg_class c where c.relkind in ('r', 'p') and {OURS} \
         and not exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p')"
    );
    assert_eq!(column(&database, &bare).await, Vec::<String>::new());
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_and_unique_constraints_are_named_as_sentences() {
    let database = Database::create().await;
    // PostgreSQL's own names end in _check and _key.
    let unnamed = format!(
        "select k.conname::text from pg_constraint k join pg_class c on c.oid = k.conrelid where k.contype in ('c', 'u') and {OURS} \
         and (k.conname ~ '_(check|key)[0-9]*$' or k.conname !~ '_.*_')"
    );
    assert_eq!(column(&database, &unnamed).await, Vec::<String>::new());
    database.drop().await;
}

/// The codes that a check of the catalogue allows, in order.
async fn allowed(database: &Database, constraint: &str) -> Vec<i16> {
    let find = "select pg_get_constraintdef(oid) from pg_constraint where conname = $1";
    let text: String = database.sql.query_one(find, &[&constraint]).await.unwrap().get(0);
    let numbers: Vec<i16> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    if text.contains(">=") { (numbers[0]..=numbers[1]).collect() } else { numbers }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_in_checks_are_those_of_the_core() {
    let database = Database::create().await;
    let campaign_states: Vec<i16> = CampaignState::ALL.into_iter().map(CampaignState::code).collect();
    assert_eq!(allowed(&database, "campaign_state_is_known").await, campaign_states);
    // READY and DIALING_INTENT are places, not columns.
    let places = [LeadState::Ready, LeadState::DialingIntent];
    let states: Vec<i16> =
        LeadState::ALL.into_iter().filter(|state| !places.contains(state)).map(LeadState::code).collect();
    assert_eq!(allowed(&database, "places_are_not_columns").await, states);
    let waiting =
        [LeadState::Eligible, LeadState::IntentNoAnswer, LeadState::Failed, LeadState::Scheduled].map(LeadState::code);
    assert_eq!(allowed(&database, "due_leads_wait").await, waiting);
    assert_eq!(allowed(&database, "leased_leads_come_from_a_waiting_state").await, waiting);
    assert_eq!(allowed(&database, "ready_leads_come_from_a_waiting_state").await, waiting[..3]);
    // Statements name these by their codes.
    let named = [Outcome::DoNotCall, Outcome::InvalidNumber, Outcome::NotPlaced, Outcome::Unknown].map(Outcome::code);
    assert_eq!(named, [4, 10, 11, 12]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_may_migrate_an_empty_database_at_once() {
    let database = Database::create().await;
    database.sql.batch_execute("drop schema public cascade; create schema public").await.unwrap();
    let stores = [Store::new(&database.url, 1).unwrap(), Store::new(&database.url, 1).unwrap()];
    let (one, other) = tokio::join!(stores[0].migrate(), stores[1].migrate());
    one.unwrap();
    other.unwrap();
    stores[0].migrate().await.unwrap();
    let applied = database.count("select count(*) from refinery_schema_history").await;
    assert_eq!(applied, i64::from(schema_version()));
    database.drop().await;
}

/// Pinned plans look so dear to PostgreSQL that it would compile each for each call, where it may.
#[tokio::test(flavor = "multi_thread")]
async fn plans_are_not_compiled_on_a_server_that_would() {
    let database = Database::create().await;
    let name = column(&database, "select current_database()::text").await.remove(0);
    database.sql.batch_execute(&format!("alter database \"{name}\" set jit = on")).await.unwrap();
    let store = Store::new(&database.url, 1).unwrap();
    let jit: String = store.client().await.unwrap().query_one("show jit", &[]).await.unwrap().get(0);
    assert_eq!(jit, "off");
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_needs_a_newer_binary_is_refused() {
    let database = Database::create().await;
    let newer = schema_version() + 1;
    database.sql.execute("update schema_requirement set min_binary = $1", &[&newer]).await.unwrap();
    let refused = Store::new(&database.url, 1).unwrap().migrate().await;
    assert!(
        matches!(refused, Err(StoreError::BinaryTooOld { needed, ours }) if needed == newer && ours == newer - 1),
        "{refused:?}"
    );
    database.drop().await;
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let mut numbers: Vec<i32> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".sql").map(str::to_owned))
        .map(|name| name[1..].split_once("__").unwrap().0.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=schema_version()).collect::<Vec<_>>());
}
