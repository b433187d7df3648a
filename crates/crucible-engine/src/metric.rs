//! What is measured of a run to compare it with others, as one table: how to get it, how to say it, and how much of a
//! difference is none.
//!
//! The floors answer what the median absolute deviation can't: earlier runs that were all alike have one of zero, and then
//! any difference would be infinitely far. A floor is about what one and the same program shows from run to run on one
//! machine; a run is flagged from six of them on.

use crucible_core::{BehaviorKind, Profile, Severity};
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Processor time, in milliseconds.
    Cpu,
    /// Wall-clock time, in milliseconds.
    Wall,
    /// Most memory at one time, in bytes.
    Memory,
    /// Most processes and threads at one time.
    Processes,
    /// Bytes on both output streams.
    Output,
    /// How often a kind of behaviour was seen.
    Count(BehaviorKind),
    /// Under how many names a kind of behaviour was seen.
    Names(BehaviorKind),
    /// Findings of one severity.
    Findings(Severity),
}

/// A difference that says nothing: the larger one of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    /// In the metric's own unit.
    pub(crate) absolute: f64,
    /// As a part of the median.
    pub(crate) relative: f64,
}

/// How a number is said.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Milliseconds,
    Bytes,
    Number,
}

impl Metric {
    /// Every metric.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let of_kinds = BehaviorKind::ALL.into_iter().flat_map(|kind| [Self::Count(kind), Self::Names(kind)]);
        [Self::Cpu, Self::Wall, Self::Memory, Self::Processes, Self::Output]
            .into_iter()
            .chain(of_kinds)
            .chain(Severity::ALL.into_iter().map(Self::Findings))
    }

    /// The name in records.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Cpu => "cpu_ms".to_owned(),
            Self::Wall => "wall_ms".to_owned(),
            Self::Memory => "memory_peak_bytes".to_owned(),
            Self::Processes => "processes_peak".to_owned(),
            Self::Output => "output_bytes".to_owned(),
            Self::Count(kind) => kind.as_str().to_owned(),
            Self::Names(kind) => format!("{kind}_names"),
            Self::Findings(severity) => format!("findings_{severity}"),
        }
    }

    /// What a run had of it; `None` where nobody could tell.
    pub(crate) fn of(self, profile: &Profile) -> Option<f64> {
        let milliseconds = |time: Duration| Some(time.as_secs_f64() * 1e3);
        let tally = |kind| profile.behavior.get(&kind);
        match self {
            Self::Cpu => milliseconds(profile.cpu),
            Self::Wall => milliseconds(profile.wall),
            Self::Memory => profile.memory_peak_bytes.map(number),
            Self::Processes => profile.processes_peak.map(number),
            Self::Output => Some(number(profile.output_bytes)),
            Self::Count(kind) => tally(kind).map(|tally| number(tally.count)),
            Self::Names(kind) => tally(kind).map(|tally| number(tally.names)),
            Self::Findings(severity) => profile.findings.get(&severity).copied().map(number),
        }
    }

    /// The difference that says nothing.
    pub(crate) const fn floor(self) -> Floor {
        let (absolute, relative) = match self {
            // Caches, clock rates and what else the processor is doing.
            Self::Cpu => (15.0, 0.15),
            // A busy machine makes everything wait, several times as long if it must.
            Self::Wall => (50.0, 0.5),
            // What the kernel keeps in caches for it, and how the allocator's arenas fall.
            Self::Memory => (2.0 * 1024.0 * 1024.0, 0.1),
            // A pool with one worker more.
            Self::Processes => (1.0, 0.25),
            // A line or a traceback more.
            Self::Output => (1024.0, 0.25),
            // Retries, and imports that look in one more place.
            Self::Count(_) => (2.0, 0.5),
            Self::Names(_) => (1.0, 0.25),
            // A program that is written anew each time.
            Self::Findings(_) => (1.0, 0.25),
        };
        Floor { absolute, relative }
    }

    /// What the run did: «used 9.1 s of processor time».
    pub(crate) fn did(self, value: f64, scale: f64) -> String {
        let amount = self.amount(value, scale);
        match self {
            Self::Cpu => format!("used {amount} of processor time"),
            Self::Wall => format!("took {amount}"),
            Self::Memory => format!("used {amount} of memory at its peak"),
            Self::Processes => format!("had {amount} {} at its peak", plural("process", "processes", value)),
            Self::Output => format!("wrote {amount} of output"),
            Self::Count(kind) => format!("{} {}", deed(kind), times(&amount)),
            Self::Names(kind) => format!("{} under {amount} different {}", deed(kind), plural("name", "names", value)),
            Self::Findings(severity) => {
                format!("has {amount} {} of {severity} severity", plural("finding", "findings", value))
            }
        }
    }

    /// What earlier runs did at the median, after «the 40 earlier runs»: «used 0.21 s».
    pub(crate) fn earlier_did(self, value: f64, scale: f64) -> String {
        let amount = self.amount(value, scale);
        match self {
            Self::Cpu | Self::Memory => format!("used {amount}"),
            Self::Wall => format!("took {amount}"),
            Self::Processes | Self::Findings(_) => format!("had {amount}"),
            Self::Output => format!("wrote {amount}"),
            Self::Count(_) => format!("did so {}", times(&amount)),
            Self::Names(_) => format!("did so under {amount}"),
        }
    }

    /// What the run did and none of the earlier ones: «no earlier run with this label started a process (of 40); this one
    /// did 3 times». `None` for what is nothing new.
    pub(crate) fn novelty(self, value: f64, runs: usize) -> Option<String> {
        let amount = significant(value);
        match self {
            Self::Count(kind) => {
                let (deed, times) = (deed(kind), times(&amount));
                Some(format!("no earlier run with this label {deed} (of {runs}); this one did {times}"))
            }
            Self::Findings(severity @ (Severity::High | Severity::Critical)) => Some(format!(
                "no earlier run with this label had a finding of {severity} severity (of {runs}); this one has {amount}"
            )),
            Self::Findings(Severity::Info | Severity::Low | Severity::Medium) | Self::Names(_) => None,
            Self::Cpu | Self::Wall | Self::Memory | Self::Processes | Self::Output => None,
        }
    }

    /// A number of it, in the unit in which `scale` reads well.
    #[must_use]
    pub fn amount(self, value: f64, scale: f64) -> String {
        let unit = match self {
            Self::Cpu | Self::Wall => Unit::Milliseconds,
            Self::Memory | Self::Output => Unit::Bytes,
            Self::Processes | Self::Count(_) | Self::Names(_) | Self::Findings(_) => Unit::Number,
        };
        match unit {
            Unit::Milliseconds if scale < 1000.0 => format!("{} ms", significant(value)),
            Unit::Milliseconds => format!("{} s", significant(value / 1000.0)),
            Unit::Number => significant(value),
            Unit::Bytes => {
                let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
                let size = |shift: u32| f64::from(1_u32 << shift);
                let fitting = units.into_iter().find(|(_, shift)| scale >= size(*shift));
                match fitting {
                    Some((name, shift)) => format!("{} {name}", significant(value / size(shift))),
                    None => format!("{} bytes", significant(value)),
                }
            }
        }
    }
}

