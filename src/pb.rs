//! The generated protocol: messages, clients and servers of `dialplane.v1`, and their descriptors.

#![allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all)]

tonic::include_proto!("dialplane.v1");

/// The whole contract as a file descriptor set, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Debug of messages with people's data shows ids and states, never numbers, keys, variables or notes.
macro_rules! masked {
    ($($message:ident { $($field:ident),* }),* $(,)?) => { $(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($message))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    )* };
}

masked! {
    Lead { lead_id, campaign_id, state, score },
    NewLead { score },
    Lease { lease_id, campaign_id, lead_id, attempt_number, score },
    Attempt { lease_id, campaign_id, lead_id, attempt_number, outcome },
    OutcomeReport { lease_id, outcome },
    ListLeadsRequest { campaign_id, state, page_size },
    UpdateLeadRequest { campaign_id, lead_id, score, update_mask },
    ListAttemptsRequest { campaign_id, lead_id, lease_id, page_size },
    AddSuppressionsRequest { request_id },
    RemoveSuppressionsRequest { request_id },
    CheckSuppressionsRequest { },
    SuppressionCheck { suppressed },
    Suppression { since },
    SuppressionFilter { created_before },
    ListSuppressionsRequest { page_size },
    ListSuppressionsResponse { },
    LeadFilter { states, last_outcomes },
    RefusedRow { row, code },
    Campaign { campaign_id, state, generation },
    CreateCampaignRequest { request_id },
    AuditEvent { event_id, method },
    ListAuditEventsRequest { campaign_id, lead_id, method, page_size },
    OutcomeEvent { lease_id, campaign_id, lead_id, outcome, verdict },
}
