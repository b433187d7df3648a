//! What lives in this process alone: a queue for tests and for runs that nobody waits for, and the event bus.

mod bus;
mod queue;
#[cfg(test)]
mod tests;

pub use bus::MemoryBus;
pub use queue::MemoryQueue;
pub(crate) use queue::{SharedState, draining, lease_state, passes_a_task};
