//! crucible-jail.
