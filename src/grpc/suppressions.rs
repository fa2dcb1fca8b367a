//! Requests about suppressed numbers: parse, call the engine, show.

use std::{collections::HashMap, sync::Arc};

use tonic::{Request, Response, Status};

use super::{
    convert::{self, KEY_MAX, timestamp},
    status::Violations,
    views,
};
use crate::{
    domain::phone_number::PhoneNumber,
    engine::Engine,
    pb,
    store::suppressions::{SuppressionFilter, SuppressionRow},
};

fn count(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub async fn add(
    engine: &Arc<Engine>,
    request: Request<pb::AddSuppressionsRequest>,
) -> Result<Response<pb::AddSuppressionsResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("AddSuppressions", &request, |r| &mut r.request_id, &mut bad);
    let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
    let reason = convert::text(&request.reason, 0..=KEY_MAX, "reason", &mut bad);
    let until = request.expires_at.and_then(|at| convert::instant(at, "expires_at", &mut bad));
    bad.check()?;
    let report = engine.add_suppressions(numbers, reason, until, asked).await?;
    Ok(Response::new(pb::AddSuppressionsResponse {
        added: count(report.numbers),
        leads: count(report.leads),
        extended: count(report.extended),
    }))
}

pub async fn remove(
    engine: &Arc<Engine>,
    request: Request<pb::RemoveSuppressionsRequest>,
) -> Result<Response<pb::RemoveSuppressionsResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("RemoveSuppressions", &request, |r| &mut r.request_id, &mut bad);
    let filter = request.filter.map(|given| filter(&given, &mut bad));
    let listed = !request.numbers.is_empty();
    let matching = convert::by_filter(listed, filter.as_ref().map(|f| !f.is_empty()), "numbers", &mut bad);
    let numbers = if matching { Vec::new() } else { convert::numbers(&request.numbers, "numbers", &mut bad) };
    let reason = convert::text(&request.reason, 1..=KEY_MAX, "reason", &mut bad);
    bad.check()?;
    let report = match filter {
        Some(filter) => engine.remove_matching_suppressions(filter, reason, request.validate_only, asked).await?,
        None if request.validate_only => engine.would_remove_suppressions(&numbers).await?,
        None => engine.remove_suppressions(numbers, reason, asked).await?,
    };
    Ok(Response::new(pb::RemoveSuppressionsResponse { removed: count(report.numbers), leads: count(report.leads) }))
}

pub async fn check(
    engine: &Arc<Engine>,
    request: Request<pb::CheckSuppressionsRequest>,
) -> Result<Response<pb::CheckSuppressionsResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
    bad.check()?;
    let known: HashMap<i64, SuppressionRow> =
        engine.check_suppressions(&numbers).await?.into_iter().map(|row| (row.number, row)).collect();
    let checks = numbers.iter().map(|number| checked(*number, known.get(&number.digits())));
    Ok(Response::new(pb::CheckSuppressionsResponse { checks: checks.collect() }))
}

pub async fn list(
    engine: &Arc<Engine>,
    request: Request<pb::ListSuppressionsRequest>,
) -> Result<Response<pb::ListSuppressionsResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let filter = filter(&request.filter.unwrap_or_default(), &mut bad);
    let limit = convert::page_size(request.page_size, &mut bad);
    let after = convert::page_token(&request.page_token, |token| token.parse().ok(), &mut bad);
    bad.check()?;
    let (rows, next) = engine.list_suppressions(&filter, after, limit).await?;
    Ok(Response::new(pb::ListSuppressionsResponse {
        suppressions: rows.into_iter().map(shown).collect(),
        next_page_token: next.map(|number| number.to_string()).unwrap_or_default(),
    }))
}

fn filter(given: &pb::SuppressionFilter, bad: &mut Violations) -> SuppressionFilter {
    SuppressionFilter {
        reason: convert::optional_text(&given.reason, KEY_MAX, "filter.reason", bad),
        created_before: given.created_before.and_then(|at| convert::instant(at, "filter.created_before", bad)),
        expires_before: given.expires_before.and_then(|at| convert::instant(at, "filter.expires_before", bad)),
    }
}

fn shown(row: SuppressionRow) -> pb::Suppression {
    pb::Suppression {
        number: views::e164(row.number),
        reason: row.reason,
        since: Some(timestamp(row.created_at)),
        expires_at: row.expires_at.map(timestamp),
    }
}

/// Whether one number is suppressed, by its row.
fn checked(number: PhoneNumber, found: Option<&SuppressionRow>) -> pb::SuppressionCheck {
    pb::SuppressionCheck {
        number: number.e164(),
        suppressed: found.is_some(),
        reason: found.map(|row| row.reason.clone()).unwrap_or_default(),
        since: found.map(|row| timestamp(row.created_at)),
        expires_at: found.and_then(|row| row.expires_at).map(timestamp),
    }
}
