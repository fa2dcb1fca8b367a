//! Leasing on one replica: the sans-IO core (`floor`, `lane`, `plan`) and the loop that feeds it (`dispatcher`).

pub mod dispatcher;
pub mod events;
pub mod floor;
pub mod lane;
pub mod messages;
mod plan;
mod session;
