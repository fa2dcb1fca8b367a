//! The house's own rules, by reading its files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer, each with its reason. None may be added without one; one that is shorter again must go.
const LONG_FILES: [(&str, &str); 0] = [];
/// The same for functions.
const LONG_FUNCTIONS: [(&str, &str); 1] = [("src/cli/campaign.rs", "one match over the commands; to be split")];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(under: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(under), &mut found);
    let name = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect();
    files.sort();
    files
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

fn is_test(name: &str) -> bool {
    name.ends_with("tests.rs") || name.ends_with("_test.rs")
}

/// The modules of the crate that a file names, in `use` and elsewhere.
fn modules(text: &str) -> BTreeSet<String> {
    let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("crate::").filter(|(at, _)| !text[..*at].ends_with('$')) {
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        // The names at depth 0 of the group.
        let (mut depth, mut start) = (0, true);
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if start && c.is_alphanumeric() => {
                    found.insert(word(&group[index..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// Who may name whom.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("src/domain/", &["domain"]),
    ("src/store/", &["store", "domain", "failpoints"]),
    ("src/engine/", &["engine", "store", "domain", "clock", "failpoints"]),
    ("src/grpc/", &["grpc", "engine", "store", "domain", "pb"]),
    ("src/cli/", &["cli", "pb", "domain"]),
    ("src/embedded/", &["embedded"]),
    ("src/config.rs", &["domain"]),
    ("src/clock.rs", &[]),
    ("src/failpoints.rs", &[]),
];

#[test]
fn imports_go_one_way() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files("src").iter().filter(|(name, _)| !is_test(name)) {
        let Some((_, allowed)) = ALLOWED.iter().find(|(prefix, _)| name.starts_with(prefix)) else { continue };
        let named = modules(code(text));
        wrong.extend(
            named
                .iter()
                .filter(|module| !allowed.contains(&module.as_str()))
                .map(|module| format!("{name} names {module}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Words that must not stand under a folder.
fn without(under: &str, words: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, text) in rust_files(under).iter().filter(|(name, _)| !is_test(name)) {
        for (number, line) in code(text).lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            wrong.extend(
                words.iter().filter(|word| line.contains(*word)).map(|word| format!("{name}:{}: {word}", number + 1)),
            );
        }
    }
    wrong
}

#[test]
fn the_core_is_pure_the_engine_knows_no_sql_and_the_edge_no_pool() {
    let mut wrong =
        without("src/domain", &["async ", "tokio", "tracing::", "SystemTime::now", "Utc::now", "Instant::now"]);
    wrong.extend(without(
        "src/engine",
        &["tonic", "prost", "tokio_postgres", "deadpool", "select * ", "insert into", " where "],
    ));
    // LISTEN has a connection of its own outside the pool; it is to move to the store.
    wrong.retain(|found| !(found.starts_with("src/engine/loops/signals.rs") && found.ends_with("tokio_postgres")));
    wrong.extend(without("src/grpc", &["tokio_postgres", "deadpool", "store::Store", "Transaction"]));
    wrong.extend(without("src/store", &["tonic", "prost"]));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn nothing_is_left_undone() {
    let wrong = without("src", &["todo!", "unimplemented!", "dbg!", ".unwrap()", concat!("#[", "ignore")]);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mark = concat!("#[", "ignore");
    let ignored: Vec<_> =
        rust_files("tests").into_iter().filter(|(_, text)| text.contains(mark)).map(|(name, _)| name).collect();
    assert!(ignored.is_empty(), "{ignored:#?}");
}

#[test]
fn no_file_is_too_long() {
    let files = rust_files("src").into_iter().chain(rust_files("tests"));
    let long: Vec<String> = files
        .filter(|(name, text)| {
            text.lines().count() > FILE_LINES_MAX && !LONG_FILES.iter().any(|(known, _)| known == name)
        })
        .map(|(name, text)| format!("{name}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
    for (name, reason) in LONG_FILES {
        let lines = fs::read_to_string(root().join(name)).unwrap().lines().count();
        assert!(lines > FILE_LINES_MAX, "{name} is short again: it is no exception any more ({reason})");
    }
}

/// Functions by their indentation, which rustfmt keeps: from `fn` to the first closing brace of the same depth.
fn long_functions(name: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line
            .trim_start()
            .trim_start_matches("pub(crate) ")
            .trim_start_matches("pub(super) ")
            .trim_start_matches("pub ");
        if !["fn ", "async fn ", "const fn "].iter().any(|kind| words.starts_with(kind)) {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let end = lines[start..].iter().position(|line| *line == closing || line.trim_end().ends_with("{}"));
        let length = end.map_or(0, |end| end + 1);
        if length > FUNCTION_LINES_MAX {
            long.push(format!("{name}:{}: {length} lines", start + 1));
        }
    }
    long
}

#[test]
fn no_function_is_too_long() {
    let files = rust_files("src").into_iter().chain(rust_files("tests"));
    let long: Vec<String> = files
        .filter(|(name, _)| !LONG_FUNCTIONS.iter().any(|(known, _)| known == name))
        .flat_map(|(name, text)| long_functions(&name, &text))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}
