//! What came of a run. A guest's failure is data here, told apart by the host's own evidence.

use crate::admission::AdmissionRecord;
use crate::baseline::BaselineRecord;
use crate::evidence::Evidence;
use crate::id::EvaluationId;
use crate::limits::LimitKind;
use crate::monitor::{BehaviorKind, Monitoring, Sample, Source};
use crate::path::GuestPath;
use crate::scan::Finding;
use crate::tripwire::TripwireRecord;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

/// How the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The program ended by itself.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal ended the program, and Crucible didn't send it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// The wall-clock limit ended it.
    TimedOut,
    /// The kernel killed a process of the sandbox because its memory limit was reached.
    OutOfMemory,
    /// Another limit ended it.
    LimitExceeded {
        /// Which.
        limit: LimitKind,
    },
    /// It was not let in, so that nothing of it ran: the policy or a reviewer forbade it, or the sandbox wasn't as planned.
    /// Or it was let in and ended for something that it did (`during.end_on` of the policy); the admission's reasons tell.
    Denied,
    /// The caller ended it.
    Cancelled,
}

/// Whether the result says something about the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// It does.
    Valid,
    /// Crucible or the node failed; it says nothing about the task.
    InfrastructureFailure,
    /// Somebody interfered with what was measuring the guest: the guest itself, or whoever tampered with the node.
    SabotageSuspected,
}

/// Something that was seen and that decides over the validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidityReason {
    /// Something was touched that was planted to be left alone.
    TripwireTouched,
    /// Seen from outside, the sandbox wasn't as planned, before or after the guest was in it.
    PostureDiffered,
    /// What runs the guest's commands inside ended while the guest was there, and no limit explains it.
    RunnerEnded,
    /// What runs the guest's commands inside said what it never would by itself.
    RunnerBrokeItsWord,
    /// The sandbox couldn't be looked at when the guest had ended.
    PostureUnreadable,
    /// A part of Crucible outside of the sandbox was lost.
    MachineryLost,
}

impl ValidityReason {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TripwireTouched => "tripwire_touched",
            Self::PostureDiffered => "posture_differed",
            Self::RunnerEnded => "runner_ended",
            Self::RunnerBrokeItsWord => "runner_broke_its_word",
            Self::PostureUnreadable => "posture_unreadable",
            Self::MachineryLost => "machinery_lost",
        }
    }
}

/// One captured stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// What was written, up to the limit, byte for byte.
    pub bytes: Vec<u8>,
    /// Whether more was written than the limit allows.
    pub truncated: bool,
}

/// A file brought out of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectedFile {
    /// Where it was.
    pub path: GuestPath,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A path that was asked for and not brought out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedFile {
    /// The path as far as it can be shown.
    pub path: String,
    /// Why not.
    pub reason: String,
}

/// What the sandbox used, read by the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// From the start of the command to its end.
    pub wall: Duration,
    /// Processor time of everything in the sandbox.
    pub cpu: Duration,
    /// Most memory at one time, files included; `None` where the host can't tell.
    pub memory_peak_bytes: Option<u64>,
    /// Most processes and threads at one time; `None` where the host can't tell.
    pub processes_peak: Option<u64>,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Waiting for a place.
    pub queue: Duration,
    /// Looking at the program before it ran. It goes on beside the rest where the policy lets it, so it isn't a part of the sum.
    pub scan: Duration,
    /// Making the sandbox and putting the files in.
    pub create: Duration,
    /// What looking at the sandbox from outside added, before and after the command. A part of `create` and of `destroy`.
    pub posture: Duration,
    /// The command itself.
    pub exec: Duration,
    /// Collecting and clearing away.
    pub destroy: Duration,
}

/// Something that the host saw during the run, once or several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// What kind of thing.
    pub kind: BehaviorKind,
    /// Which. May be worded by the guest; bounded, and without control characters.
    pub name: String,
    /// Whose word the name is.
    pub source: Source,
    /// How often.
    pub count: u64,
    /// When first, in milliseconds from the start of the command; `None` where only the count is known.
    pub first_at_ms: Option<f64>,
    /// The findings that foretold it, as indices into [`Outcome::findings`].
    pub foretold_by: Vec<usize>,
    /// It in words, with what foretold it: «imports socket (line 3) and tried to connect to 127.0.0.1:80 at 12 ms, refused».
    pub message: String,
}

/// One respect in which a run stands out from earlier ones with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// What was measured: `cpu_ms`, `process_started`.
    pub metric: String,
    /// What this run had.
    pub value: f64,
    /// The median of the earlier runs.
    pub median: f64,
    /// How far from it, in scaled median absolute deviations. What no earlier run did is told whatever its score.
    pub score: f64,
    /// How many earlier runs it was compared with.
    pub runs: u64,
    /// It in words.
    pub message: String,
}

/// The most samples that are kept of one run.
pub const MOST_SAMPLES: usize = 256;

/// What came of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The evaluation.
    pub id: EvaluationId,
    /// The backend that ran it.
    pub backend: String,
    /// The language, if it was a program in one.
    pub language: Option<String>,
    /// How it ended.
    pub status: Status,
    /// The main process's own exit code, if it ended by itself (whatever the status says of the sandbox).
    pub exit_code: Option<i32>,
    /// The signal that ended the main process, if one did.
    pub signal: Option<i32>,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Files brought out.
    pub files: Vec<CollectedFile>,
    /// Paths asked for and not brought out.
    pub files_refused: Vec<RefusedFile>,
    /// What it used.
    pub usage: Usage,
    /// Where the time went.
    pub timings: Timings,
    /// Limits that the host saw the guest run into without being ended by them.
    pub limits_observed: BTreeSet<LimitKind>,
    /// What was decided before anything ran.
    pub admission: AdmissionRecord,
    /// What the scanner saw.
    pub findings: Vec<Finding>,
    /// What the host saw.
    pub behavior: Vec<Behavior>,
    /// How well each part of the run could be watched.
    pub monitoring: Monitoring,
    /// What it used over time: at most [`MOST_SAMPLES`], further apart the longer it took.
    pub samples: Vec<Sample>,
    /// In which respects it stands out from earlier runs with its label. Empty where there are too few to compare with.
    pub anomalies: Vec<Anomaly>,
    /// With what it was compared; `None` for a run without a label.
    pub baseline: Option<BaselineRecord>,
    /// What was planted, and whether it was touched. Empty where nothing was started.
    pub tripwires: Vec<TripwireRecord>,
    /// Whether the result says something about the task.
    pub validity: Validity,
    /// Why, where it isn't simply valid.
    pub validity_reasons: BTreeSet<ValidityReason>,
    /// What it was protected by.
    pub evidence: Evidence,
}

impl Outcome {
    /// Standard output as text; what isn't UTF-8 shows as U+FFFD.
    #[must_use]
    pub fn stdout_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout.bytes)
    }

    /// Standard error as text; what isn't UTF-8 shows as U+FFFD.
    #[must_use]
    pub fn stderr_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.stderr.bytes)
    }
}
