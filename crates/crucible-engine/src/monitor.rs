//! Watches what a running guest uses: as often as the limits ask for, and for the record.
//!
//! It only looks; ending the guest is the runner's.

use crate::journal::Journal;
use crucible_core::{Counters, Enforcement, Event, LimitKind, Limits, MOST_SAMPLES, Result, Sample, Sandbox};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_millis(5);
/// How far samples are apart at first, and so how seldom is looked at most.
const LONGEST: Duration = Duration::from_millis(50);

/// How long until a run's use is first told of, and how far apart that is at least afterwards.
const TOLD_FROM: Duration = Duration::from_millis(100);
/// It is told of again when the run is longer by this part: so a run of a day tells some 200 times.
const TOLD_PER_RUN: u32 = 20;

/// How fast processor time can be used, in thousandths of a processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(u32);

impl Rate {
    /// As the limit says where it is enforced for the whole sandbox; otherwise the guest may use the whole machine.
    pub(crate) fn of(limits: &Limits, enforcement: Enforcement) -> Self {
        let machine = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        match enforcement {
            Enforcement::Sandbox | Enforcement::Inside => Self(limits.cpus.get()),
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

/// What was seen of a run's use by looking from time to time.
#[derive(Debug)]
pub(crate) struct Meter {
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    samples: Vec<Sample>,
    /// How far samples are apart. Doubled whenever there are too many, so that a long run has as many as a short one.
    interval: Duration,
    processes_peak: u64,
    /// When it is told of next.
    told_from: Duration,
}

/// Why watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The processor time of the whole sandbox.
    CpuLimit,
    /// A limit at which the guest was refused.
    Refused(LimitKind),
}

/// Whether the first refusal ends the watching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// It does.
    Tell,
    /// The guest deals with it.
    GoOn,
}

impl Meter {
    pub(crate) const fn new(started: Instant) -> Self {
        let seen = Seen { samples: Vec::new(), interval: LONGEST, processes_peak: 0, told_from: TOLD_FROM };
        Self { started, seen: Mutex::new(seen) }
    }

    /// The most processes that were seen at one time, if any were.
    pub(crate) fn processes_peak(&self) -> Option<u64> {
        Some(self.lock().processes_peak).filter(|&seen| seen > 0)
    }

    /// The samples, with one more for the end.
    pub(crate) fn into_samples(self, at: Duration, last: &Counters) -> Vec<Sample> {
        let mut samples = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner).samples;
        samples.truncate(MOST_SAMPLES - 1);
        samples.push(sample(at, last));
        samples
    }

    /// What is to be told now, if anything is.
    fn tell(&self, counters: &Counters) -> Option<Sample> {
        let at = self.started.elapsed();
        let mut seen = self.lock();
        if at < seen.told_from {
            return None;
        }
        seen.told_from = at + TOLD_FROM.max(at / TOLD_PER_RUN);
        Some(sample(at, counters))
    }

    fn note(&self, counters: &Counters) {
        let at = self.started.elapsed();
        let mut seen = self.lock();
        seen.processes_peak = seen.processes_peak.max(counters.processes.unwrap_or_default());
        // A little early counts, since clocks and timers don't agree to the microsecond.
        let due = seen.samples.last().map_or(Duration::ZERO, |last| last.at) + seen.interval * 9 / 10;
        if at < due {
            return;
        }
        if seen.samples.len() >= MOST_SAMPLES - 1 {
            let mut number = 0_usize;
            seen.samples.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
            seen.interval = seen.interval.saturating_mul(2);
        }
        seen.samples.push(sample(at, counters));
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sample(at: Duration, counters: &Counters) -> Sample {
    Sample {
        at,
        cpu: counters.cpu,
        memory_bytes: counters.memory_bytes,
        processes: counters.processes,
        read_bytes: counters.read_bytes,
        written_bytes: counters.written_bytes,
    }
}

/// Looks until there is something to be done: the processor time of the whole sandbox has reached its limit, or the guest
/// was refused at one.
pub(crate) async fn watch(
    sandbox: &dyn Sandbox,
    limit: Duration,
    rate: Rate,
    on_refusal: OnRefusal,
    (meter, journal): (&Meter, &Journal),
) -> Result<Reached> {
    let mut used = Duration::ZERO;
    loop {
        tokio::time::sleep(rate.earliest(limit.saturating_sub(used))).await;
        let counters = sandbox.counters().await?;
        meter.note(&counters);
        if let Some(sample) = meter.tell(&counters) {
            journal.record(Event::UsageSampled { sample });
        }
        used = counters.cpu;
        if used >= limit {
            return Ok(Reached::CpuLimit);
        }
        if let (OnRefusal::Tell, Some(limit)) = (on_refusal, counters.refused.first()) {
            return Ok(Reached::Refused(*limit));
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
        assert_eq!(wait(1000, 40), Duration::from_millis(40));
        assert_eq!(wait(4000, 100), Duration::from_millis(25));
        assert_eq!(wait(500, 20), Duration::from_millis(40));
        assert_eq!((wait(1000, 0), wait(1000, 60_000)), (SHORTEST, LONGEST));
    }

    #[tokio::test(start_paused = true)]
    async fn samples_are_far_apart_in_a_long_run_and_never_too_many() {
        let meter = Meter::new(Instant::now());
        for _ in 0..5000 {
            tokio::time::advance(LONGEST).await;
            meter.note(&Counters { processes: Some(3), ..Counters::default() });
        }
        assert_eq!(meter.processes_peak(), Some(3));
        let samples = meter.into_samples(Duration::from_secs(300), &Counters::default());
        assert!(samples.len() <= MOST_SAMPLES && samples.len() > MOST_SAMPLES / 4, "{}", samples.len());
        assert!(samples.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert_eq!(samples.last().unwrap().at, Duration::from_secs(300));
    }

    #[tokio::test(start_paused = true)]
    async fn use_is_told_of_soon_and_then_ever_more_rarely() {
        let meter = Meter::new(Instant::now());
        let mut told = Vec::new();
        // A day.
        for _ in 0..24 * 3600 * 20 {
            tokio::time::advance(LONGEST).await;
            told.extend(meter.tell(&Counters::default()).map(|sample| sample.at));
        }
        assert_eq!(told[..3], [100, 200, 300].map(Duration::from_millis));
        assert!((100..=260).contains(&told.len()), "{}", told.len());
        let within_ten_minutes = told.iter().filter(|at| at.as_secs() < 600).count();
        assert!((80..=150).contains(&within_ten_minutes), "{within_ten_minutes}");
    }
}
