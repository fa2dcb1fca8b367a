//! A dialer's own record of its calls, one JSON object per line: the witness against which the demo holds the engine.
//!
//! All processes of the demo share one host, so their wall clocks are one clock.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::Error;

/// One call that had a permit. Instants are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The lease.
    pub lease_id: String,
    /// The lead.
    pub lead_id: String,
    /// When the lease arrived: its slot was taken by then.
    pub granted_us: u64,
    /// When the permit arrived: the phone rings from here.
    pub begun_us: u64,
    /// When the call was over, before that was reported: its slot was free only afterwards.
    pub ended_us: u64,
    /// What came of it, as `INTENT_YES`.
    pub outcome: String,
    /// The callback that was promised in this call.
    pub promises_us: Option<u64>,
    /// The promise that this call keeps.
    pub promised_us: Option<u64>,
}

/// The present instant: the one place where the demo reads the wall clock.
#[expect(clippy::disallowed_methods, reason = "a witness against the engine does not share its code")]
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Appends a record; complete once it returns, whatever becomes of the process.
pub fn append(file: &mut File, record: &CallRecord) -> Result<(), Error> {
    let mut line = serde_json::to_vec(record).map_err(|error| Error::Failed(error.to_string()))?;
    line.push(b'\n');
    file.write_all(&line).map_err(Error::io("the dialer's log"))
}

/// Reads a log.
pub fn read(path: &Path) -> Result<Vec<CallRecord>, Error> {
    let text = fs::read_to_string(path).map_err(Error::io(path.display().to_string()))?;
    let parse = |line| serde_json::from_str(line);
    text.lines()
        .map(parse)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
}
