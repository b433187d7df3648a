//! The engine's warm pool on a fake backend: what is given to whom, what never is, and that nothing is left.
//!
//! The test runtime's time stands still while anything happens. How old a sandbox is, the pool asks another clock, which goes on: where
//! age matters, everything is too old, or nothing is.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod bench;
mod bounds;
mod endings;
mod giving;
mod kinds;
mod renewal;
