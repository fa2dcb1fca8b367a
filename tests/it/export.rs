//! `dialplane export outcomes`: each outcome once, over any number of runs.

use std::{path::Path, process::Command};

use dialplane::pb::{self, Outcome};

use crate::support::{World, eventually, new_id, rules};

/// Runs the command to its end.
async fn run(world: &World, arguments: &[&str]) -> String {
    let server = format!("http://{}", world.replica.running.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
    command.args(["export", "outcomes", "--server", &server]).args(arguments);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn rows(file: &Path) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(file).unwrap().records().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_appends_what_has_come_since_and_nothing_else() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let dir = std::env::temp_dir().join(format!("dialplane-it-export-{}", new_id()));
    std::fs::create_dir(&dir).unwrap();
    let (csv, cursor) = (dir.join("out.csv"), dir.join("out.cursor"));
    let files = ["--file", csv.to_str().unwrap(), "--cursor-file", cursor.to_str().unwrap()];
    let mut leases = Vec::new();
    for _ in 0..3 {
        let lease = dialer.call().await;
        let report = pb::OutcomeReport {
            lease_id: lease.lease_id.clone(),
            outcome: Outcome::IntentNo.into(),
            note: "=1+1, \"quoted\"\nand broken".into(),
            ..Default::default()
        };
        dialer.report_all(report).await;
        leases.push(lease);
        // The order is final once no older transaction of the server runs: the next run finds what this one left.
        loop {
            run(&world, &files).await;
            if rows(&csv).len() == leases.len() {
                break;
            }
        }
    }
    run(&world, &files).await;
    let heading = csv::Reader::from_path(&csv).unwrap().headers().unwrap().clone();
    let column = |name: &str| heading.iter().position(|heading| heading == name).unwrap();
    let rows = rows(&csv);
    assert_eq!(rows.len(), 3);
    for (row, lease) in rows.iter().zip(&leases) {
        assert_eq!(
            (&row[column("lease_id")], &row[column("number")]),
            (lease.lease_id.as_str(), lease.number.as_str())
        );
        assert_eq!((&row[column("outcome")], &row[column("verdict")]), ("INTENT_NO", "ACCEPTED"));
        assert_eq!(&row[column("note")], "'=1+1, \"quoted\"\nand broken");
    }
    let lines = run(&world, &["-o", "json", "--campaign", &campaign]).await;
    let events: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["note"], "=1+1, \"quoted\"\nand broken");
    let rest = run(&world, &["-o", "json", "--from", events[1]["cursor"].as_str().unwrap()]).await;
    assert_eq!(rest.lines().count(), 1);
    std::fs::remove_dir_all(dir).unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_follows_writes_what_comes_and_goes_on_where_it_was_killed() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 4).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let dir = std::env::temp_dir().join(format!("dialplane-it-follow-{}", new_id()));
    std::fs::create_dir(&dir).unwrap();
    let (csv, cursor) = (dir.join("out.csv"), dir.join("out.cursor"));
    let kept = || std::fs::read_to_string(&cursor).unwrap_or_default();
    let mut leases = Vec::new();
    for life in 1..=2 {
        let mut program = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(["export", "outcomes", "--follow", "--server", &format!("http://{}", world.replica.running.address)])
            .args(["--file", csv.to_str().unwrap(), "--cursor-file", cursor.to_str().unwrap()])
            .spawn()
            .unwrap();
        for _ in 0..2 {
            leases.push(dialer.call_with(Outcome::IntentNo).await.0.lease_id);
        }
        eventually("the rows are written and the cursor is kept", || async {
            let last = leases.last().unwrap().replace('-', "");
            (csv.exists() && rows(&csv).len() == 2 * life && kept().contains(&last)).then_some(())
        })
        .await;
        program.kill().unwrap();
        program.wait().unwrap();
    }
    let written: Vec<String> = rows(&csv).iter().map(|row| row[5].to_owned()).collect();
    assert_eq!(written, leases);
    std::fs::remove_dir_all(dir).unwrap();
    world.stop().await;
}
