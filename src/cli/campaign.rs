//! `dialplane campaign ...`

use clap::Subcommand;
use prost_types::FieldMask;
use tonic::transport::Channel;

use super::{
    Client, Error,
    campaign_tables::{show, show_list, show_reset, show_stats},
    client::Clients,
    output::Format,
    rules::{RuleName, RulesArgs},
    watch,
};
use crate::pb::{
    ArchiveCampaignRequest, Campaign, CampaignState, CreateCampaignRequest, GetCampaignRequest,
    GetCampaignStatsRequest, ListCampaignsRequest, PauseCampaignRequest, ResetCampaignRequest, StartCampaignRequest,
    UpdateCampaignRequest, campaign_service_client::CampaignServiceClient,
};

/// Campaigns: lists of leads and the rules for calling them
#[derive(Clone, Subcommand)]
pub enum CampaignCommand {
    /// Create a campaign; it calls nobody until it is started
    #[command(after_help = "Example:\n  dialplane campaign create \"Spring\" --default-region US \
        --default-time-zone America/New_York \\\n    --hours \"mon-fri 09:00-20:00\" --hours \"sat 10:00-16:00\" \
        --retry NO_ANSWER=2h,4h")]
    Create {
        /// Its name, 1 to 200 characters
        name: String,
        #[command(flatten)]
        rules: RulesArgs,
    },
    /// List campaigns, newest first
    List {
        /// Only those in this state: DRAFT, RUNNING, COMPLETED, PAUSED or ARCHIVED
        #[arg(long, value_parser = state)]
        state: Option<CampaignState>,
    },
    /// Show one campaign with its rules
    Show {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
    },
    /// Change name or rules; rules that are not named stay as they are
    #[command(
        after_help = "Example:\n  dialplane campaign update 0190b3c2-... --max-concurrency 50 --default max_attempts"
    )]
    Update {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        rules: RulesArgs,
        /// Put this rule back to its default; repeat for more
        #[arg(long = "default", value_name = "RULE")]
        defaults: Vec<RuleName>,
        /// Refuse when the campaign has changed since this etag was read
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Start calling, or go on after a pause
    Start {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
    },
    /// Give no more leads to dialers; calls under way go on
    Pause {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
    },
    /// End a campaign for good
    Archive {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
    },
    /// Call again whoever was not reached; whoever has spoken is left alone
    Reset {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
        /// Show what would happen and change nothing
        #[arg(long)]
        validate_only: bool,
    },
    /// Count the leads per state
    Stats {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
    },
    /// Watch the counts change, until the campaign is archived; -o json prints a line per change
    Watch {
        /// The campaign's id
        #[arg(value_name = "CAMPAIGN")]
        campaign_id: String,
    },
}

/// Runs one of them.
pub async fn run(command: CampaignCommand, client: &Client) -> Result<(), Error> {
    let Clients { mut campaigns, .. } = client.connect().await?;
    match command {
        CampaignCommand::List { state } => list(campaigns, state, client.format).await,
        CampaignCommand::Reset { campaign_id, validate_only } => {
            let request = ResetCampaignRequest { campaign_id, validate_only, request_id: String::new() };
            let reset = campaigns.reset_campaign(request).await?.into_inner();
            show_reset(&reset, validate_only, client.format)
        }
        CampaignCommand::Stats { campaign_id } => {
            let request = GetCampaignStatsRequest { campaign_id };
            let stats = campaigns.get_campaign_stats(request).await?.into_inner();
            show_stats(&stats, client.format)
        }
        CampaignCommand::Watch { campaign_id } => watch::run(campaign_id, client).await,
        command => show(&one(command, campaigns).await?.unwrap_or_default(), client.format),
    }
}

/// The commands that answer one campaign.
async fn one(
    command: CampaignCommand,
    mut campaigns: CampaignServiceClient<Channel>,
) -> Result<Option<Campaign>, Error> {
    let request_id = String::new();
    let campaign = match command {
        CampaignCommand::Create { name, rules } => {
            let rules = Some(rules.build().0);
            let request = CreateCampaignRequest { name, rules, request_id };
            campaigns.create_campaign(request).await?.into_inner().campaign
        }
        CampaignCommand::Show { campaign_id } => {
            let request = GetCampaignRequest { campaign_id };
            campaigns.get_campaign(request).await?.into_inner().campaign
        }
        CampaignCommand::Update { campaign_id, name, rules, defaults, etag } => {
            let request = update(campaign_id, name, rules, &defaults, etag)?;
            campaigns.update_campaign(request).await?.into_inner().campaign
        }
        CampaignCommand::Start { campaign_id } => {
            let request = StartCampaignRequest { campaign_id, request_id };
            campaigns.start_campaign(request).await?.into_inner().campaign
        }
        CampaignCommand::Pause { campaign_id } => {
            let request = PauseCampaignRequest { campaign_id, request_id };
            campaigns.pause_campaign(request).await?.into_inner().campaign
        }
        CampaignCommand::Archive { campaign_id } => {
            let request = ArchiveCampaignRequest { campaign_id, request_id };
            campaigns.archive_campaign(request).await?.into_inner().campaign
        }
        // Answered by `run`.
        CampaignCommand::List { .. } | CampaignCommand::Reset { .. } | CampaignCommand::Stats { .. } => None,
        CampaignCommand::Watch { .. } => None,
    };
    Ok(campaign)
}

fn update(
    campaign_id: String,
    name: Option<String>,
    rules: RulesArgs,
    defaults: &[RuleName],
    etag: String,
) -> Result<UpdateCampaignRequest, Error> {
    let (rules, mut paths) = rules.build();
    for path in defaults.iter().map(|rule| rule.path()) {
        if paths.contains(&path) {
            return Err(Error::Usage(format!("{path} is given a value and its default")));
        }
        paths.push(path);
    }
    paths.extend(name.is_some().then(|| "name".to_owned()));
    if paths.is_empty() {
        return Err(Error::Usage("nothing to change: give --name, a rule, or --default RULE".into()));
    }
    Ok(UpdateCampaignRequest {
        campaign_id,
        name: name.unwrap_or_default(),
        rules: Some(rules),
        update_mask: Some(FieldMask { paths }),
        etag,
        request_id: String::new(),
    })
}

async fn list(
    mut campaigns: CampaignServiceClient<Channel>,
    state: Option<CampaignState>,
    format: Format,
) -> Result<(), Error> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let state = state.unwrap_or_default().into();
        let request = ListCampaignsRequest { state, page_size: 0, page_token };
        let page = campaigns.list_campaigns(request).await?.into_inner();
        found.extend(page.campaigns);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    show_list(found, format)
}

fn state(text: &str) -> Result<CampaignState, String> {
    let name = format!("CAMPAIGN_STATE_{}", text.to_uppercase());
    CampaignState::from_str_name(&name).ok_or("one of DRAFT, RUNNING, COMPLETED, PAUSED, ARCHIVED".into())
}
