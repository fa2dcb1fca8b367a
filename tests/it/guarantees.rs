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

#[test]
fn each_guarantee_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    for dir in ["src", "tests"] {
        sources(&root.join(dir), &mut all);
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for number in 1..=11 {
        let row = readme.lines().find(|line| line.starts_with(&format!("| {number} | "))).expect("a row per guarantee");
        let tests = row.rsplit('|').nth(1).unwrap();
        // Names of tests are sentences; other words in backticks are shorter.
        let names: Vec<&str> =
            tests.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() >= 3).collect();
        assert!(!names.is_empty(), "guarantee {number} names no test");
        for name in names {
            assert!(all.contains(&format!("fn {name}(")), "guarantee {number}: no test is named {name}");
        }
    }
}
