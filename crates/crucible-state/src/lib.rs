//! What outlives a run, one folder per engine that keeps it.
//!
//! Invariant: whoever can't be trusted with what is kept can't have written it: a store that others may write to is not
//! used. A store is safe with several processes at once, and whole after one of them was killed at any moment.

pub mod file;
