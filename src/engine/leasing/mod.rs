//! Leasing on one replica: the sans-IO core (`floor`, `door`, `ledger`, `lane`, `refills`, `shares`, `plan`) and the loop that feeds it (`dispatcher`,
//! `effects`, `alarm`).

mod alarm;
pub mod dispatcher;
pub mod door;
mod effects;
pub mod events;
pub mod floor;
pub mod lane;
mod ledger;
pub mod messages;
mod plan;
mod refills;
mod session;
mod shares;

#[cfg(test)]
mod model_tests;
