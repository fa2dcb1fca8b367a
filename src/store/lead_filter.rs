//! Which leads are meant: the conditions of lists and of bulk changes, in one place, over the view that people see.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    Store, StoreError,
    leads::{COLUMNS, LeadRow, from_row, state_of},
    queue::waiting,
};
use crate::domain::{
    ids::{CampaignKey, LeadId},
    lead::LeadState,
    phone_number::PhoneNumber,
};

/// Leads looked at for one page of a list.
const LOOKED_AT_MAX: i64 = 2000;

/// More attempts than any lead has.
pub const ATTEMPTS_MAX: i32 = 1_000_000;

/// Where a walk over a campaign stands: (rank, lead) in the campaign's order.
pub type Place = (i16, LeadId);

/// Which leads are meant; all conditions hold. The default means all.
#[derive(Clone)]
pub struct LeadFilter {
    /// In one of these states; none: in any.
    pub states: Vec<i16>,
    /// 999 - score, from and to.
    pub ranks: (i16, i16),
    /// With this zone of their own.
    pub zone: Option<String>,
    /// Codes of outcomes; none: any.
    pub last_outcomes: Vec<i16>,
    /// Created at this instant or later.
    pub created_after: Option<DateTime<Utc>>,
    /// Created before this.
    pub created_before: Option<DateTime<Utc>>,
    /// Attempts of this generation, from and to.
    pub attempts: (i32, i32),
    /// How the external_id begins.
    pub external_id_prefix: Option<String>,
}

impl Default for LeadFilter {
    fn default() -> LeadFilter {
        LeadFilter {
            states: Vec::new(),
            ranks: (1, 999),
            zone: None,
            last_outcomes: Vec::new(),
            created_after: None,
            created_before: None,
            attempts: (0, ATTEMPTS_MAX),
            external_id_prefix: None,
        }
    }
}

/// Parameters of [`LeadFilter`] in a statement.
const FILTER_PARAMETERS: usize = 10;

impl LeadFilter {
    /// The condition on `lead_view v`; its parameters are numbered from `first` on.
    fn condition(first: usize) -> String {
        let [states, from, to, zone, outcomes, after, before, least, most, prefix] =
            std::array::from_fn::<usize, FILTER_PARAMETERS, _>(|index| first + index);
        format!(
            "(cardinality(${states}::smallint[]) = 0 or v.state = any (${states})) \
             and v.rank between ${from}::smallint and ${to}::smallint \
             and (${zone}::text is null or v.zone = ${zone}) \
             and (cardinality(${outcomes}::smallint[]) = 0 or v.last_outcome = any (${outcomes})) \
             and (${after}::timestamptz is null or v.created_at >= ${after}) \
             and (${before}::timestamptz is null or v.created_at < ${before}) \
             and v.attempts between ${least}::int and ${most}::int \
             and (${prefix}::text is null or starts_with(v.external_id, ${prefix}))"
        )
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); FILTER_PARAMETERS] {
        [
            &self.states,
            &self.ranks.0,
            &self.ranks.1,
            &self.zone,
            &self.last_outcomes,
            &self.created_after,
            &self.created_before,
            &self.attempts.0,
            &self.attempts.1,
            &self.external_id_prefix,
        ]
    }
}

/// Which leads are listed.
#[derive(Clone, Default)]
pub struct LeadSearch {
    /// Only this state.
    pub state: Option<LeadState>,
    /// Only this number.
    pub number: Option<PhoneNumber>,
    /// Only this key.
    pub external_id: Option<String>,
    /// Only those whose promise is held.
    pub held: bool,
    /// Only those that match.
    pub filter: LeadFilter,
}

/// A lead that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The lead.
    pub lead: LeadId,
    /// Its state.
    pub state: LeadState,
    /// Whether it is under a permit.
    pub begun: bool,
}

/// The lead of a row of `page`, if it matches. Looked up by its key, row by row: a join may walk the whole campaign for each page.
fn match_of_page(first: usize) -> String {
    format!(
        "select v.lead_id, v.state, z.begun_at is not null as begun from lead_view v \
         left join lease z on z.lease_id = v.lease_id \
         where v.campaign_id = $1::int and v.lead_id = page.lead_id and {} offset 0",
        LeadFilter::condition(first)
    )
}

fn match_of(row: &tokio_postgres::Row) -> Result<Match, StoreError> {
    Ok(Match { lead: row.try_get("lead_id")?, state: state_of(row, "state")?, begun: row.try_get("begun")? })
}

/// Those of these leads that match, as they stand now.
///
/// # Errors
/// [`StoreError`].
pub async fn matches_among(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: &[LeadId],
    filter: &LeadFilter,
) -> Result<Vec<Match>, StoreError> {
    let sql = format!(
        "select m.lead_id, m.state, m.begun from unnest($2::uuid[]) as page (lead_id) cross join lateral ({}) as m",
        match_of_page(3)
    );
    let statement = client.prepare_cached(&sql).await?;
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&campaign, &leads];
    parameters.extend(filter.parameters());
    client.query(&statement, &parameters).await?.iter().map(match_of).collect()
}

