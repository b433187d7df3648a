//! crucible-backends.
