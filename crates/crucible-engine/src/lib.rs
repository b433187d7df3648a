//! crucible-engine.
