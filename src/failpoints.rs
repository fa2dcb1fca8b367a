//! Places where a test may kill this process, hard, by the environment of `serve`:
//! `FAILPOINTS="settle_after=20*off->return"` lets twenty settlements pass and dies at the next one. They are compiled in
//! only where tests are built (the feature `failpoints` of the crate `fail`, a dev-dependency); else they are nothing.

use std::time::Duration;

/// Every statement that changes who may be called, thrice: before it is sent; a moment after it was sent, not awaited;
/// after it is durable, and before anybody has heard of it.
pub const POINTS: [&str; 21] = [
    "refill_before",
    "refill_midway",
    "refill_after",
    "grant_before",
    "grant_midway",
    "grant_after",
    "begin_before",
    "begin_midway",
    "begin_after",
    "settle_before",
    "settle_midway",
    "settle_after",
    "release_before",
    "release_midway",
    "release_after",
    "reset_before",
    "reset_midway",
    "reset_after",
    "import_before",
    "import_midway",
    "import_after",
];

/// Long enough for a statement to be on its way, too short for its answer to matter.
const MIDWAY: Duration = Duration::from_millis(2);

/// Reads `FAILPOINTS`; what it answers is kept as long as they hold.
pub fn read_environment() -> Option<fail::FailScenario<'static>> {
    fail::has_failpoints().then(fail::FailScenario::setup)
}

/// Dies here, if told to.
#[inline]
pub fn pass(name: &'static str) {
    let _ = name;
    fail::fail_point!(name, |_| std::process::abort());
}

/// Dies a moment after here, if told to: while the next statement is under way.
#[inline]
pub fn midway(name: &'static str) {
    let _ = (name, MIDWAY);
    fail::fail_point!(name, |_| abort_soon());
}

#[allow(dead_code, clippy::disallowed_methods)]
fn abort_soon() {
    std::thread::spawn(|| {
        std::thread::sleep(MIDWAY);
        std::process::abort();
    });
}
