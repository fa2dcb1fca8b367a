//! dialplane: the control plane for outbound calling. It decides who may be called, when, by whom, and never twice.
//!
//! In reading order: `domain` says what is true, `store` what is stored, `engine` what happens, `grpc` who asks, `app` how it
//! all comes together; `cli` is a client like any other.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod embedded;
pub mod engine;
pub mod failpoints;
pub mod grpc;
pub mod pb;
pub mod store;
pub mod telemetry;
