//! What is known after a storm: the two logs, and the engine's own records.

use std::{fs, io, path::Path};

use serde::de::DeserializeOwned;

/// The records of a log. Its last line may be cut: its writer was killed.
pub fn read_log<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let bytes = fs::read(path)?;
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // After the last line feed comes nothing, or a cut line.
    lines.pop();
    lines.into_iter().map(|line| serde_json::from_slice(line).map_err(io::Error::from)).collect()
}
