//! Compiles the protos without protoc. Writes only to OUT_DIR.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 3] = [
    "dialplane/v1/campaign_service.proto",
    "dialplane/v1/scheduler_service.proto",
    // For reflection: clients show the details of errors by it.
    "google/rpc/error_details.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let mut descriptors = protox::compile(PROTOS, ["proto"])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    // Reflection shows everything, the HTTP annotations included.
    fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // The annotations only extend options; no code is wanted for them.
    descriptors.file.retain(|file| !["google.api", "google.rpc"].contains(&file.package()));
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        // One order of maps, so that a request repeated is the same bytes.
        .btree_map(".dialplane.v1")
        // Numbers, keys and notes are people's data: the messages that carry them get a masked Debug in `pb`.
        .skip_debug(PERSONAL)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Messages that carry a number, a user's key, variables or notes.
const PERSONAL: &[&str] = &[
    "dialplane.v1.Lead",
    "dialplane.v1.NewLead",
    "dialplane.v1.Lease",
    "dialplane.v1.Attempt",
    "dialplane.v1.OutcomeReport",
    "dialplane.v1.ListLeadsRequest",
    "dialplane.v1.UpdateLeadRequest",
    "dialplane.v1.ListAttemptsRequest",
    "dialplane.v1.AddSuppressionsRequest",
    "dialplane.v1.RemoveSuppressionsRequest",
    "dialplane.v1.CheckSuppressionsRequest",
    "dialplane.v1.SuppressionCheck",
    "dialplane.v1.Suppression",
    "dialplane.v1.SuppressionFilter",
    "dialplane.v1.ListSuppressionsRequest",
    "dialplane.v1.ListSuppressionsResponse",
    "dialplane.v1.LeadFilter",
    "dialplane.v1.RefusedRow",
    "dialplane.v1.Campaign",
    "dialplane.v1.CreateCampaignRequest",
    "dialplane.v1.AuditEvent",
    "dialplane.v1.ListAuditEventsRequest",
    "dialplane.v1.OutcomeEvent",
];
