//! Says how a run ended, from the host's own evidence alone. Pure: evidence in, verdict out.
//!
//! In order: the kernel's out-of-memory kills; the reason for which the engine ended the guest; a limit that the
//! counters show to be passed although the guest ended by itself; the main process's own end. What none of these
//! explains is Crucible's failure, never the guest's; unless what ran the guest ended or lied while the rest of Crucible
//! stood, which is told and not hidden behind an error: see the validity.

use crucible_core::{BehaviorKind, Counters, Error, ErrorKind, ExitStatus, LimitKind, Loss, Result, Status};
use std::collections::BTreeSet;
use std::time::Duration;

/// The signal for a file that grew past the limit.
const SIGXFSZ: i32 = 25;

/// How everything ends that a lost runner leaves behind: the kernel, or Crucible clearing away, kills it. The validity says
/// that this is no ordinary end.
const KILLED: Status = Status::Signaled { signal: 9 };

/// Why the run is over.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The main process ended, and the engine had no part in it.
    ByItself(ExitStatus),
    /// The wall clock.
    TimedOut,
    /// Too many bytes on a stream.
    OutputLimit,
    /// Too much processor time.
    CpuLimit,
    /// The policy doesn't let it go on after what the host saw.
    Forbidden {
        /// What kind of thing.
        kind: BehaviorKind,
        /// Which.
        name: String,
    },
    /// The caller.
    Cancelled,
    /// The backend could not say what goes on.
    Failed(Error),
}

/// What the host knows when all is over.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) ending: Ending,
    /// How the main process ended, where that could be told.
    pub(crate) main: Option<ExitStatus>,
    pub(crate) counters: Counters,
    /// Why the sandbox is lost, if it is.
    pub(crate) loss: Option<Loss>,
    pub(crate) cpu_limit: Duration,
    /// Whether a stream held more than the limit allows.
    pub(crate) output: OutputSeen,
}

/// How much the guest wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputSeen {
    /// No more than allowed.
    WithinLimit,
    /// More than allowed on one stream at least.
    OverLimit,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// The limit that ended it, if one did.
    pub(crate) limit: Option<LimitKind>,
    /// Limits that the guest ran into without being ended by them.
    pub(crate) observed: BTreeSet<LimitKind>,
}

/// Weighs the evidence.
///
/// # Errors
/// What the backend failed with, or [`ErrorKind::Infrastructure`] where the sandbox was lost for no reason that the host
/// knows.
pub(crate) fn decide(facts: Facts) -> Result<Verdict> {
    let Facts { ending, main, counters, loss, cpu_limit, output } = facts;
    let limit = |limit| Status::LimitExceeded { limit };
    let status = if counters.out_of_memory_kills > 0 {
        Status::OutOfMemory
    } else {
        match ending {
            Ending::TimedOut => Status::TimedOut,
            Ending::OutputLimit => limit(LimitKind::Output),
            Ending::CpuLimit => limit(LimitKind::CpuTime),
            Ending::Forbidden { .. } => Status::Denied,
            Ending::Cancelled => Status::Cancelled,
            Ending::Failed(error) => match loss {
                Some(Loss::RunnerEnded | Loss::RunnerBrokeItsWord) => KILLED,
                Some(Loss::MachineryLost) | None => return Err(error),
            },
            Ending::ByItself(_) if output == OutputSeen::OverLimit => limit(LimitKind::Output),
            Ending::ByItself(_) if counters.cpu >= cpu_limit => limit(LimitKind::CpuTime),
            Ending::ByItself(ExitStatus::Exited(code)) => Status::Exited { code },
            Ending::ByItself(ExitStatus::Signaled(signal)) => Status::Signaled { signal },
            Ending::ByItself(ExitStatus::SandboxLost) => match loss {
                Some(Loss::RunnerEnded | Loss::RunnerBrokeItsWord) => KILLED,
                Some(Loss::MachineryLost) | None => return Err(lost()),
            },
        }
    };
    let (exit_code, signal) = match main {
        Some(ExitStatus::Exited(code)) => (Some(code), None),
        Some(ExitStatus::Signaled(signal)) => (None, Some(signal)),
        Some(ExitStatus::SandboxLost) | None => (None, None),
    };
    let limit = match status {
        Status::OutOfMemory => Some(LimitKind::Memory),
        Status::TimedOut => Some(LimitKind::Timeout),
        Status::LimitExceeded { limit } => Some(limit),
        Status::Exited { .. } | Status::Signaled { .. } | Status::Denied | Status::Cancelled => None,
    };
    let mut observed = counters.refused;
    if signal == Some(SIGXFSZ) {
        observed.insert(LimitKind::FileSize);
    }
    if let Some(limit) = limit {
        observed.remove(&limit);
    }
    Ok(Verdict { status, exit_code, signal, limit, observed })
}

