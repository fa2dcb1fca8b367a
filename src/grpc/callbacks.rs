//! Callbacks from the wire: instants, and what a person said.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    convert::{self, timestamp},
    status::Violations,
};
use crate::{
    domain::{
        callback_phrase::{Grain, PHRASE_CHARS_MAX, Reading},
        time_zone::TimeZone,
    },
    engine::{
        Engine,
        callbacks::{Parsed, Place, When},
    },
    pb,
};

/// When a callback is promised by hand: an instant, or a phrase.
pub fn when(request: &pb::ScheduleCallbackRequest, now: DateTime<Utc>, bad: &mut Violations) -> When {
    let heard_at = convert::heard_at(request.heard_at, now, "heard_at", bad);
    let phrase = convert::optional_text(&request.callback_phrase, PHRASE_CHARS_MAX, "callback_phrase", bad);
    let at = match request.callback_at {
        Some(at) => convert::instant(at, "callback_at", bad),
        None if request.callback_phrase.is_empty() => bad.none("callback_at", "is required, or callback_phrase"),
        None => None,
    };
    if request.callback_at.is_some() && !request.callback_phrase.is_empty() {
        bad.add("callback_phrase", "must not be given with callback_at");
    }
    if at.is_some_and(|at| at - now > convert::CALLBACK_AHEAD_MAX) {
        bad.add("callback_at", "must be at most 400 days ahead");
    }
    match phrase {
        Some(phrase) => When::Said(phrase, heard_at),
        None => When::At(at.unwrap_or_default()),
    }
}

/// Where the person is: in a zone that is given, or where a lead is.
fn place(request: &pb::ParseCallbackRequest, bad: &mut Violations) -> Place {
    if request.time_zone.is_empty() {
        let campaign = convert::id(&request.campaign_id, "campaign_id", bad);
        return Place::Lead(campaign, convert::id(&request.lead_id, "lead_id", bad));
    }
    if !request.campaign_id.is_empty() || !request.lead_id.is_empty() {
        bad.add("time_zone", "must not be given with campaign_id and lead_id");
    }
    match TimeZone::parse(&request.time_zone) {
        Ok(zone) => Place::Zone(zone),
        Err(error) => {
            bad.add("time_zone", error.to_string());
            Place::Lead(Uuid::nil(), Uuid::nil())
        }
    }
}

pub async fn parse(
    engine: &Arc<Engine>,
    request: Request<pb::ParseCallbackRequest>,
) -> Result<Response<pb::ParseCallbackResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let phrase = convert::text(&request.phrase, 1..=PHRASE_CHARS_MAX, "phrase", &mut bad);
    let heard_at = request.heard_at.and_then(|at| convert::instant(at, "heard_at", &mut bad));
    let place = place(&request, &mut bad);
    bad.check()?;
    Ok(Response::new(answer(&engine.parse_callback(&phrase, heard_at, place).await?)))
}

fn answer(parsed: &Parsed) -> pb::ParseCallbackResponse {
    let kind = match parsed.reading {
        Reading::Callback(_) => pb::CallbackKind::Callback,
        Reading::OptOut => pb::CallbackKind::OptOut,
        Reading::NotUnderstood => pb::CallbackKind::NotUnderstood,
    };
    let Reading::Callback(interval) = parsed.reading else {
        return pb::ParseCallbackResponse { kind: kind.into(), ..Default::default() };
    };
    let grain = match interval.grain {
        Grain::Minute => pb::CallbackGrain::Minute,
        Grain::Hour => pb::CallbackGrain::Hour,
        Grain::Daypart => pb::CallbackGrain::Daypart,
        Grain::Day => pb::CallbackGrain::Day,
        Grain::Week => pb::CallbackGrain::Week,
    };
    pb::ParseCallbackResponse {
        kind: kind.into(),
        earliest: Some(timestamp(interval.earliest)),
        latest: Some(timestamp(interval.latest)),
        grain: grain.into(),
        chosen_at: parsed.chosen_at.map(timestamp),
    }
}
