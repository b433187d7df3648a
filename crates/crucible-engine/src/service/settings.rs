//! What a service goes by.

use std::time::Duration;

/// The most evaluations that are submitted at once.
pub const MOST_BATCH: usize = 1000;

/// What a service goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Evaluations that run at one time.
    pub most_running: usize,
    /// Evaluations that run at one time on one backend, where that is less.
    pub most_running_on: std::collections::BTreeMap<String, usize>,
    /// Bytes of memory that the limits of all running evaluations may add up to. One that wants more runs alone.
    pub memory: u64,
    /// Evaluations that wait, of all projects together.
    pub most_queued: u64,
    /// How often one is tried at which Crucible fails.
    pub attempts: u32,
    /// How long it waits before the second try; twice as long before each later one.
    pub first_delay: Duration,
    /// The longest that it waits.
    pub longest_delay: Duration,
    /// How long a task is a dispatcher's that isn't heard from.
    pub lease: Duration,
    /// How long one waits whose backend is out of use, before it is looked again.
    pub while_out: Duration,
}

impl ServiceSettings {
    /// The usual ones for a machine with so many processors and so many bytes of memory.
    #[must_use]
    pub fn for_machine(processors: usize, memory: u64) -> Self {
        Self {
            // A program that waits leaves room for another one.
            most_running: processors.saturating_mul(2).max(2),
            most_running_on: std::collections::BTreeMap::new(),
            memory: memory / 4 * 3,
            most_queued: 100_000,
            attempts: 3,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
            lease: Duration::from_secs(30),
            while_out: Duration::from_secs(5),
        }
    }

    /// The memory as whole MiB, at least one.
    pub(super) fn memory_mib(&self) -> usize {
        usize::try_from(self.memory >> 20)
            .unwrap_or(tokio::sync::Semaphore::MAX_PERMITS)
            .clamp(1, tokio::sync::Semaphore::MAX_PERMITS.min(u32::MAX as usize))
    }

    /// How long one waits after it was tried so often.
    pub(super) fn delay_after(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first_delay.saturating_mul(factor).min(self.longest_delay)
    }
}
