//! The native Linux jail: a plan as data ([`plan`]), the static launcher that applies it with system calls (`launcher`),
//! and the supervisor's side of both (`host`).
//!
//! Invariants: `unsafe` lives in `sys` alone. Every clone is made by the launcher, which has one thread and runs from a
//! sealed copy of itself; the supervisor never forks. What a plan asks for is applied or the start fails: nothing is left
//! out silently, and what may be left out is marked so in the plan and reported.
//!
//! This crate knows nothing of evaluations, policies or languages; `crucible-backends` translates those into plans.

#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "launcher")]
pub mod launcher;
pub mod plan;
pub mod seccomp;
mod socket;
mod sys;
#[cfg(feature = "zygote")]
mod zygote;
