//! The connection of every client command.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::Error;
use crate::pb::{campaign_service_client::CampaignServiceClient, scheduler_service_client::SchedulerServiceClient};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A page of leads with full variables is larger than tonic's default of 4 MiB.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// Both services over one connection, which mends itself when it breaks.
#[derive(Clone)]
pub struct Clients {
    /// Campaigns, leads, suppressions.
    pub campaigns: CampaignServiceClient<Channel>,
    /// Leases, outcomes, status, settings.
    pub scheduler: SchedulerServiceClient<Channel>,
}

/// Connects, or says at once that nobody is there.
pub async fn connect(server: &str) -> Result<Clients, Error> {
    let channel =
        endpoint(server)?.connect().await.map_err(|source| Error::Unreachable { server: server.to_owned(), source })?;
    Ok(Clients {
        campaigns: CampaignServiceClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
        scheduler: SchedulerServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
    })
}

fn endpoint(server: &str) -> Result<Endpoint, Error> {
    let url = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    if url.starts_with("https://") {
        return Err(Error::Usage(format!("--server {server}: this build speaks plain http only")));
    }
    let endpoint = Endpoint::from_shared(url).map_err(|error| Error::Usage(format!("--server {server}: {error}")))?;
    Ok(endpoint.connect_timeout(CONNECT_TIMEOUT).tcp_nodelay(true))
}
