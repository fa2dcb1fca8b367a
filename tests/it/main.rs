//! Scratch test binary.
#![allow(missing_docs, clippy::unwrap_used)]
mod tests_embedded;