/// What was done, once: «started a process».
const fn deed(kind: BehaviorKind) -> &'static str {
    match kind {
        BehaviorKind::ProcessStarted => "started a process",
        BehaviorKind::SyscallDenied => "tried a system call that is refused",
        BehaviorKind::ConnectionRefused => "tried to connect",
        BehaviorKind::ConnectionMade => "connected to something",
        BehaviorKind::BindRefused => "tried to listen",
        BehaviorKind::SendRefused => "tried to send",
        BehaviorKind::FileOpened => "opened a file that its language doesn't need",
        BehaviorKind::LimitReached => "reached a limit",
        BehaviorKind::TripwireTouched => "touched a tripwire",
        BehaviorKind::Flooded => "did more than is told one by one",
    }
}

fn times(amount: &str) -> String {
    if amount == "1" { "once".to_owned() } else { format!("{amount} times") }
}

fn plural(singular: &'static str, plural: &'static str, value: f64) -> &'static str {
    if (value - 1.0).abs() < f64::EPSILON { singular } else { plural }
}

/// Two significant digits, or whole numbers.
fn significant(value: f64) -> String {
    let size = value.abs();
    let decimals = if size >= 10.0 || value.fract() == 0.0 {
        0
    } else if size >= 1.0 {
        1
    } else if size >= 0.1 {
        2
    } else if size >= 0.001 {
        3
    } else {
        return "0".to_owned();
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A count as a number to calculate with; from 2^53 on not to the last digit.
#[expect(clippy::cast_precision_loss, reason = "no count that is compared is that large")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_has_a_name_and_floors_of_its_own() {
        let names: BTreeSet<_> = Metric::all().map(Metric::name).collect();
        assert_eq!(names.len(), Metric::all().count());
        for metric in Metric::all() {
            let Floor { absolute, relative } = metric.floor();
            assert!(absolute > 0.0 && relative > 0.0, "{metric:?}");
        }
    }

    #[test]
    fn amounts_are_in_the_unit_of_the_larger_one() {
        for (metric, value, scale, said) in [
            (Metric::Cpu, 9100.0, 9100.0, "9.1 s"),
            (Metric::Cpu, 210.0, 9100.0, "0.21 s"),
            (Metric::Cpu, 20.0, 9100.0, "0.02 s"),
            (Metric::Cpu, 0.4, 30.0, "0.4 ms"),
            (Metric::Wall, 86_400_000.0, 86_400_000.0, "86400 s"),
            (Metric::Memory, 512.0, 512.0, "512 bytes"),
            (Metric::Memory, 1_572_864.0, 1_572_864.0, "1.5 MiB"),
            (Metric::Memory, 1_572_864.0, 3_221_225_472.0, "0.001 GiB"),
            (Metric::Processes, 64.0, 64.0, "64"),
            (Metric::Output, 0.0, 2048.0, "0 KiB"),
            (Metric::Count(BehaviorKind::BindRefused), 2.5, 9.0, "2.5"),
        ] {
            assert_eq!(metric.amount(value, scale), said, "{metric:?}");
        }
    }
}
