//! `dialplane leases ...`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Client, Error,
    output::{Format, say, say_json, table},
    views,
};
use crate::pb::{LeaseFilter, ListLeasesRequest, LiveLease, RevokeLeasesRequest};

/// Leases: the right to call a lead, held by a dialer
#[derive(Clone, Subcommand)]
pub enum LeasesCommand {
    /// List live leases, oldest first
    List(ListArgs),
    /// Take leases away; a call under way goes on record as UNKNOWN
    #[command(after_help = REVOKE_HELP)]
    Revoke(RevokeArgs),
}

const REVOKE_HELP: &str = "\
Either leases by id, or all that keep every condition given.

Examples:
  dialplane leases revoke --dialer east-7 --dry-run
  dialplane leases revoke --campaign 0190b3c2-... --begun false";

/// Arguments of `leases list`.
#[derive(Clone, Args)]
pub struct ListArgs {
    /// Only of this campaign
    #[arg(long = "campaign", default_value = "", hide_default_value = true, value_name = "CAMPAIGN")]
    pub campaign_id: String,
    /// Only of this session
    #[arg(long = "session", default_value = "", hide_default_value = true, value_name = "SESSION")]
    pub session_id: String,
    /// At most this many; 0: all
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// Arguments of `leases revoke`.
#[derive(Clone, Args)]
pub struct RevokeArgs {
    /// These leases, by id
    #[arg(value_name = "LEASE")]
    pub lease_ids: Vec<String>,
    /// All of this campaign
    #[arg(long = "campaign", default_value = "", hide_default_value = true, value_name = "CAMPAIGN")]
    pub campaign_id: String,
    /// All of this session
    #[arg(long = "session", default_value = "", hide_default_value = true, value_name = "SESSION")]
    pub session_id: String,
    /// All of this dialer
    #[arg(long = "dialer", default_value = "", hide_default_value = true, value_name = "DIALER")]
    pub dialer_id: String,
    /// Only with a permit (true), or without one (false)
    #[arg(long, value_name = "BOOL")]
    pub begun: Option<bool>,
    /// Only count; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs one of them.
pub async fn run(command: LeasesCommand, client: &Client) -> Result<(), Error> {
    match command {
        LeasesCommand::List(args) => list(args, client).await,
        LeasesCommand::Revoke(args) => revoke(args, client).await,
    }
}

async fn list(args: ListArgs, client: &Client) -> Result<(), Error> {
    let mut scheduler = client.connect().await?.scheduler;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut request = ListLeasesRequest {
        campaign_id: args.campaign_id,
        session_id: args.session_id,
        page_size: i32::try_from(limit.min(1000)).unwrap_or(1000),
        page_token: String::new(),
    };
    let mut found: Vec<LiveLease> = Vec::new();
    loop {
        let page = scheduler.list_leases(request.clone()).await?.into_inner();
        found.extend(page.leases);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    if client.format == Format::Json {
        return say_json(&Value::Array(found.iter().map(shown).collect()));
    }
    let mut rows = table(["lease", "campaign", "lead", "dialer", "granted", "begun", "ends at the latest"]);
    for lease in found {
        let [granted, begun, deadline] =
            [lease.granted_at, lease.begun_at, lease.deadline].map(|at| views::instant(at).unwrap_or_default());
        rows.add_row([lease.lease_id, lease.campaign_id, lease.lead_id, lease.dialer_id, granted, begun, deadline]);
    }
    say(rows.to_string())
}

fn shown(lease: &LiveLease) -> Value {
    json!({
        "lease_id": lease.lease_id,
        "campaign_id": lease.campaign_id,
        "lead_id": lease.lead_id,
        "session_id": lease.session_id,
        "dialer_id": lease.dialer_id,
        "granted_at": views::instant(lease.granted_at),
        "begun_at": views::instant(lease.begun_at),
        "deadline": views::instant(lease.deadline),
    })
}

async fn revoke(args: RevokeArgs, client: &Client) -> Result<(), Error> {
    let (campaign_id, session_id, dialer_id) = (args.campaign_id, args.session_id, args.dialer_id);
    let filter = LeaseFilter { campaign_id, session_id, dialer_id, begun: args.begun };
    let given = filter != LeaseFilter::default();
    if given != args.lease_ids.is_empty() {
        return Err(Error::Usage("name leases, or give conditions; one of both".into()));
    }
    let request = RevokeLeasesRequest {
        lease_ids: args.lease_ids,
        filter: given.then_some(filter),
        validate_only: args.dry_run,
        ..Default::default()
    };
    let answer = client.connect().await?.scheduler.revoke_leases(request).await?.into_inner();
    if client.format == Format::Json {
        return say_json(&json!({
            "validate_only": args.dry_run,
            "matched": answer.matched,
            "revoked": answer.revoked,
            "unknown": answer.unknown,
        }));
    }
    let verb = if args.dry_run { "would be revoked" } else { "revoked" };
    say(format!(
        "{} leases matched: {} {verb}, {} of them under a call",
        answer.matched, answer.revoked, answer.unknown
    ))
}
