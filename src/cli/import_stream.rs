//! One import over as many streams as it takes: chunks out, acknowledgements in, refused rows into a file.
//!
//! A chunk is held until it is acknowledged. After a broken stream all held ones are sent again: the server answers
//! a chunk that it has already as it did before, so the counts stay true.

use std::{collections::VecDeque, fs::File, io::Read, path::PathBuf, time::Duration};

use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{
    Error,
    csv_columns::REFUSED_COLUMNS,
    csv_import::{Chunk, CsvSource, Row},
    views,
};
use crate::pb::{
    DuplicateAction, ImportLeadsRequest, ImportLeadsResponse, RefusedRow,
    campaign_service_client::CampaignServiceClient,
};

/// Chunks under way at once: enough to hide the round trip, few enough to hold in memory.
const CHUNKS_IN_FLIGHT: usize = 4;

/// Failures in a row, without one acknowledged chunk between them, until the import gives up.
pub(super) const FAILURES_MAX: u32 = 6;

/// Refused rows that a summary names; all of them are in the file.
const REFUSED_NAMED_MAX: usize = 1_000;

/// What an import came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows read.
    pub rows: u64,
    /// Leads created.
    pub created: u64,
    /// Leads updated.
    pub updated: u64,
    /// Rows refused.
    pub refused: u64,
    /// The first thousand of them.
    pub refused_rows: Vec<RefusedLine>,
    /// Where all of them stand; none when there are none.
    pub refused_file: Option<PathBuf>,
}

/// A refused row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Its line in the file.
    pub line: u64,
    /// Why.
    pub reason: String,
    /// Why, as a stable word; empty for rows that were never sent.
    pub code: String,
    /// For duplicates: the lead that was there.
    pub lead_id: String,
}

/// What the server needs to know of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Into which campaign.
    pub campaign_id: String,
    /// Names the import over all its streams.
    pub import_id: String,
    /// What to do with known numbers.
    pub on_duplicate: DuplicateAction,
    /// Where refused rows go.
    pub refused_file: PathBuf,
}

/// Sends everything that `source` has; `bar` counts bytes.
pub async fn import<R: Read>(
    client: CampaignServiceClient<Channel>,
    source: CsvSource<R>,
    options: ImportOptions,
    bar: &ProgressBar,
) -> Result<Summary, Error> {
    let refusals = Refusals::new(options.refused_file.clone(), source.delimiter(), source.headings());
    let mut import = Import {
        client,
        source,
        options,
        bar,
        held: VecDeque::new(),
        exhausted: false,
        through_seq: 0,
        refusals,
        summary: Summary::default(),
    };
    let mut failures = 0;
    loop {
        let before = import.through_seq;
        let Err(error) = import.one_stream().await else {
            break;
        };
        if !error.is_transient() {
            return Err(error);
        }
        failures = if import.through_seq > before { 1 } else { failures + 1 };
        if failures == FAILURES_MAX {
            let import_id = import.options.import_id;
            return Err(Error::ImportBroken { import_id, through_seq: import.through_seq, source: Box::new(error) });
        }
        bar.set_message(format!("reconnecting: {error}"));
        let pause = error.retry_after().unwrap_or(Duration::from_millis(200 << failures));
        tokio::time::sleep(pause).await;
    }
    import.finish()
}

struct Import<'a, R> {
    client: CampaignServiceClient<Channel>,
    source: CsvSource<R>,
    options: ImportOptions,
    bar: &'a ProgressBar,
    /// Sent, or to be sent, and not acknowledged.
    held: VecDeque<Chunk>,
    exhausted: bool,
    through_seq: i64,
    refusals: Refusals,
    summary: Summary,
}

