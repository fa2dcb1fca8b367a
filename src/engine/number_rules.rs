//! Number rules where they change, and where what is known of calls changes: whoever waits for them looks again.

use super::EngineError;
use crate::{
    domain::{ids::CampaignKey, phone_number::PhoneNumber, settings::SchedulerSettings},
    store::{Transaction, changes, number_rules as stored, settings, suppressions::leads_of},
};

/// Writes settings with new number rules. No permit under the old ones follows the answer, and who waits for them looks
/// again. Returns the settings, unless their etag moved, and the campaigns that have something to do.
pub(super) async fn change(
    tx: &Transaction<'_>,
    after: &SchedulerSettings,
) -> Result<(Option<SchedulerSettings>, Vec<CampaignKey>), EngineError> {
    let campaigns = stored::campaigns(tx).await?;
    changes::fence(tx, &campaigns).await?;
    let written = settings::update(tx, after, Some(after.etag)).await?;
    let mut waiting = Vec::new();
    for campaign in campaigns {
        if stored::look_again(tx, campaign, None).await? > 0 {
            waiting.push(campaign);
        }
    }
    Ok((written, waiting))
}

/// What is known of calls to these numbers has changed. The caller holds the fences of their campaigns. Returns those that have
/// something to do.
pub(super) async fn look_again(tx: &Transaction<'_>, numbers: &[PhoneNumber]) -> Result<Vec<CampaignKey>, EngineError> {
    let mut waiting = Vec::new();
    for (campaign, leads) in leads_of(tx, numbers).await? {
        if stored::look_again(tx, campaign, Some(&leads)).await? > 0 {
            waiting.push(campaign);
        }
    }
    Ok(waiting)
}
