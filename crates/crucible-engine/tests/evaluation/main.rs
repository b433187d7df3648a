//! The engine on a fake backend: what it starts, ends, weighs, brings out and clears away.
//!
//! Time is the test runtime's own and stands still while anything happens, so no test waits.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod attestation;
mod behavior;
mod collection;
mod lifecycle;
mod limits;
mod screening;
mod support;
mod tripwires;
mod validity;
