//! Printing: tables for people, JSON for programs. Nothing here knows a message of the protocol; see `views`.

use std::io::{self, Write as _};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::Error;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document, for programs.
    Json,
}

/// Prints a line to standard output. `println!` would panic when the reader of a pipe has gone.
pub fn say(line: impl AsRef<str>) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = out.write_all(line.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n"));
    match written.and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::OutputClosed),
        Err(error) => Err(Error::Io { what: "standard output".into(), source: error }),
    }
}

/// Prints a JSON document.
pub fn say_json(value: &Value) -> Result<(), Error> {
    say(format!("{value:#}"))
}

/// A table with these headings. A heading that starts with `>` makes a right-aligned column.
pub fn table<const N: usize>(headings: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.map(|heading| Cell::new(heading.trim_start_matches('>'))));
    for (index, heading) in headings.iter().enumerate() {
        if let (true, Some(column)) = (heading.starts_with('>'), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table of names and values.
pub fn facts(rows: impl IntoIterator<Item = (&'static str, String)>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table
}
