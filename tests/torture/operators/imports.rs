//! Imports: batches, and lists in chunks over several streams, of which each may be cut, repeat a chunk or leave one out.

use std::{ops::Range, time::Duration};

use dialplane::pb::{self, campaign_service_client::CampaignServiceClient};
use rand::{Rng as _, rngs::StdRng};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{ANSWER_WITHIN, INSIST, Operators, fresh, number};
use crate::{
    carrier::now,
    log::{Event, Micros},
};

const CHUNK: usize = 6;

/// What is odd about one stream of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// The first chunk is sent twice, and the last one that was acknowledged once more.
    Twice,
    /// A chunk is left out.
    Gap,
    /// Nobody waits for all the answers.
    Cut,
    /// Asks first where the import stands.
    Asks,
}

const WAYS: [Way; 5] = [Way::Plain, Way::Twice, Way::Gap, Way::Cut, Way::Asks];

/// A chunk, and what became of it.
struct Chunk {
    numbers: Range<usize>,
    asked: Option<Micros>,
    /// The leads that were created, once it was acknowledged.
    created: Option<i32>,
}

/// A list under way.
struct Import<'a> {
    operators: &'a Operators,
    campaign: Uuid,
    id: Uuid,
    /// The first one has seq 1.
    chunks: Vec<Chunk>,
    through: usize,
}

fn leads(numbers: Range<usize>) -> Vec<pb::NewLead> {
    numbers.map(|n| pb::NewLead { number: number(n), ..Default::default() }).collect()
}

impl Operators {
    /// Imports numbers that the campaign does not have, as one batch, through this engine or any.
    pub async fn import(&self, campaign: Uuid, numbers: Range<usize>, engine: Option<usize>) -> bool {
        let count = numbers.len() as i64;
        let request = pb::CreateLeadsRequest {
            campaign_id: campaign.to_string(),
            leads: leads(numbers),
            request_id: fresh(),
            ..Default::default()
        };
        let ask = |channel| {
            let request = request.clone();
            async move { CampaignServiceClient::new(channel).create_leads(request).await }
        };
        let (asked, answered, answer) = self.insist(engine, ask).await;
        let leads = answer.map_or(count, |answer| i64::from(answer.created));
        if leads != count {
            self.pen.broken(&format!("{leads} of {count} leads with new numbers were created"));
        }
        self.pen.write(&Event::Imported { campaign, leads, asked, answered });
        answered.is_some()
    }

    /// Imports numbers that the campaign does not have, in chunks.
    pub async fn stream_in(&self, campaign: Uuid, numbers: Range<usize>, rng: &mut StdRng) {
        let chunks = numbers
            .clone()
            .step_by(CHUNK)
            .map(|first| Chunk { numbers: first..(first + CHUNK).min(numbers.end), asked: None, created: None })
            .collect();
        let mut import = Import { operators: self, campaign, id: Uuid::new_v4(), chunks, through: 0 };
        let since = Instant::now();
        while import.through < import.chunks.len() && since.elapsed() < INSIST {
            let way = WAYS[rng.random_range(0..WAYS.len())];
            import.stream(way, rng).await;
            sleep(Duration::from_millis(rng.random_range(10..200))).await;
        }
        for (place, chunk) in import.chunks.iter().enumerate().filter(|(_, chunk)| chunk.created.is_none()) {
            if let Some(asked) = chunk.asked {
                let leads = chunk.numbers.len() as i64;
                // That it is durable was said with another one.
                let answered = (place < import.through).then(now);
                self.pen.write(&Event::Imported { campaign, leads, asked, answered });
            }
        }
    }
}

impl Import<'_> {
    /// The chunks that this stream sends, by seq; 0 asks.
    fn plan(&self, way: Way) -> Vec<usize> {
        let rest = self.through + 1..=self.chunks.len();
        match way {
            Way::Plain | Way::Cut => rest.collect(),
            Way::Asks => [0].into_iter().chain(rest).collect(),
            Way::Gap => rest.skip(1).collect(),
            Way::Twice => {
                let again = (self.through > 0).then_some(self.through);
                again.into_iter().chain([self.through + 1]).chain(rest).collect()
            }
        }
    }

    async fn stream(&mut self, way: Way, rng: &mut StdRng) {
        let plan = self.plan(way);
        let mut requests = Vec::new();
        for seq in &plan {
            let leads = match seq.checked_sub(1) {
                Some(place) => {
                    self.chunks[place].asked.get_or_insert(now());
                    leads(self.chunks[place].numbers.clone())
                }
                None => Vec::new(),
            };
            requests.push(pb::ImportLeadsRequest {
                campaign_id: self.campaign.to_string(),
                import_id: self.id.to_string(),
                seq: *seq as i64,
                leads,
                ..Default::default()
            });
        }
        let patience = if way == Way::Cut { rng.random_range(0..plan.len()) } else { plan.len() };
        let mut client = CampaignServiceClient::new(self.operators.any());
        let asking = timeout(ANSWER_WITHIN, client.import_leads(tokio_stream::iter(requests))).await;
        let mut answers = match asking {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return self.refused(way, &status),
            Err(_) => return,
        };
        for _ in 0..patience {
            match timeout(ANSWER_WITHIN, answers.message()).await {
                Ok(Ok(Some(answer))) => self.acknowledged(&answer),
                Ok(Err(status)) => return self.refused(way, &status),
                Ok(Ok(None)) | Err(_) => return,
            }
        }
    }

    fn refused(&self, way: Way, status: &Status) {
        let pen = &self.operators.pen;
        match crate::dialer::reason(status).as_str() {
            "IMPORT_OUT_OF_ORDER" if way == Way::Gap => {}
            "IMPORT_OUT_OF_ORDER" => pen.broken("an import forgot a chunk that it had acknowledged"),
            _ if super::is_doubt(status.code()) || status.code() == Code::ResourceExhausted => {}
            _ => pen.odd(&format!("an import was answered {:?}: {}", status.code(), status.message())),
        }
    }

    fn acknowledged(&mut self, answer: &pb::ImportLeadsResponse) {
        let pen = &self.operators.pen;
        let through = usize::try_from(answer.through_seq).unwrap();
        if through < self.through {
            pen.broken(&format!("an import stood at {}, then at {through}", self.through));
        }
        if self.chunks[..through.min(self.chunks.len())].iter().any(|chunk| chunk.asked.is_none()) {
            pen.broken("an import went over a chunk that was never sent");
        }
        self.through = through.max(self.through).min(self.chunks.len());
        let Some(chunk) = usize::try_from(answer.seq).unwrap().checked_sub(1).map(|place| &mut self.chunks[place])
        else {
            return;
        };
        if chunk.created.is_some_and(|before| before != answer.created) {
            pen.broken(&format!("a chunk was answered {:?}, then {}", chunk.created, answer.created));
        }
        let (leads, count) = (i64::from(answer.created), chunk.numbers.len() as i64);
        if leads != count {
            pen.broken(&format!("{leads} of {count} leads of a chunk with new numbers were created"));
        }
        if let (Some(asked), None) = (chunk.asked, chunk.created) {
            chunk.created = Some(answer.created);
            pen.write(&Event::Imported { campaign: self.campaign, leads, asked, answered: Some(now()) });
        }
    }
}
