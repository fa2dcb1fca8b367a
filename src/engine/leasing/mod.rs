//! Leasing on one replica: the sans-IO core (`floor`, `door`, `lane`, `plan`) and the loop that feeds it (`dispatcher`,
//! `effects`).

pub mod dispatcher;
pub mod door;
mod effects;
pub mod events;
pub mod floor;
pub mod lane;
pub mod messages;
mod plan;
mod session;

#[cfg(test)]
mod model_tests;
