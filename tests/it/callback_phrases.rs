//! `dialplane callback parse`: phrases to instants on the command line, without a server.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn parse(args: &[&str], input: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_dialplane"))
        .args(["callback", "parse"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = program.wait_with_output().unwrap();
    // A program that refuses its arguments reads nothing.
    let _ = writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_come_back_in_order_in_the_form_of_the_worked_examples() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/phrases/dev.jsonl");
    let examples = std::fs::read_to_string(path).unwrap();
    let output = parse(&["--jsonl"], &examples);
    assert!(output.status.success());
    let expected: Vec<Value> =
        examples.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["expect"].clone()).collect();
    assert_eq!(lines(&output), expected);
}

#[test]
fn a_bad_row_is_answered_in_its_place_and_told_with_its_number() {
    let good = r#"{"phrase": "at 5 pm", "now": "2026-10-14T11:20:00+05:30", "zone": "Asia/Kolkata"}"#;
    let rows = [
        good.to_owned(),
        "not json".to_owned(),
        String::new(),
        good.replace("Asia/Kolkata", "Asia/Nowhere"),
        good.replace("T11", " at 11"),
        good.replace("at 5 pm", &"x".repeat(100_000)),
        good.to_owned(),
    ];
    let output = parse(&["--jsonl"], &rows.join("\n"));
    assert_eq!(output.status.code(), Some(1));
    let answers = lines(&output);
    let read: Vec<bool> = answers.iter().map(|answer| answer["kind"] == "CALLBACK").collect();
    assert_eq!(read, [true, false, false, false, false, false, true]);
    assert!(answers[1..6].iter().all(|answer| answer["error"].is_string()), "{answers:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    for number in 2..=6 {
        assert!(told.contains(&format!("line {number}: ")), "{told}");
    }
}

#[test]
fn one_phrase_is_shown_as_a_table_or_as_json() {
    let at = ["--zone", "America/New_York", "--now", "2026-10-30T14:15:00Z"];
    let table = parse(&[&["tomorrow after four"], &at[..]].concat(), "");
    let text = String::from_utf8(table.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(
        words,
        [
            "kind",
            "CALLBACK",
            "earliest",
            "2026-10-31T16:00:00-04:00",
            "latest",
            "2026-10-31T18:00:00-04:00",
            "grain",
            "MINUTE",
        ]
    );
    let json = parse(&[&["stop calling me", "-o", "json"], &at[..]].concat(), "");
    let answer: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(answer, serde_json::json!({ "kind": "OPT_OUT" }));
}

#[test]
fn a_phrase_needs_a_zone_that_exists_and_an_instant_that_is_one() {
    for args in [
        &["at 5"][..],
        &["at 5", "--zone", "Mars/Base"],
        &["at 5", "--zone", "UTC", "--now", "noon"],
        &["at 5", "--zone", "UTC", "--jsonl"],
        &[],
    ] {
        let output = parse(args, "");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
