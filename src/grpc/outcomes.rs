//! The stream of facts. It is pulled: a client that reads slowly slows nobody but itself, and costs one page.

use std::{collections::VecDeque, pin::Pin, sync::Arc};

use futures::{Stream, stream};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    convert::{self, timestamp, wire_ms},
    status::Violations,
};
use crate::{
    engine::{Engine, outcomes::Feed},
    pb,
    store::facts::{FactCursor, FactRow},
};

/// Characters of a cursor.
const CURSOR_MAX: usize = 200;

/// Events with their cursors.
pub type StreamOutcomes = Pin<Box<dyn Stream<Item = Result<pb::StreamOutcomesResponse, Status>> + Send>>;

/// What a stream has yet to say.
struct Telling {
    feed: Feed,
    waiting: VecDeque<pb::StreamOutcomesResponse>,
}

pub async fn stream(
    engine: &Arc<Engine>,
    request: Request<pb::StreamOutcomesRequest>,
) -> Result<Response<StreamOutcomes>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let cursor = cursor(&request.cursor, &mut bad);
    let campaign = convert::optional_id(&request.campaign_id, "campaign_id", &mut bad);
    bad.check()?;
    let feed = engine.open_feed(cursor, campaign, request.follow).await?;
    let telling = Telling { feed, waiting: VecDeque::new() };
    Ok(Response::new(Box::pin(stream::try_unfold(telling, next))))
}

async fn next(mut telling: Telling) -> Result<Option<(pb::StreamOutcomesResponse, Telling)>, Status> {
    if telling.waiting.is_empty() {
        let Some(page) = telling.feed.next().await? else { return Ok(None) };
        let last = page.facts.last().map(|(cursor, _)| *cursor);
        telling.waiting.extend(
            page.facts
                .into_iter()
                .map(|(cursor, fact)| pb::StreamOutcomesResponse { cursor: written(cursor), event: Some(event(fact)) }),
        );
        if last != page.cursor || last.is_none() {
            let cursor = page.cursor.map(written).unwrap_or_default();
            telling.waiting.push_back(pb::StreamOutcomesResponse { cursor, event: None });
        }
    }
    Ok(telling.waiting.pop_front().map(|message| (message, telling)))
}

/// A cursor as it was given out, if any.
fn cursor(text: &str, bad: &mut Violations) -> Option<FactCursor> {
    if text.is_empty() {
        return None;
    }
    let known = (text.len() <= CURSOR_MAX).then(|| read(text)).flatten();
    known.or_else(|| bad.none("cursor", "was not given by this call"))
}

fn read(text: &str) -> Option<FactCursor> {
    let mut parts = text.split('.');
    let numbering = Uuid::try_parse(parts.next()?).ok()?;
    let no = parts.next()?.parse().ok()?;
    let lease = Uuid::try_parse(parts.next()?).ok()?;
    let nth = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(FactCursor { numbering, no, lease, nth })
}

/// Opaque to clients.
fn written(cursor: FactCursor) -> String {
    format!("{}.{}.{}.{}", cursor.numbering.simple(), cursor.no, cursor.lease.simple(), cursor.nth)
}

fn event(fact: FactRow) -> pb::OutcomeEvent {
    pb::OutcomeEvent {
        lease_id: fact.lease.to_string(),
        campaign_id: fact.campaign.to_string(),
        lead_id: fact.lead.to_string(),
        external_id: fact.external_id.unwrap_or_default(),
        number: fact.number.map(|number| number.e164()).unwrap_or_default(),
        attempt_number: fact.attempt_number,
        dialer_id: fact.dialer,
        outcome: i32::from(fact.outcome.code()),
        verdict: i32::from(fact.verdict),
        accepted_at: Some(timestamp(fact.accepted_at)),
        begun_at: fact.begun_at.map(timestamp),
        occurred_at: fact.occurred_at.map(timestamp),
        provider_call_id: fact.provider_call_id.unwrap_or_default(),
        callback_at: fact.callback_at.map(timestamp),
        talk_duration: fact.talk_ms.map(wire_ms),
        ring_duration: fact.ring_ms.map(wire_ms),
        note: fact.note.unwrap_or_default(),
        metadata: fact.metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given_and_anything_else_is_refused() {
        let given = FactCursor { numbering: Uuid::from_u128(7), no: 12, lease: Uuid::from_u128(9), nth: 3 };
        assert_eq!(read(&written(given)), Some(given));
        for wrong in ["", "1", "x.1.y.2", &format!("{}.", written(given)), &written(given).replace(".3", ".x")] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
