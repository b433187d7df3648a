//! What outlives a run, one folder per engine that keeps it; and the queue and the event bus.
//!
//! Invariant: whoever can't be trusted with what is kept can't have written it: a store that others may write to is not
//! used. What `file` keeps is safe with several processes at once, what `sqlite` keeps is one process's alone, and both are
//! whole after a process was killed at any moment.

mod clock;
mod documents;
pub mod file;
pub mod memory;
mod queue;
pub mod sqlite;

pub use clock::SystemClock;
