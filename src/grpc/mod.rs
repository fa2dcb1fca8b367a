//! Who asks: the two services. The only code that sees `pb` messages and gRPC statuses; parses everything once, at the edge.

mod attempt_views;
mod attempts;
mod audit;
mod bulk;
mod calendar_rules;
mod callbacks;
mod campaign_service;
mod campaigns;
mod convert;
mod explain;
mod lead_filter;
mod lead_requests;
mod leads;
mod lease_messages;
mod lease_stream;
mod number_rules;
mod outcomes;
mod revocations;
mod rules;
mod scheduler_service;
mod status;
mod suppressions;
mod views;

pub use status::typed;

use std::sync::Arc;

use std::any::Any;

use tonic::{Code, body::Body, codegen::http::Response, service::Routes};

use crate::{
    engine::Engine,
    pb,
    pb::{campaign_service_server::CampaignServiceServer, scheduler_service_server::SchedulerServiceServer},
};

/// A message of a client has up to this many bytes: a chunk of 5,000 leads with variables fits.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Both services with health and reflection, on one engine.
///
/// # Errors
/// When the embedded descriptors cannot be read, which is a bug.
pub fn routes(
    engine: &Arc<Engine>,
    health: tonic_health::server::HealthService,
) -> Result<Routes, tonic_reflection::server::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let campaigns = CampaignServiceServer::new(campaign_service::Campaigns::new(Arc::clone(engine)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let scheduler = SchedulerServiceServer::new(scheduler_service::Scheduler::new(Arc::clone(engine)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    Ok(Routes::new(campaigns)
        .add_service(scheduler)
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}

/// The answer to a request whose handler panicked: INTERNAL, and the rest goes to the log.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response<Body> {
    let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref().cloned());
    tracing::error!(what, "a request panicked");
    status::status(Code::Internal, pb::ErrorReason::Internal, "an internal error; the server's log has the details")
        .into_http()
}
