//! crucible-backends.

pub mod runtime;
