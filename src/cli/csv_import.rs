//! From a CSV file to chunks of leads.
//!
//! The same file with the same options gives the same chunks, always: an import that goes on later relies on it.

use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};
use prost::Message as _;

use super::{
    Error,
    csv_columns::{Columns, Mapping},
};
use crate::pb::NewLead;

/// A chunk is closed at this size: 1,000 leads with full variables would be more than a server takes at once.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// A row as it stands in the file.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its line, from 1.
    pub line: u64,
    /// Its cells.
    pub cells: ByteRecord,
}

/// Leads to be sent together.
#[derive(Debug)]
pub struct Chunk {
    /// 1, 2, 3, ...
    pub seq: i64,
    /// At least one.
    pub leads: Vec<NewLead>,
    /// The row of each lead, for the file of refused ones.
    pub rows: Vec<Row>,
    /// How far into the file the chunk reaches.
    pub through_byte: u64,
}

/// A CSV file, read chunk by chunk.
pub struct CsvSource<R> {
    reader: Reader<R>,
    headings: Vec<String>,
    delimiter: u8,
    columns: Columns,
    chunk_rows_max: usize,
    next_seq: i64,
    /// Whether the heading ends with CRLF.
    crlf: bool,
    /// Read, and too large for the chunk before.
    held_over: Option<(Row, NewLead)>,
}

impl<R: Read> CsvSource<R> {
    /// Reads the heading and settles which column is what.
    pub fn open(input: R, delimiter: u8, mappings: &[Mapping], chunk_rows_max: usize) -> Result<Self, Error> {
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
        let heading = reader.byte_headers().map_err(unreadable)?.clone();
        let crlf = reader.position().line() == 1 + newlines(&heading);
        let cell = |cell: &[u8]| {
            let text = std::str::from_utf8(cell).map_err(|_| Error::Usage("the heading is not UTF-8 text".into()))?;
            Ok(text.trim_start_matches('\u{feff}').trim().to_owned())
        };
        let headings = heading.iter().map(cell).collect::<Result<Vec<_>, Error>>()?;
        let columns = Columns::resolve(&headings, mappings)?;
        Ok(Self {
            reader,
            headings,
            delimiter,
            columns,
            chunk_rows_max: chunk_rows_max.max(1),
            next_seq: 1,
            crlf,
            held_over: None,
        })
    }

    /// Reads nothing but the numbers.
    pub fn numbers_only(self) -> Self {
        Self { columns: self.columns.numbers_only(), ..self }
    }

    /// The headings of the file.
    pub fn headings(&self) -> &[String] {
        &self.headings
    }

    /// What separates its columns.
    pub fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The next chunk, none at the end. Rows that make no lead go to `refuse`, with the reason.
    pub fn next_chunk(
        &mut self,
        refuse: &mut dyn FnMut(Row, String) -> Result<(), Error>,
    ) -> Result<Option<Chunk>, Error> {
        let mut chunk = Chunk { seq: self.next_seq, leads: Vec::new(), rows: Vec::new(), through_byte: 0 };
        let mut bytes = 0;
        while chunk.leads.len() < self.chunk_rows_max {
            let Some((row, lead)) = self.next_lead(refuse)? else {
                break;
            };
            bytes += lead.encoded_len();
            if bytes > CHUNK_BYTES_MAX && !chunk.leads.is_empty() {
                self.held_over = Some((row, lead));
                break;
            }
            chunk.leads.push(lead);
            chunk.rows.push(row);
        }
        if chunk.leads.is_empty() {
            return Ok(None);
        }
        chunk.through_byte = self.reader.position().byte();
        self.next_seq += 1;
        Ok(Some(chunk))
    }

    fn next_lead(
        &mut self,
        refuse: &mut dyn FnMut(Row, String) -> Result<(), Error>,
    ) -> Result<Option<(Row, NewLead)>, Error> {
        if let Some(held_over) = self.held_over.take() {
            return Ok(Some(held_over));
        }
        let mut cells = ByteRecord::new();
        while self.reader.read_byte_record(&mut cells).map_err(unreadable)? {
            let line = self.line_of(&cells);
            let row = Row { line, cells: cells.clone() };
            match self.columns.lead(&cells, &self.headings) {
                Ok(lead) => return Ok(Some((row, lead))),
                Err(reason) => refuse(row, reason)?,
            }
        }
        Ok(None)
    }

    /// The line on which a row that was just read starts. The reader's own count starts at the blank lines before the
    /// row, and with CRLF it is one behind, since a row is over at its CR.
    fn line_of(&self, cells: &ByteRecord) -> u64 {
        let inside = newlines(cells);
        let terminator = u64::from(!self.crlf);
        let searched_from = cells.position().map_or(0, csv::Position::line);
        searched_from.max(self.reader.position().line().saturating_sub(inside + terminator))
    }
}

fn newlines(cells: &ByteRecord) -> u64 {
    cells.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64
}

