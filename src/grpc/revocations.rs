//! Leases taken away by hand: parse, call the engine, show.

use std::sync::Arc;

use tonic::{Response, Status};

use super::{
    convert::{self, BATCH_MAX, KEY_MAX},
    status::Violations,
};
use crate::{
    domain::ids::CampaignId,
    engine::{Engine, audit::Asked},
    pb,
    store::live_leases::LeaseFilter,
};

pub async fn revoke(
    engine: &Arc<Engine>,
    request: pb::RevokeLeasesRequest,
    asked: Asked,
    mut bad: Violations,
) -> Result<Response<pb::RevokeLeasesResponse>, Status> {
    let filter = request.filter.as_ref().map(|given| parse(given, &mut bad));
    let any = request.filter.as_ref().map(|given| *given != pb::LeaseFilter::default());
    let matching = convert::by_filter(!request.lease_ids.is_empty(), any, "lease_ids", &mut bad);
    let leases = if matching { Vec::new() } else { convert::ids(&request.lease_ids, "lease_ids", BATCH_MAX, &mut bad) };
    bad.check()?;
    if let Some((filter, campaign)) = filter {
        let validate_only = request.validate_only;
        let (matched, revoked, unknown) = engine.revoke_matching_leases(filter, campaign, validate_only, asked).await?;
        return Ok(Response::new(answer(Vec::new(), [matched, revoked, unknown])));
    }
    let done = if request.validate_only {
        engine.would_revoke_leases(&leases).await?
    } else {
        engine.revoke_leases(&leases, asked).await?
    };
    let results: Vec<pb::RevokeResult> = leases
        .iter()
        .zip(done)
        .map(|(lease, (revoked, begun))| pb::RevokeResult { lease_id: lease.to_string(), revoked, begun })
        .collect();
    let revoked = results.iter().filter(|result| result.revoked).count();
    let unknown = results.iter().filter(|result| result.revoked && result.begun).count();
    Ok(Response::new(answer(results, [revoked, revoked, unknown])))
}

fn answer(results: Vec<pb::RevokeResult>, counts: [usize; 3]) -> pb::RevokeLeasesResponse {
    let [matched, revoked, unknown] = counts.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    pb::RevokeLeasesResponse { results, matched, revoked, unknown }
}

fn parse(given: &pb::LeaseFilter, bad: &mut Violations) -> (LeaseFilter, Option<CampaignId>) {
    let filter = LeaseFilter {
        campaign: None,
        session: convert::optional_id(&given.session_id, "filter.session_id", bad),
        dialer: convert::optional_text(&given.dialer_id, KEY_MAX, "filter.dialer_id", bad),
        begun: given.begun,
    };
    (filter, convert::optional_id(&given.campaign_id, "filter.campaign_id", bad))
}
