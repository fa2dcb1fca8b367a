//! Behaviour through gRPC against a real PostgreSQL, and the house's own rules. One binary; a database per test.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod audit;
mod bad_ids;
mod bad_input;
mod breaker;
mod callback_phrases;
mod calling_rules;
mod campaigns;
mod crash;
mod database_away;
mod database_full;
mod explain;
mod first_call;
mod guarantees;
mod imports;
mod interleavings;
mod leads;
mod outcomes;
mod polls;
mod privacy;
mod protocol;
mod random_life;
mod rates;
mod reports;
mod schema;
mod seed_queue;
mod seed_reset;
mod seed_selection;
mod seed_states;
mod sessions;
mod sql;
mod state_machines;
mod support;
mod tests_embedded;
mod tidy;
mod two_engines;
