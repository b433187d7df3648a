//! crucible-testkit.
