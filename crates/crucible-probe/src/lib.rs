//! Probes at the level of system calls: each tries to reach one canary by all the ways it knows, and is harmless if it does.
//!
//! Invariants: a probe touches only the canary that its parameters name, and its own folder, memory and descriptors. Every
//! one ends by itself: it holds what it got until its standard input ends, for 20 seconds at most. `unsafe` lives in `sys`
//! alone. No verdict is taken here: the suite looks from outside at the canary and at the process while it holds.

mod names;
#[cfg(feature = "probe")]
pub mod probe;
#[cfg(feature = "probe")]
mod sys;

pub use names::{NAMES, Name};

/// The program with all the probes, linked statically. It is called with a probe's name and a nonce.
#[cfg(feature = "host")]
pub static PROBE: &[u8] = include_bytes!(env!("CRUCIBLE_PROBE"));
