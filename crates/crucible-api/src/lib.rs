//! The wire format of Crucible: what the command line prints with `--json` and what the service answers.
//!
//! Invariant: within one version a field never changes its name, meaning or place; new ones may come, so readers accept
//! fields they don't know. Core types are converted here and are never serialized themselves.
//!
//! Without the feature `client`, this crate does no I/O.

#[cfg(feature = "client")]
pub mod client;
pub mod v1;
