//! README's promise names tests: they must be there.

use std::{fs, path::Path};

fn sources(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Every test of the tree, by its source.
fn tests() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for dir in ["src", "tests"] {
        sources(&root.join(dir), &mut all);
    }
    all
}

/// The last column names tests that exist, at least one.
fn names_tests(row: &str, all: &str) {
    let tests = row.rsplit('|').nth(1).unwrap();
    // Names of tests are sentences; other words in backticks are shorter.
    let names: Vec<&str> = tests.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 2).collect();
    assert!(!names.is_empty(), "names no test: {row}");
    for name in names {
        assert!(all.contains(&format!("fn {name}(")), "no test is named {name}");
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn each_guarantee_names_tests_that_exist() {
    let (all, readme) = (tests(), read("README.md"));
    for number in 1..=11 {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {number} | "))).expect("a row per guarantee");
        names_tests(row, &all);
    }
}

#[test]
fn each_pain_of_the_field_names_tests_that_exist() {
    let (all, pains) = (tests(), read("docs/PAINS.md"));
    let rows: Vec<&str> = pains.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() >= 20, "{} rows", rows.len());
    rows.into_iter().for_each(|row| names_tests(row, &all));
}
