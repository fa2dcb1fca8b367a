//! Requests about leads: parse, call the engine, show.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    callbacks,
    convert::{self, KEY_MAX, LEADS_MAX},
    lead_filter, lead_requests,
    status::Violations,
    views,
};
use crate::{
    domain::{lead::LeadState, phone_number::PhoneNumber},
    engine::{Engine, intake::IntakeReport},
    pb,
    store::lead_filter::LeadSearch,
};

/// Chunks of a stream that have been read and wait while another is written; one more is being read.
const READ_AHEAD: usize = 1;

/// Acknowledgements of chunks.
pub type ImportLeads = Pin<Box<dyn Stream<Item = Result<pb::ImportLeadsResponse, Status>> + Send>>;

pub async fn import(
    engine: &Arc<Engine>,
    request: Request<Streaming<pb::ImportLeadsRequest>>,
) -> Result<Response<ImportLeads>, Status> {
    let (actor, mut chunks) = convert::actor(request);
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let reader = Arc::clone(engine);
    // One after the other, so that ids of leads are in the order of intake.
    tokio::spawn(async move {
        loop {
            let chunk = tokio::select! {
                () = sender.closed() => return,
                chunk = chunks.next() => chunk,
            };
            let read = match chunk {
                None => return,
                Some(Err(status)) => Err(status),
                Some(Ok(chunk)) => lead_requests::read_chunk(&reader, &actor, chunk).await,
            };
            let failed = read.is_err();
            if sender.send(read).await.is_err() || failed {
                return;
            }
        }
    });
    let engine = Arc::clone(engine);
    // Written one after the other: the first that is refused ends the stream.
    let acks = ReceiverStream::new(receiver)
        .then(move |chunk| {
            let engine = Arc::clone(&engine);
            async move { lead_requests::import_chunk(&engine, chunk?).await }
        })
        .scan(false, |failed, ack| {
            let over = std::mem::replace(failed, ack.is_err());
            futures::future::ready((!over).then_some(ack))
        });
    Ok(Response::new(Box::pin(acks)))
}

pub async fn create(
    engine: &Arc<Engine>,
    request: Request<pb::CreateLeadsRequest>,
) -> Result<Response<pb::CreateLeadsResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("CreateLeads", &request, |r| &mut r.request_id, &mut bad);
    let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let update = lead_requests::wants_update(request.on_duplicate, &mut bad);
    convert::size(request.leads.len(), LEADS_MAX, "leads", &mut bad);
    bad.check()?;
    let rows = request.leads.into_iter().map(lead_requests::row).collect();
    let rows = engine.read_rows(campaign, rows).await?;
    let report: IntakeReport = engine.create_leads(rows, update, asked).await?;
    Ok(Response::new(pb::CreateLeadsResponse {
        created: lead_requests::count(report.created),
        updated: lead_requests::count(report.updated),
        refused: views::refused(&report),
        lead_ids: report.leads.iter().map(|lead| lead.map(|id| id.to_string()).unwrap_or_default()).collect(),
    }))
}

pub async fn get(
    engine: &Arc<Engine>,
    request: Request<pb::GetLeadRequest>,
) -> Result<Response<pb::GetLeadResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
    bad.check()?;
    let row = engine.lead(campaign, lead).await?;
    Ok(Response::new(pb::GetLeadResponse { lead: Some(views::lead(row)) }))
}

pub async fn list(
    engine: &Arc<Engine>,
    request: Request<pb::ListLeadsRequest>,
) -> Result<Response<pb::ListLeadsResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let number = match request.number.as_str() {
        "" => None,
        text => PhoneNumber::parse(text, None).map_err(|error| bad.add("number", error.to_string())).ok(),
    };
    let search = LeadSearch {
        state: convert::optional_code(request.state, LeadState::from_code, "state", &mut bad),
        number,
        external_id: convert::optional_text(&request.external_id, KEY_MAX, "external_id", &mut bad),
        filter: lead_filter::parse(&request.filter.unwrap_or_default(), &mut bad).0,
        held: request.held,
    };
    let limit = convert::page_size(request.page_size, &mut bad);
    let after = convert::page_token(&request.page_token, lead_requests::lead_token, &mut bad);
    bad.check()?;
    let (rows, next) = engine.list_leads(campaign, &search, after, limit).await?;
    Ok(Response::new(pb::ListLeadsResponse {
        leads: rows.into_iter().map(views::lead).collect(),
        next_page_token: next.map(|(rank, lead)| format!("{rank}.{lead}")).unwrap_or_default(),
    }))
}

pub async fn update(
    engine: &Arc<Engine>,
    request: Request<pb::UpdateLeadRequest>,
) -> Result<Response<pb::UpdateLeadResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("UpdateLead", &request, |r| &mut r.request_id, &mut bad);
    let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
    let patch = lead_requests::lead_patch(&request, &mut bad);
    bad.check()?;
    let row = engine.update_lead(campaign, lead, patch, asked).await?;
    Ok(Response::new(pb::UpdateLeadResponse { lead: Some(views::lead(row)) }))
}

pub async fn schedule_callback(
    engine: &Arc<Engine>,
    request: Request<pb::ScheduleCallbackRequest>,
) -> Result<Response<pb::ScheduleCallbackResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("ScheduleCallback", &request, |r| &mut r.request_id, &mut bad);
    let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
    let when = callbacks::when(&request, engine.clock.now(), &mut bad);
    bad.check()?;
    let row = engine.schedule_callback(campaign, lead, when, asked).await?;
    Ok(Response::new(pb::ScheduleCallbackResponse { lead: Some(views::lead(row)) }))
}

pub async fn cancel_callback(
    engine: &Arc<Engine>,
    request: Request<pb::CancelCallbackRequest>,
) -> Result<Response<pb::CancelCallbackResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("CancelCallback", &request, |r| &mut r.request_id, &mut bad);
    let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
    bad.check()?;
    let row = engine.cancel_callback(campaign, lead, asked).await?;
    Ok(Response::new(pb::CancelCallbackResponse { lead: Some(views::lead(row)) }))
}
