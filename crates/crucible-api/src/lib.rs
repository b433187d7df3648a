//! crucible-api.
