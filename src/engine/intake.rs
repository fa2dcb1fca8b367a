//! Intake: leads in batches and in chunks of an import. A bad row is refused by itself; nothing is lost silently.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

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
        ids::{CampaignId, CampaignKey, LeadId, ZoneId, next_id},
        lead_zones,
        phone_number::PhoneNumber,
        time_zone::TimeZone,
    },
    failpoints,
    store::{
        Transaction,
        changes::Revoked,
        imports,
        intake::{self, NewLead},
        leads::{self, LeadChange, Variables},
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
struct Parsed {
    row: usize,
    lead: NewLead,
    own_zone: Option<TimeZone>,
}

/// Rows that have been judged by themselves, for one campaign. Cheap to clone.
#[derive(Clone)]
pub struct ReadRows {
    campaign: CampaignKey,
    rows: Arc<[Result<Parsed, Refused>]>,
}

/// A valid row, and its own zone or those of its number, as they are stored.
type ZonedRow = (Parsed, Option<Cow<'static, str>>);

fn parse(row: usize, given: Row, rules: &CampaignRules) -> Result<ZonedRow, Refused> {
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
    let stored = lead_zones::stored(zone.as_ref(), number);
    Ok((Parsed { row, own_zone: zone, lead }, stored))
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
    report.refused.extend(rows.iter().filter_map(|row| row.as_ref().err()).cloned());
    let good: Vec<&Parsed> = rows.iter().filter_map(|row| row.as_ref().ok()).collect();
    let batch: Vec<&NewLead> = good.iter().map(|row| &row.lead).collect();
    let created: HashSet<LeadId> = if batch.is_empty() {
        HashSet::new()
    } else {
        intake::insert(tx, campaign, &batch).await?.into_iter().collect()
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
    rest: Vec<&Parsed>,
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
            external_id: Some(row.lead.external_id.clone()),
            variables: Some(row.lead.variables.clone()),
        };
        let patch = LeadPatch { change, time_zone: Some(row.own_zone.clone()) };
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

/// What a batch did besides its answer.
struct Aftermath {
    revoked: Vec<Revoked>,
    /// Where the import stands with it.
    through_seq: i64,
}

impl Engine {
    /// Judges rows by themselves, aside: it takes far longer than others may wait for a thread. Writes nothing but new zones,
    /// so that it may be done before it is known whether the rows are wanted.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn read_rows(&self, campaign: CampaignId, rows: Vec<Row>) -> Result<ReadRows, EngineError> {
        let campaign = self.campaign(campaign).await?;
        let key = campaign.key;
        let parsing = tokio::task::spawn_blocking(move || {
            let rows = rows.into_iter().enumerate().map(|(row, given)| parse(row, given, &campaign.rules));
            rows.collect::<Vec<_>>()
        });
        let parsed = parsing.await.map_err(|error| EngineError::Internal(format!("reading rows: {error}")))?;
        let names: BTreeSet<&str> = parsed.iter().flatten().filter_map(|(_, zone)| zone.as_deref()).collect();
        let zones: HashMap<String, ZoneId> = if names.is_empty() {
            HashMap::new()
        } else {
            let names: Vec<&str> = names.into_iter().collect();
            let zones = intake::zone_ids(&self.store.client().await?, &names).await?;
            zones.into_iter().map(|(id, name)| (name, id)).collect()
        };
        let rows = parsed.into_iter().map(|row| {
            row.map(|(mut row, zone)| {
                row.lead.zone = zone.and_then(|name| zones.get(&*name)).copied().unwrap_or(0);
                row
            })
        });
        Ok(ReadRows { campaign: key, rows: rows.collect() })
    }

    /// Creates leads.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::CampaignState`] when archived.
    pub async fn create_leads(
        self: &Arc<Self>,
        rows: ReadRows,
        update: bool,
        asked: Asked,
    ) -> Result<IntakeReport, EngineError> {
        Ok(self.intake(rows, update, None, asked).await?.0)
    }

    /// Creates leads as the next chunk of an import; answers where the import stands, too.
    ///
    /// # Errors
    /// As [`Engine::create_leads`]; [`EngineError::ImportOutOfOrder`]; [`EngineError::BadInput`] when the import belongs to
    /// another campaign.
    pub async fn import_chunk(
        self: &Arc<Self>,
        rows: ReadRows,
        update: bool,
        chunk: Chunk,
        asked: Asked,
    ) -> Result<(IntakeReport, i64), EngineError> {
        let campaign = rows.campaign;
        let (report, through_seq) = self.intake(rows, update, Some(chunk), asked).await?;
        let through_seq = match through_seq {
            Some(through_seq) => through_seq,
            // Answered before; others may have followed it.
            None => self.through_seq(campaign, chunk.import).await?,
        };
        Ok((report, through_seq))
    }

    /// Writes rows; `None`: they were answered before.
    async fn intake(
        self: &Arc<Self>,
        rows: ReadRows,
        update: bool,
        chunk: Option<Chunk>,
        asked: Asked,
    ) -> Result<(IntakeReport, Option<i64>), EngineError> {
        let ReadRows { campaign: key, rows } = rows;
        let now = self.clock.now();
        failpoints::pass("import_before");
        let done = self
            .change(asked, move |tx| {
                let rows = Arc::clone(&rows);
                Box::pin(async move {
                    if update {
                        campaigns::refuse_archived(&campaigns::lock(tx, key).await?)?;
                    } else {
                        let by = crate::store::campaigns::By::Key(key);
                        let row = crate::store::campaigns::find(tx, by).await?;
                        campaigns::refuse_archived(&row.ok_or(EngineError::CampaignNotFound)?)?;
                    }
                    let mut through_seq = 0;
                    if let Some(chunk) = chunk {
                        through_seq = stands(tx, key, chunk.import).await?;
                        if chunk.seq <= through_seq {
                            // Its answer is forgotten; what it did is not.
                            let aftermath = Aftermath { revoked: Vec::new(), through_seq };
                            return Ok((IntakeReport::default(), aftermath, None));
                        }
                        if chunk.seq != through_seq + 1 {
                            return Err(EngineError::ImportOutOfOrder { through_seq });
                        }
                        imports::advance(tx, chunk.import, chunk.seq).await?;
                        through_seq = chunk.seq;
                    }
                    failpoints::midway("import_midway");
                    let (mut report, revoked) = take_in(tx, key, &rows, update, now).await?;
                    let mut audit = Audit::campaign(key)
                        .with("created", report.created)
                        .with("updated", report.updated)
                        .with("refused", report.refused.len());
                    if let Some(chunk) = chunk {
                        audit = audit.with("import_id", chunk.import).with("seq", chunk.seq);
                        // A chunk's answer does not name them, and it is kept.
                        report.leads = Vec::new();
                    }
                    Ok((report, Aftermath { revoked, through_seq }, Some(audit)))
                })
            })
            .await?;
        failpoints::pass("import_after");
        let through_seq = done.aftermath.as_ref().map(|aftermath| aftermath.through_seq);
        if let Some(aftermath) = done.aftermath {
            self.announce_revoked(&aftermath.revoked, RevokeReason::LeadChanged);
            self.survey_soon();
            self.announce_work(key);
        }
        Ok((done.answer, through_seq))
    }

    /// Where an import stands: the last durable chunk.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`]; [`EngineError::BadInput`] when it belongs to another campaign.
    pub async fn import_through(&self, campaign: CampaignId, import: Uuid) -> Result<i64, EngineError> {
        self.through_seq(self.campaign(campaign).await?.key, import).await
    }

    async fn through_seq(&self, campaign: CampaignKey, import: Uuid) -> Result<i64, EngineError> {
        let done =
            self.mutate(None, move |tx| Box::pin(async move { Ok((stands(tx, campaign, import).await?, ())) })).await?;
        Ok(done.answer)
    }
}

/// The last durable chunk of an import, held to the end of the transaction.
async fn stands(tx: &Transaction<'_>, campaign: CampaignKey, import: Uuid) -> Result<i64, EngineError> {
    let through_seq = imports::lock(tx, import, campaign).await?;
    through_seq.ok_or(EngineError::BadInput { field: "import_id", rule: "belongs to another campaign" })
}