impl<R: Read> Import<'_, R> {
    /// Opens a stream and goes on until all is acknowledged.
    async fn one_stream(&mut self) -> Result<(), Error> {
        self.fill()?;
        if self.held.is_empty() {
            return Ok(());
        }
        // The channel takes all that may be in flight, so sending never waits while an answer waits to be read.
        let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let mut sent = 0;
        for chunk in &self.held {
            if sender.try_send(self.request(chunk)).is_ok() {
                sent = chunk.seq;
            }
        }
        let mut answers = self.client.import_leads(ReceiverStream::new(receiver)).await?.into_inner();
        while !self.held.is_empty() {
            let answer =
                answers.message().await?.ok_or_else(|| tonic::Status::unavailable("the stream ended early"))?;
            self.acknowledge(answer)?;
            self.fill()?;
            for chunk in self.held.iter().filter(|chunk| chunk.seq > sent) {
                // A closed channel is a broken stream: the next answer says how.
                if sender.try_send(self.request(chunk)).is_err() {
                    break;
                }
            }
            sent = self.held.back().map_or(sent, |chunk| chunk.seq);
        }
        // All is durable. Ending the stream in good order spares the server a cancelled one; its last word is void.
        drop(sender);
        let _ = answers.message().await;
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Error> {
        while !self.exhausted && self.held.len() < CHUNKS_IN_FLIGHT {
            let (refusals, summary) = (&mut self.refusals, &mut self.summary);
            let mut refuse = |row: Row, reason: String| refusals.add(summary, &row, reason, None);
            match self.source.next_chunk(&mut refuse)? {
                Some(chunk) => self.held.push_back(chunk),
                None => self.exhausted = true,
            }
        }
        Ok(())
    }

    fn request(&self, chunk: &Chunk) -> ImportLeadsRequest {
        ImportLeadsRequest {
            campaign_id: self.options.campaign_id.clone(),
            import_id: self.options.import_id.clone(),
            seq: chunk.seq,
            leads: chunk.leads.clone(),
            on_duplicate: self.options.on_duplicate.into(),
        }
    }

    fn acknowledge(&mut self, answer: ImportLeadsResponse) -> Result<(), Error> {
        let Some(index) = self.held.iter().position(|chunk| chunk.seq == answer.seq) else {
            return Ok(());
        };
        let Some(chunk) = self.held.remove(index) else {
            return Ok(());
        };
        self.through_seq = self.through_seq.max(answer.through_seq);
        self.summary.created += u64::try_from(answer.created).unwrap_or_default();
        self.summary.updated += u64::try_from(answer.updated).unwrap_or_default();
        self.summary.rows += chunk.rows.len() as u64;
        for refused in answer.refused {
            if let Some(row) = usize::try_from(refused.row).ok().and_then(|index| chunk.rows.get(index)) {
                let reason = refused.reason.clone();
                self.refusals.add(&mut self.summary, row, reason, Some(refused))?;
            }
        }
        self.bar.set_position(chunk.through_byte);
        self.bar.set_message(format!("{} created, {} refused", self.summary.created, self.summary.refused));
        Ok(())
    }

    fn finish(mut self) -> Result<Summary, Error> {
        self.summary.refused_file = self.refusals.close()?;
        // Chunks are acknowledged later than rows are refused on reading; people expect the order of the file.
        self.summary.refused_rows.sort_by_key(|refused| refused.line);
        Ok(self.summary)
    }
}

/// The file of refused rows: line and reason, then the original cells, so that it can be mended and imported again
/// with the same options.
pub(super) struct Refusals {
    path: PathBuf,
    delimiter: u8,
    headings: Vec<String>,
    writer: Option<csv::Writer<File>>,
}

impl Refusals {
    pub(super) fn new(path: PathBuf, delimiter: u8, headings: &[String]) -> Self {
        let headings = headings.iter().filter(|heading| !REFUSED_COLUMNS.contains(&heading.as_str()));
        Self { path, delimiter, headings: headings.cloned().collect(), writer: None }
    }

    /// A row that the server refused, or one that was never sent.
    pub(super) fn add(
        &mut self,
        summary: &mut Summary,
        row: &Row,
        reason: String,
        from: Option<RefusedRow>,
    ) -> Result<(), Error> {
        self.write(row, &reason).map_err(Error::io(format!("{}", self.path.display())))?;
        summary.refused += 1;
        if from.is_none() {
            summary.rows += 1;
        }
        if summary.refused_rows.len() < REFUSED_NAMED_MAX {
            let from = from.unwrap_or_default();
            let code = views::refused_code(from.code);
            summary.refused_rows.push(RefusedLine { line: row.line, reason, code, lead_id: from.lead_id });
        }
        Ok(())
    }

    fn write(&mut self, row: &Row, reason: &str) -> std::io::Result<()> {
        // Rows of an earlier refused file carry the two columns in front already.
        let ours = row.cells.len().saturating_sub(self.headings.len());
        let ours = if ours == REFUSED_COLUMNS.len() { ours } else { 0 };
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let mut writer =
                    csv::WriterBuilder::new().delimiter(self.delimiter).flexible(true).from_path(&self.path)?;
                writer.write_record(REFUSED_COLUMNS.iter().copied().chain(self.headings.iter().map(String::as_str)))?;
                self.writer.insert(writer)
            }
        };
        let line = row.line.to_string();
        writer.write_record([line.as_bytes(), reason.as_bytes()].into_iter().chain(row.cells.iter().skip(ours)))?;
        Ok(())
    }

    pub(super) fn close(&mut self) -> Result<Option<PathBuf>, Error> {
        let Some(mut writer) = self.writer.take() else {
            return Ok(None);
        };
        writer.flush().map_err(Error::io(format!("{}", self.path.display())))?;
        Ok(Some(self.path.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_rows_are_written_so_that_they_can_be_mended_and_imported_again() {
        let path = std::env::temp_dir().join(format!("dialplane-refused-{}.csv", uuid::Uuid::new_v4()));
        let headings = ["number".to_owned(), "name".to_owned()];
        let mut refusals = Refusals::new(path.clone(), b',', &headings);
        let mut summary = Summary::default();
        let row = Row { line: 7, cells: csv::ByteRecord::from(vec![b"12".to_vec(), b"M\xfcller, A".to_vec()]) };
        refusals.add(&mut summary, &row, "name: not UTF-8 text".into(), None).expect("writable");
        assert_eq!(refusals.close().expect("writable"), Some(path.clone()));
        let written = std::fs::read(&path).expect("readable");
        std::fs::remove_file(&path).expect("removable");
        assert_eq!(written, b"refused_line,refused_reason,number,name\n7,name: not UTF-8 text,12,\"M\xfcller, A\"\n");
        assert_eq!((summary.rows, summary.refused, summary.refused_rows[0].line), (1, 1, 7));
    }
}
