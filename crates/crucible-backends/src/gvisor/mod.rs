//! gVisor: a kernel of the guest's own, in memory-safe code, by `runsc`.
//!
//! Invariant: the guest is served by gVisor's kernel, never by the host's, and that kernel runs on the host as nobody, without
//! any capability, in namespaces of its own and under a system call filter. What `runsc` is started with is in the record.

mod backend;
mod bundle;
mod config;
mod layers;
mod place;
mod platform;
mod runsc;
mod sandbox;
mod self_test;
#[cfg(test)]
mod tests;

pub use backend::GvisorBackend;
pub use config::GvisorConfig;