fn unreadable(error: csv::Error) -> Error {
    Error::Failed(format!("the file cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All chunks, and the refused rows as (line, reason).
    type ReadFile = (Vec<Chunk>, Vec<(u64, String)>);

    fn read(input: &[u8], map: &[&str], rows: usize) -> Result<ReadFile, Error> {
        let mappings: Vec<Mapping> = map.iter().map(|text| text.parse().expect("a mapping")).collect();
        let mut source = CsvSource::open(input, b',', &mappings, rows)?;
        let (mut chunks, mut refused) = (Vec::new(), Vec::new());
        let mut refuse = |row: Row, reason: String| {
            refused.push((row.line, reason));
            Ok(())
        };
        while let Some(chunk) = source.next_chunk(&mut refuse)? {
            chunks.push(chunk);
        }
        Ok((chunks, refused))
    }

    #[test]
    fn known_headings_are_fields_and_the_others_variables() {
        let file = "\u{feff}ID,Phone,city,zone,Score,empty\n7, +1 212 555 0100 ,Bonn,Europe/Berlin,900,\n";
        let (chunks, refused) = read(file.as_bytes(), &[], 10).expect("readable");
        assert!(refused.is_empty());
        let lead = &chunks[0].leads[0];
        assert_eq!((lead.number.as_str(), lead.external_id.as_str(), lead.score), ("+1 212 555 0100", "7", Some(900)));
        assert_eq!(lead.time_zone, "Europe/Berlin");
        assert_eq!(lead.variables.iter().collect::<Vec<_>>(), [(&"city".to_owned(), &"Bonn".to_owned())]);
    }

    #[test]
    fn a_mapping_names_the_columns() {
        let file = b"Ziel,number,Prio\n+4930,old,3\n";
        let (chunks, _) = read(file, &["number=Ziel", "score=Prio"], 10).expect("readable");
        assert_eq!((chunks[0].leads[0].number.as_str(), chunks[0].leads[0].score), ("+4930", Some(3)));
        assert_eq!(chunks[0].leads[0].variables["number"], "old");
        let missing = read(file, &["number=Nummer"], 10).map(|_| ());
        assert!(missing.is_err_and(|error| error.exit_code() == 2 && error.to_string().contains("Ziel, number, Prio")));
        assert!(read(b"name,city\na,b\n", &[], 10).is_err());
        assert!(read(b"number,x,x\n1,2,3\n", &[], 10).is_err());
        assert!("state=X".parse::<Mapping>().is_err());
    }

    #[test]
    fn a_row_that_is_not_text_is_refused_and_the_rest_goes_on() {
        let file = b"number,name\n1,good\n2,b\xfcse\n3\n4,x,y\n\n\"5\",\"two\nlines\"\n6,end\n";
        let (chunks, refused) = read(file, &[], 10).expect("readable");
        let numbers: Vec<_> = chunks[0].leads.iter().map(|lead| lead.number.as_str()).collect();
        assert_eq!(numbers, ["1", "5", "6"]);
        assert_eq!(lines(&chunks[0]), [2, 7, 9]);
        let expected = [
            (3, "name: not UTF-8 text"),
            (4, "the row has 1 columns, the heading 2"),
            (5, "the row has 3 columns, the heading 2"),
        ];
        assert_eq!(refused, expected.map(|(line, reason)| (line, reason.to_owned())));
    }

    fn lines(chunk: &Chunk) -> Vec<u64> {
        chunk.rows.iter().map(|row| row.line).collect()
    }

    #[test]
    fn rows_know_their_line_with_either_line_ending() {
        for ending in ["\n", "\r\n"] {
            let file = "number,name\n1,a\n\n2,b\n\"3\",\"x\ny\"\n4,d".replace('\n', ending);
            let (chunks, _) = read(file.as_bytes(), &[], 10).expect("readable");
            assert_eq!(lines(&chunks[0]), [2, 4, 5, 7]);
        }
    }

    #[test]
    fn a_score_that_is_no_number_is_refused() {
        let (chunks, refused) = read(b"number,score\n1,high\n2,\n3,-5\n", &[], 10).expect("readable");
        assert_eq!(refused, [(2, "score: not a whole number".to_owned())]);
        assert_eq!(chunks[0].leads[1].score, Some(-5), "bounds are the server's");
    }

    #[test]
    fn chunks_are_bounded_by_rows_and_by_bytes_and_lose_no_row() {
        let mut file = b"number,note\n".to_vec();
        for number in 0..25 {
            let note = if number % 5 == 0 { 300_000 } else { 200_000 };
            file.extend(format!("{number},{}\n", "x".repeat(note)).bytes());
        }
        let (chunks, refused) = read(&file, &[], 7).expect("readable");
        assert_eq!(refused.len(), 5, "rows over 256 KiB");
        let sizes: Vec<_> = chunks.iter().map(|chunk| chunk.leads.len()).collect();
        assert_eq!(sizes, [5, 5, 5, 5]);
        assert_eq!(chunks.iter().map(|chunk| chunk.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let (small, _) = read(b"number\n1\n2\n3\n", &[], 2).expect("readable");
        assert_eq!(small.iter().map(|chunk| chunk.leads.len()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn the_file_of_the_demo_is_readable() {
        let (chunks, refused) = read(include_bytes!("../../examples/leads.csv"), &[], 1_000).expect("readable");
        assert_eq!((chunks[0].leads.len(), refused.len()), (499, 1));
    }
}
