//! Requests about suppressed numbers: parse, call the engine, show.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    convert::{self, KEY_MAX},
    status::Violations,
    views,
};
use crate::{engine::Engine, pb};

pub async fn add(
    engine: &Arc<Engine>,
    request: Request<pb::AddSuppressionsRequest>,
) -> Result<Response<pb::AddSuppressionsResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("AddSuppressions", &request, |r| &mut r.request_id, &mut bad);
    let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
    let reason = convert::text(&request.reason, 0..=KEY_MAX, "reason", &mut bad);
    bad.check()?;
    let report = engine.add_suppressions(numbers, reason, asked).await?;
    let added = i32::try_from(report.numbers).unwrap_or(i32::MAX);
    Ok(Response::new(pb::AddSuppressionsResponse { added, leads: report.leads }))
}

pub async fn remove(
    engine: &Arc<Engine>,
    request: Request<pb::RemoveSuppressionsRequest>,
) -> Result<Response<pb::RemoveSuppressionsResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("RemoveSuppressions", &request, |r| &mut r.request_id, &mut bad);
    let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
    let reason = convert::text(&request.reason, 1..=KEY_MAX, "reason", &mut bad);
    bad.check()?;
    let report = engine.remove_suppressions(numbers, reason, asked).await?;
    let removed = i32::try_from(report.numbers).unwrap_or(i32::MAX);
    Ok(Response::new(pb::RemoveSuppressionsResponse { removed, leads: report.leads }))
}

pub async fn check(
    engine: &Arc<Engine>,
    request: Request<pb::CheckSuppressionsRequest>,
) -> Result<Response<pb::CheckSuppressionsResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
    bad.check()?;
    let known = engine.check_suppressions(&numbers).await?;
    let checks = numbers.iter().map(|number| views::suppression(*number, &known));
    Ok(Response::new(pb::CheckSuppressionsResponse { checks: checks.collect() }))
}