fn lost() -> Error {
    Error::new(ErrorKind::Infrastructure, "run the command", "the sandbox was lost, and no limit explains it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(ending: Ending, main: Option<ExitStatus>) -> Facts {
        let cpu_limit = Duration::from_secs(1);
        let output = OutputSeen::WithinLimit;
        Facts { ending, main, counters: Counters::default(), loss: None, cpu_limit, output }
    }

    fn ended(status: ExitStatus) -> Facts {
        facts(Ending::ByItself(status), Some(status))
    }

    #[test]
    fn an_out_of_memory_kill_goes_before_every_other_reason() {
        let failure = || Error::new(ErrorKind::Infrastructure, "look", "gone");
        let own = ExitStatus::Exited(3);
        let endings = [
            Ending::ByItself(own),
            Ending::ByItself(ExitStatus::SandboxLost),
            Ending::TimedOut,
            Ending::OutputLimit,
            Ending::CpuLimit,
            Ending::Cancelled,
            Ending::Failed(failure()),
        ];
        for ending in endings {
            let mut facts = facts(ending, Some(own));
            facts.counters.out_of_memory_kills = 1;
            facts.counters.refused.insert(LimitKind::Memory);
            let verdict = decide(facts).unwrap();
            assert_eq!((verdict.status, verdict.exit_code), (Status::OutOfMemory, Some(3)));
            assert!(verdict.observed.is_empty());
        }
    }

    #[test]
    fn the_engines_own_reason_goes_before_how_the_process_died() {
        let killed = Some(ExitStatus::Signaled(9));
        let cases = [
            (Ending::TimedOut, Status::TimedOut),
            (Ending::OutputLimit, Status::LimitExceeded { limit: LimitKind::Output }),
            (Ending::CpuLimit, Status::LimitExceeded { limit: LimitKind::CpuTime }),
            (Ending::Cancelled, Status::Cancelled),
        ];
        for (ending, status) in cases {
            let verdict = decide(facts(ending, killed)).unwrap();
            assert_eq!((verdict.status, verdict.signal), (status, Some(9)));
        }
    }

    #[test]
    fn a_limit_found_passed_after_the_exit_counts() {
        let mut over = ended(ExitStatus::Exited(0));
        over.counters.cpu = Duration::from_secs(1);
        assert_eq!(decide(over).unwrap().status, Status::LimitExceeded { limit: LimitKind::CpuTime });
        let mut over = ended(ExitStatus::Exited(0));
        over.output = OutputSeen::OverLimit;
        let verdict = decide(over).unwrap();
        assert_eq!(verdict.status, Status::LimitExceeded { limit: LimitKind::Output });
        assert_eq!(verdict.exit_code, Some(0));
    }

    #[test]
    fn a_sandbox_lost_without_evidence_is_crucibles_failure() {
        assert_eq!(decide(ended(ExitStatus::SandboxLost)).unwrap_err().kind(), ErrorKind::Infrastructure);
        let verdict = decide(facts(Ending::TimedOut, Some(ExitStatus::SandboxLost))).unwrap();
        assert_eq!((verdict.status, verdict.exit_code, verdict.signal), (Status::TimedOut, None, None));
    }

    #[test]
    fn a_runner_that_was_lost_is_told_and_a_lost_machinery_is_an_error() {
        let failed = || Ending::Failed(Error::new(ErrorKind::Infrastructure, "wait", "gone"));
        for (loss, expected) in [
            (Some(Loss::RunnerEnded), Some(KILLED)),
            (Some(Loss::RunnerBrokeItsWord), Some(KILLED)),
            (Some(Loss::MachineryLost), None),
            (None, None),
        ] {
            for ending in [Ending::ByItself(ExitStatus::SandboxLost), failed()] {
                let lost = Facts { loss, ..facts(ending, Some(ExitStatus::SandboxLost)) };
                assert_eq!(
                    decide(lost).ok().map(|verdict| (verdict.status, verdict.signal)),
                    expected.map(|status| (status, None))
                );
            }
            let own = Facts { loss, ..ended(ExitStatus::Exited(3)) };
            assert_eq!(decide(own).unwrap().status, Status::Exited { code: 3 });
        }
    }

    #[test]
    fn what_the_guest_was_refused_is_observed_beside_its_own_end() {
        let mut refused = ended(ExitStatus::Signaled(SIGXFSZ));
        refused.counters.refused.insert(LimitKind::Pids);
        let verdict = decide(refused).unwrap();
        assert_eq!(verdict.status, Status::Signaled { signal: SIGXFSZ });
        assert_eq!(verdict.observed, BTreeSet::from([LimitKind::Pids, LimitKind::FileSize]));
    }
}
