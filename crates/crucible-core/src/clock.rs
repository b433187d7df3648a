//! Time, as those parts see it whose work depends on it.
//!
//! Invariant: durations are measured with the monotonic clock alone. The wall clock can be set at any moment, to any time; it
//! is for records, and decides nothing that must be right.

use async_trait::async_trait;
use std::time::{Instant, SystemTime};

/// Tells the time. Handed in, so that a test can move it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The monotonic clock. Never goes back.
    fn now(&self) -> Instant;

    /// The wall clock. May go back.
    fn wall(&self) -> SystemTime;

    /// Returns once the monotonic clock has reached that moment.
    async fn sleep_until(&self, at: Instant);
}
