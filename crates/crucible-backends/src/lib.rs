//! The isolation backends, one folder each, and how the host's interpreters are found.
//!
//! Invariant: a backend enforces what its capabilities say, or refuses before anything starts. It holds no timeout, output
//! cap, retry or metrics: those wrap every backend from outside, once, in the engine.

mod agent;
mod ahead;
pub mod docker;
mod fork;
pub mod gvisor;
pub mod jail;
mod native;
pub mod runtime;
pub mod subprocess;
mod users;
pub mod wasm;
