//! crucible.