/// Each condition has its own way in: one statement for all would walk the whole list for a single number.
fn way_in(search: &LeadSearch) -> &'static str {
    match search {
        LeadSearch { number: Some(_), .. } => "l.number = $5::bigint",
        LeadSearch { external_id: Some(_), .. } => "l.external_id = $6::text",
        LeadSearch { held: true, .. } => {
            "l.callback_at = 'infinity' and l.lead_id in (select q.lead_id from due q \
             where q.campaign_id = $1::int and q.lane = 0 and q.at = 'infinity')"
        }
        LeadSearch { state: Some(LeadState::Ready), .. } => {
            "l.lead_id in (select r.lead_id from ready_lead r where r.campaign_id = $1::int)"
        }
        LeadSearch { state: Some(LeadState::DialingIntent), .. } => {
            "l.lead_id in (select z.lead_id from lease z where z.campaign_id = $1::int)"
        }
        _ => "true",
    }
}

impl Store {
    /// Those of the next `scan` leads after this one that match, and after which to go on; `None`: that was the end. In order
    /// of ids, not of scores: who moves by a change must not be met again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn matches(
        &self,
        campaign: CampaignKey,
        filter: &LeadFilter,
        after: LeadId,
        scan: i64,
    ) -> Result<(Vec<Match>, Option<LeadId>), StoreError> {
        let client = self.client().await?;
        let sql = format!(
            "with page as materialized ( \
                 select l.lead_id from lead l where l.campaign_id = $1::int and l.lead_id > $2::uuid \
                 order by l.lead_id limit $3::bigint \
             ), last as (select lead_id from page order by lead_id desc limit 1), found as ( \
                 select m.lead_id, m.state, m.begun from page cross join lateral ({}) as m \
             ) \
             select f.lead_id, f.state, f.begun, last.lead_id as last_lead, \
                 (select count(*) from page) as looked_at \
             from last left join found f on true",
            match_of_page(4)
        );
        let statement = client.prepare_cached(&sql).await?;
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&campaign, &after, &scan];
        parameters.extend(filter.parameters());
        let rows = client.query(&statement, &parameters).await?;
        let next = match rows.first() {
            Some(row) if row.try_get::<_, i64>("looked_at")? >= scan => Some(row.try_get("last_lead")?),
            _ => None,
        };
        // Without a match there is one row, which only tells where the page ends.
        let found = rows.iter().filter(|row| !matches!(row.try_get::<_, Option<LeadId>>("lead_id"), Ok(None)));
        Ok((found.map(match_of).collect::<Result<_, _>>()?, next))
    }

    /// One page of up to `limit` leads, from `after` on in the order (rank, lead). The second part is where the next page
    /// begins; `None`: the end. A page looks at a bounded number of leads, so it may be short.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leads(
        &self,
        campaign: CampaignKey,
        search: &LeadSearch,
        after: Option<Place>,
        limit: i64,
    ) -> Result<(Vec<LeadRow>, Option<Place>), StoreError> {
        let client = self.client().await?;
        let (rank, lead) = after.unwrap_or((0, Uuid::nil()));
        let number = search.number.map(PhoneNumber::digits);
        let scan = limit.max(LOOKED_AT_MAX);
        let way_in = way_in(search);
        let sql = format!(
            "with page as materialized ( \
                 select l.rank, l.lead_id from lead l where l.campaign_id = $1::int and {way_in} \
                 and (l.rank, l.lead_id) > ($2::smallint, $3::uuid) order by l.rank, l.lead_id limit $4::bigint \
             ), last as (select rank, lead_id from page order by rank desc, lead_id desc limit 1) \
             select (select count(*) from page) as looked_at, (select rank from last) as last_rank, \
                 (select lead_id from last) as last_lead, {COLUMNS} \
             from page cross join lateral ( \
                 select * from lead_view v where v.campaign_id = $1::int and v.lead_id = page.lead_id offset 0) as v \
             where ($5::bigint is null or v.number = $5::bigint) and ($6::text is null or v.external_id = $6::text) \
                 and ($7::smallint is null or v.state = $7::smallint) \
                 and (not $9::boolean or v.waiting_reason = $10::smallint) and {} \
             order by page.rank, page.lead_id limit $8::bigint",
            LeadFilter::condition(11)
        );
        let statement = client.prepare_cached(&sql).await?;
        let state = search.state.map(LeadState::code);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![
            &campaign,
            &rank,
            &lead,
            &scan,
            &number,
            &search.external_id,
            &state,
            &limit,
            &search.held,
            &waiting::HELD,
        ];
        parameters.extend(search.filter.parameters());
        let rows = client.query(&statement, &parameters).await?;
        let leads = rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
        if leads.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            let next = leads.last().map(|lead| (999 - i16::try_from(lead.score).unwrap_or(0), lead.id));
            return Ok((leads, next));
        }
        let next = match rows.first() {
            Some(row) if row.try_get::<_, i64>("looked_at")? >= scan => {
                Some((row.try_get("last_rank")?, row.try_get("last_lead")?))
            }
            Some(_) => None,
            None => self.last_looked_at(campaign, way_in == "true", (rank, lead), scan).await?,
        };
        Ok((leads, next))
    }

    /// Where a page ended that looked at `scan` leads and kept none.
    async fn last_looked_at(
        &self,
        campaign: CampaignKey,
        walked: bool,
        after: Place,
        scan: i64,
    ) -> Result<Option<Place>, StoreError> {
        if !walked {
            return Ok(None);
        }
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select l.rank, l.lead_id from lead l where l.campaign_id = $1::int \
                 and (l.rank, l.lead_id) > ($2::smallint, $3::uuid) order by l.rank, l.lead_id offset $4::bigint - 1 limit 1",
            )
            .await?;
        let row = client.query_opt(&statement, &[&campaign, &after.0, &after.1, &scan]).await?;
        row.map(|row| Ok((row.try_get("rank")?, row.try_get("lead_id")?))).transpose()
    }
}
