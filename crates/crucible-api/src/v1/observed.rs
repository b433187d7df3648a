//! What was seen of a run while it went on, and how it stands to earlier ones.

use super::outcome::milliseconds;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Something that the host saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Behavior {
    /// What kind of thing.
    pub kind: String,
    /// Which.
    pub name: String,
    /// How often.
    pub count: u64,
    /// When first, from the start of the command.
    pub first_at_ms: Option<f64>,
    /// Whose word the name is: `host` or `claimed`, that is, the guest's.
    #[serde(default)]
    pub source: String,
    /// The findings that foretold it, by their place in `findings`.
    #[serde(default)]
    pub foretold_by: Vec<usize>,
    /// It in words.
    #[serde(default)]
    pub message: String,
}

/// One respect in which a run stands out from earlier ones with its label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Anomaly {
    /// What was measured.
    pub metric: String,
    /// What this run had.
    pub value: f64,
    /// The median of the earlier runs.
    pub median: f64,
    /// How far from it, in scaled median absolute deviations.
    pub score: f64,
    /// How many earlier runs it was compared with.
    pub runs: u64,
    /// It in words.
    pub message: String,
}

/// How a run stands to earlier ones with its label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Baseline {
    /// The label.
    pub label: String,
    /// How many earlier runs there are to compare with.
    pub runs: u64,
    /// What came of it: `compared`, `too_few` (earlier runs), `nothing_to_compare` or `unavailable`.
    pub state: String,
    /// Why earlier runs couldn't be read, where that is so.
    pub reason: Option<String>,
    /// Whether later runs are compared with this one.
    pub learnt: bool,
    /// Why not.
    pub not_learnt_because: Option<String>,
}

/// How well a part of a run could be watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Coverage {
    /// `events`, `sampled` or `unavailable`.
    pub state: String,
    /// Why no better; `null` for `events`.
    pub reason: Option<String>,
}

/// What a sandbox used up to a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// Since the command's start.
    pub at_ms: f64,
    /// Processor time until then.
    pub cpu_ms: f64,
    /// Memory then.
    pub memory_bytes: Option<u64>,
    /// Processes and threads then.
    pub processes: Option<u64>,
    /// Bytes read by system calls until then.
    pub read_bytes: Option<u64>,
    /// Bytes written by system calls until then.
    pub written_bytes: Option<u64>,
}

/// Something that was planted to be left alone, and whether it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tripwire {
    /// Its path, or the variable's name.
    pub name: String,
    /// `credentials`, `file`, `environment` or `listener`.
    pub kind: String,
    /// Whether the host saw it touched.
    pub touched: bool,
    /// When first, from the start of the command; `null` where it wasn't, or where that can't be told.
    pub first_at_ms: Option<f64>,
    /// How first: `opened`, `read`, `changed`, `moved`, `called`, `secret_in_output` or `secret_in_file`.
    pub how: Option<String>,
}

impl From<&core::Behavior> for Behavior {
    fn from(behavior: &core::Behavior) -> Self {
        let core::Behavior { kind, name, source, count, first_at_ms, foretold_by, message } = behavior.clone();
        let source = match source {
            core::Source::Host => "host",
            core::Source::Claimed => "claimed",
        };
        Self {
            kind: kind.as_str().to_owned(),
            name,
            count,
            first_at_ms,
            source: source.to_owned(),
            foretold_by,
            message,
        }
    }
}

impl From<&core::Anomaly> for Anomaly {
    fn from(anomaly: &core::Anomaly) -> Self {
        let core::Anomaly { metric, value, median, score, runs, message } = anomaly.clone();
        Self { metric, value, median, score, runs, message }
    }
}

impl From<&core::BaselineRecord> for Baseline {
    fn from(record: &core::BaselineRecord) -> Self {
        let (state, reason) = match &record.comparison {
            core::Comparison::Compared => ("compared", None),
            core::Comparison::TooFew { .. } => ("too_few", None),
            core::Comparison::NothingToCompare => ("nothing_to_compare", None),
            core::Comparison::Unavailable { reason } => ("unavailable", Some(reason.clone())),
        };
        let not_learnt_because = match &record.learnt {
            core::Learnt::Yes => None,
            core::Learnt::No { reason } | core::Learnt::Failed { reason } => Some(reason.clone()),
        };
        Self {
            label: record.label.to_string(),
            runs: record.runs,
            state: state.to_owned(),
            reason,
            learnt: not_learnt_because.is_none(),
            not_learnt_because,
        }
    }
}

impl From<&core::Sample> for Sample {
    fn from(sample: &core::Sample) -> Self {
        let core::Sample { at, cpu, memory_bytes, processes, read_bytes, written_bytes } = *sample;
        Self { at_ms: milliseconds(at), cpu_ms: milliseconds(cpu), memory_bytes, processes, read_bytes, written_bytes }
    }
}

/// Every part that can be watched; one that a backend doesn't mention isn't.
#[must_use]
pub fn monitoring(monitoring: &core::Monitoring) -> BTreeMap<String, Coverage> {
    let coverage = |part: &core::Watchable| match monitoring.get(part) {
        Some(core::Coverage::Events) => Coverage { state: "events".to_owned(), reason: None },
        Some(core::Coverage::Sampled { reason }) => {
            Coverage { state: "sampled".to_owned(), reason: Some(reason.clone()) }
        }
        Some(core::Coverage::Unavailable { reason }) => {
            Coverage { state: "unavailable".to_owned(), reason: Some(reason.clone()) }
        }
        None => Coverage { state: "unavailable".to_owned(), reason: Some("the backend doesn't have it".to_owned()) },
    };
    core::Watchable::ALL.iter().map(|part| (part.as_str().to_owned(), coverage(part))).collect()
}

impl From<&core::TripwireRecord> for Tripwire {
    fn from(tripwire: &core::TripwireRecord) -> Self {
        let touch = tripwire.touched;
        Self {
            name: tripwire.name.clone(),
            kind: tripwire.kind.as_str().to_owned(),
            touched: touch.is_some(),
            first_at_ms: touch.and_then(|touch| touch.first_at).map(milliseconds),
            how: touch.map(|touch| touch.how.as_str().to_owned()),
        }
    }
}
