//! For tests only: a scriptable backend in memory with fault injection, the conformance suite that every backend goes
//! through, those of queues, stores and event buses, and a leaky backend that proves the suite is not blind.
//!
//! Invariant: nothing here isolates anything, and nothing outside tests may depend on it.

pub mod baselines;
pub mod clock;
pub mod conformance;
pub mod fake;
pub mod keeping;
pub mod languages;
pub mod leaky;
