//! Watches what a running guest uses, as seldom as the limits allow.
//!
//! It only looks; ending the guest is the runner's.

use crucible_core::{Enforcement, Limits, Result, Sandbox};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(250);

/// How fast processor time can be used, in thousandths of a processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(u32);

impl Rate {
    /// As the limit says where it is enforced for the whole sandbox; otherwise the guest may use the whole machine.
    pub(crate) fn of(limits: &Limits, enforcement: Enforcement) -> Self {
        let machine = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match enforcement {
            Enforcement::Sandbox => Self(limits.cpus.get()),
            Enforcement::Process | Enforcement::None => {
                Self(u32::try_from(machine()).unwrap_or(u32::MAX).saturating_mul(1000))
            }
        }
    }

    /// How long it is at least until so much more processor time is used.
    fn earliest(self, remaining: Duration) -> Duration {
        remaining.checked_div(self.0.max(1)).unwrap_or_default().saturating_mul(1000).clamp(SHORTEST, LONGEST)
    }
}

/// The most processes that were seen at one time.
#[derive(Debug, Default)]
pub(crate) struct ProcessPeak(AtomicU64);

impl ProcessPeak {
    /// The most that were seen, if any were.
    pub(crate) fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&seen| seen > 0)
    }
}

/// Returns when the processor time of the whole sandbox has reached its limit.
pub(crate) async fn until_cpu_limit(
    sandbox: &dyn Sandbox,
    limit: Duration,
    rate: Rate,
    peak: &ProcessPeak,
) -> Result<()> {
    let mut used = Duration::ZERO;
    loop {
        tokio::time::sleep(rate.earliest(limit.saturating_sub(used))).await;
        let counters = sandbox.counters().await?;
        peak.0.fetch_max(counters.processes.unwrap_or_default(), Ordering::Relaxed);
        used = counters.cpu;
        if used >= limit {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crucible_core::CpuCount;

    #[test]
    fn the_next_look_is_no_later_than_the_limit_can_be_reached() {
        let limits = |cpus| Limits { cpus: CpuCount::millis(cpus), ..Limits::default() };
        let wait = |cpus, left| Rate::of(&limits(cpus), Enforcement::Sandbox).earliest(Duration::from_millis(left));
        assert_eq!(wait(1000, 100), Duration::from_millis(100));
        assert_eq!(wait(4000, 100), Duration::from_millis(25));
        assert_eq!(wait(500, 100), Duration::from_millis(200));
        assert_eq!((wait(1000, 0), wait(1000, 60_000)), (SHORTEST, LONGEST));
    }
}
