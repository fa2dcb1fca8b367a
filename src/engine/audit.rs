//! Who changed what: every change by a person leaves an event, in the transaction that makes it.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::{Engine, EngineError, requests::Done};
use crate::{
    domain::ids::{CampaignId, CampaignKey, LeadId},
    store::{
        Transaction,
        audit::{self as stored, AuditFilter, AuditRow, NewEvent},
        requests::RequestKey,
    },
};

/// A change that somebody asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who: the peer's address, or `engine`.
    pub actor: String,
    /// By which method.
    pub method: &'static str,
    /// Named by a request_id.
    pub key: Option<RequestKey>,
}

/// What was changed.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Of this campaign.
    pub campaign: Option<CampaignKey>,
    /// Of this lead.
    pub lead: Option<LeadId>,
    /// These numbers; digits.
    pub numbers: Vec<i64>,
    /// What, by name. No numbers and no names of people.
    pub details: BTreeMap<String, String>,
}

impl Audit {
    /// Of a campaign.
    pub fn campaign(key: CampaignKey) -> Audit {
        Audit { campaign: Some(key), ..Audit::default() }
    }

    /// Of a lead.
    pub fn lead(key: CampaignKey, lead: LeadId) -> Audit {
        Audit { lead: Some(lead), ..Audit::campaign(key) }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Audit {
        self.details.insert(name.to_owned(), value.to_string());
        self
    }

    /// Names numbers, by which the event is found.
    #[must_use]
    pub fn naming(self, numbers: Vec<i64>) -> Audit {
        Audit { numbers, ..self }
    }

    /// Adds what differs between two versions of something, field by field as they are stored.
    #[must_use]
    pub fn with_difference<T: Serialize>(mut self, of: &str, before: &T, after: &T) -> Audit {
        let fields = |version: &T| match serde_json::to_value(version) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let before = fields(before);
        for (name, after) in fields(after) {
            let before = before.get(&name).cloned().unwrap_or_default();
            if before != after {
                self.details.insert(format!("{of}{name}"), format!("{before} -> {after}"));
            }
        }
        self
    }
}

impl Engine {
    /// Runs a change that somebody asked for; what it says was changed becomes an event of the same transaction. `None`:
    /// nothing was.
    ///
    /// # Errors
    /// [`EngineError::RequestReused`]; whatever the change answers.
    pub(super) async fn change<T, A, F>(&self, asked: Asked, work: F) -> Result<Done<T, A>, EngineError>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        A: Send + 'static,
        F: for<'a> Fn(&'a Transaction<'a>) -> BoxFuture<'a, Result<(T, A, Option<Audit>), EngineError>>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.mutate(asked.key, move |tx| {
            let (work, asked) = (work.clone(), asked.clone());
            Box::pin(async move {
                let (answer, aftermath, audit) = work(tx).await?;
                if let Some(audit) = audit {
                    record(tx, &asked, &audit).await?;
                }
                Ok((answer, aftermath))
            })
        })
        .await
    }

    /// Events, newest first; the second part is where the next page begins.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn list_audit_events(
        &self,
        mut filter: AuditFilter,
        campaign: Option<CampaignId>,
        before: Option<i64>,
        limit: i64,
    ) -> Result<(Vec<AuditRow>, Option<i64>), EngineError> {
        if let Some(id) = campaign {
            filter.campaign = Some(self.campaign(id).await?.key);
        }
        let mut rows = self.store.audit_events(&filter, before, limit + 1).await?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        let next = rows.last().map(|row| row.event).filter(|_| more);
        Ok((rows, next))
    }
}

/// Writes one event.
pub(super) async fn record(tx: &Transaction<'_>, asked: &Asked, audit: &Audit) -> Result<(), EngineError> {
    let event = NewEvent {
        actor: &asked.actor,
        method: asked.method,
        request: asked.key.map(|key| key.id),
        campaign: audit.campaign,
        lead: audit.lead,
        numbers: &audit.numbers,
        details: &audit.details,
    };
    Ok(stored::insert(tx, &event).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::campaign::CampaignRules;

    #[test]
    fn a_difference_names_each_field_with_both_values() {
        let before = CampaignRules::default();
        let after = CampaignRules { max_attempts: 5, max_concurrency: Some(7), ..before.clone() };
        let audit = Audit::default().with_difference("rules.", &before, &after);
        let details: Vec<_> = audit.details.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(details, [("rules.max_attempts", "3 -> 5"), ("rules.max_concurrency", "null -> 7")]);
    }
}
