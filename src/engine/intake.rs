//! Intake: leads in batches and in chunks of an import. A bad row is refused by itself; nothing is lost silently.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    campaigns,
    leads::{LeadPatch, change_leads},
    leasing::messages::RevokeReason,
};
use crate::{
    domain::{
        campaign::CampaignRules,
        ids::{CampaignId, CampaignKey, LeadId, next_id},
        lead_zones,
        phone_number::PhoneNumber,
        time_zone::TimeZone,
    },
    failpoints,
    store::{
        Transaction,
        changes::Revoked,
        imports,
        leads::{self, LeadChange, NewLead, Variables},
    },
};

/// Score of a row that names none.
const DEFAULT_SCORE: i32 = 500;
/// The highest score; a promised callback counts as one more.
pub const SCORE_MAX: i32 = 998;

/// A row as given. Debug is not derived: it is people's data.
#[derive(Clone)]
pub struct Row {
    /// A phone number.
    pub number: String,
    /// The user's own key.
    pub external_id: Option<String>,
    /// 0 to 998.
    pub score: Option<i32>,
    /// IANA zone.
    pub time_zone: Option<String>,
    /// As given; bounded at the edge.
    pub variables: Variables,
    /// A rule that the edge found broken already.
    pub refused: Option<(RefusedCode, &'static str)>,
}

/// Why a row was refused. The codes are those of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i32)]
pub enum RefusedCode {
    /// Not a phone number.
    BadNumber = 1,
    /// Not an IANA zone.
    BadTimeZone = 2,
    /// Outside 0 to 998.
    BadScore = 3,
    /// Too long, or taken.
    BadExternalId = 4,
    /// Too many, or too long.
    BadVariables = 5,
    /// The campaign has the number.
    Duplicate = 6,
}

/// A row that did not become a lead.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// Its index.
    pub row: usize,
    /// Why, as a stable word.
    pub code: RefusedCode,
    /// Why, for people; never the value.
    pub reason: String,
    /// For duplicates: the lead that was there.
    pub lead: Option<LeadId>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct IntakeReport {
    /// Leads created.
    pub created: usize,
    /// Leads updated.
    pub updated: usize,
    /// Rows that did not become leads.
    pub refused: Vec<Refused>,
    /// Per row the lead, where there is one.
    pub leads: Vec<Option<LeadId>>,
}

/// A row that is valid by itself.
#[derive(Clone)]
struct Parsed {
    row: usize,
    lead: NewLead,
    /// Its own zone or those of its number, as they are stored.
    zone: Option<String>,
    own_zone: Option<TimeZone>,
}

fn parse(row: usize, given: Row, rules: &CampaignRules) -> Result<Parsed, Refused> {
    let refuse = |code, reason: String| Refused { row, code, reason, lead: None };
    if let Some((code, reason)) = given.refused {
        return Err(refuse(code, reason.to_owned()));
    }
    let number = PhoneNumber::parse(&given.number, rules.default_region.as_deref())
        .map_err(|error| refuse(RefusedCode::BadNumber, format!("number: {error}")))?;
    let zone = given
        .time_zone
        .map(|name| TimeZone::parse(&name))
        .transpose()
        .map_err(|error| refuse(RefusedCode::BadTimeZone, format!("time_zone: {error}")))?;
    let score = given.score.unwrap_or(DEFAULT_SCORE);
    if !(0..=SCORE_MAX).contains(&score) {
        return Err(refuse(RefusedCode::BadScore, format!("score: must be 0 to {SCORE_MAX}")));
    }
    let lead = NewLead {
        id: next_id(),
        number,
        rank: i16::try_from(999 - score).unwrap_or(999),
        zone: 0,
        external_id: given.external_id,
        variables: given.variables,
    };
    Ok(Parsed { row, zone: lead_zones::stored(zone.as_ref(), number), own_zone: zone, lead })
}

/// Writes a batch; the caller's transaction holds the fence exclusively when duplicates are to be updated.
async fn take_in(
    tx: &Transaction<'_>,
    campaign: CampaignKey,
    rows: &[Result<Parsed, Refused>],
    update: bool,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(IntakeReport, Vec<Revoked>), EngineError> {
    let mut report = IntakeReport { leads: vec![None; rows.len()], ..IntakeReport::default() };
    let mut good: Vec<Parsed> = Vec::new();
    for row in rows {
        match row {
            Ok(parsed) => good.push(parsed.clone()),
            Err(refused) => report.refused.push(refused.clone()),
        }
    }
    let mut names: Vec<String> = good.iter().filter_map(|row| row.zone.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let zones: HashMap<String, i16> = if names.is_empty() {
        HashMap::new()
    } else {
        leads::zone_ids(tx, &names).await?.into_iter().map(|(id, name)| (name, id)).collect()
    };
    for row in &mut good {
        row.lead.zone = row.zone.as_ref().and_then(|name| zones.get(name)).copied().unwrap_or(0);
    }
    let batch: Vec<NewLead> = good.iter().map(|row| row.lead.clone()).collect();
    let created: std::collections::HashSet<LeadId> = if batch.is_empty() {
        Default::default()
    } else {
        leads::insert(tx, campaign, &batch).await?.into_iter().collect()
    };
    report.created = created.len();
    let mut rest = Vec::new();
    for row in good {
        if created.contains(&row.lead.id) {
            report.leads[row.row] = Some(row.lead.id);
        } else {
            rest.push(row);
        }
    }
    let revoked = duplicates(tx, campaign, rest, update, now, &mut report).await?;
    report.refused.sort_unstable_by_key(|refused| refused.row);
    Ok((report, revoked))
}

/// Rows whose number or key the campaign has: reported, or updated when asked.
async fn duplicates(
    tx: &Transaction<'_>,
    campaign: CampaignKey,
    rest: Vec<Parsed>,
    update: bool,
    now: chrono::DateTime<chrono::Utc>,
    report: &mut IntakeReport,
) -> Result<Vec<Revoked>, EngineError> {
    let numbers: Vec<i64> = rest.iter().map(|row| row.lead.number.digits()).collect();
    let known: HashMap<i64, LeadId> = if numbers.is_empty() {
        HashMap::new()
    } else {
        leads::by_numbers(tx, campaign, &numbers).await?.into_iter().collect()
    };
    let mut revoked = Vec::new();
    for row in rest {
        let there = known.get(&row.lead.number.digits()).copied();
        let Some(lead) = there else {
            let reason = "external_id: another number of the campaign has it".to_owned();
            report.refused.push(Refused { row: row.row, code: RefusedCode::BadExternalId, reason, lead: None });
            continue;
        };
        if !update {
            let reason = "number: the campaign has it already".to_owned();
            report.refused.push(Refused { row: row.row, code: RefusedCode::Duplicate, reason, lead: Some(lead) });
            continue;
        }
        let taken = match &row.lead.external_id {
            Some(key) => leads::has_external_id(tx, campaign, key, lead).await?,
            None => false,
        };
        if taken {
            let reason = "external_id: another number of the campaign has it".to_owned();
            report.refused.push(Refused { row: row.row, code: RefusedCode::BadExternalId, reason, lead: Some(lead) });
            continue;
        }
        let change = LeadChange {
            rank: Some(row.lead.rank),
            zone: None,
            external_id: Some(row.lead.external_id),
            variables: Some(row.lead.variables),
        };
        let patch = LeadPatch { change, time_zone: Some(row.own_zone) };
        revoked.extend(change_leads(tx, campaign, &[lead], patch, now).await?);
        report.updated += 1;
        report.leads[row.row] = Some(lead);
    }
    Ok(revoked)
}

/// Which chunk of which import a batch is.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// Made by the client.
    pub import: Uuid,
    /// 1, 2, 3, ...
    pub seq: i64,
}

impl Engine {
    /// Creates leads. `chunk`: as the next one of an import.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::CampaignState`] when archived, [`EngineError::ImportOutOfOrder`].
    pub async fn create_leads(
        self: &Arc<Self>,
        campaign: CampaignId,
        rows: Vec<Row>,
        update: bool,
        chunk: Option<Chunk>,
        asked: Asked,
    ) -> Result<IntakeReport, EngineError> {
        let campaign = self.campaign(campaign).await?;
        let key = campaign.key;
        let now = self.clock.now();
        let parsed: Arc<Vec<_>> =
            Arc::new(rows.into_iter().enumerate().map(|(row, given)| parse(row, given, &campaign.rules)).collect());
        failpoints::pass("import_before");
        let done = self
            .change(asked, move |tx| {
                let parsed = Arc::clone(&parsed);
                Box::pin(async move {
                    if update {
                        campaigns::refuse_archived(&campaigns::lock(tx, key).await?)?;
                    } else {
                        let by = crate::store::campaigns::By::Key(key);
                        let row = crate::store::campaigns::find(tx, by).await?;
                        campaigns::refuse_archived(&row.ok_or(EngineError::CampaignNotFound)?)?;
                    }
                    if let Some(chunk) = chunk {
                        let field = "import_id";
                        let through_seq = imports::lock(tx, chunk.import, key)
                            .await?
                            .ok_or(EngineError::BadInput { field, rule: "belongs to another campaign" })?;
                        if chunk.seq <= through_seq {
                            // Its answer is forgotten; what it did is not.
                            return Ok((IntakeReport::default(), Vec::new(), None));
                        }
                        if chunk.seq != through_seq + 1 {
                            return Err(EngineError::ImportOutOfOrder { through_seq });
                        }
                        imports::advance(tx, chunk.import, chunk.seq).await?;
                    }
                    failpoints::midway("import_midway");
                    let (report, revoked) = take_in(tx, key, &parsed, update, now).await?;
                    let mut audit = Audit::campaign(key)
                        .with("created", report.created)
                        .with("updated", report.updated)
                        .with("refused", report.refused.len());
                    if let Some(chunk) = chunk {
                        audit = audit.with("import_id", chunk.import).with("seq", chunk.seq);
                    }
                    Ok((report, revoked, Some(audit)))
                })
            })
            .await?;
        failpoints::pass("import_after");
        if let Some(revoked) = done.aftermath {
            self.announce_revoked(&revoked, RevokeReason::LeadChanged);
            self.survey_soon();
            self.announce_work(key);
        }
        Ok(done.answer)
    }

    /// Where an import stands: the last durable chunk.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`]; [`EngineError::BadInput`] when it belongs to another campaign.
    pub async fn import_through(&self, campaign: CampaignId, import: Uuid) -> Result<i64, EngineError> {
        let key = self.campaign(campaign).await?.key;
        let done = self
            .mutate(None, move |tx| {
                Box::pin(async move {
                    let rule = "belongs to another campaign";
                    let through = imports::lock(tx, import, key).await?;
                    Ok((through.ok_or(EngineError::BadInput { field: "import_id", rule })?, ()))
                })
            })
            .await?;
        Ok(done.answer)
    }
}
