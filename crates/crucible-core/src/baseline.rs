//! What earlier runs with the same label were like, and where that is kept.
//!
//! Invariant: a profile holds numbers that the host counted, and no text of a guest's. Nothing here judges a run; that is
//! the engine's.

use crate::error::{Error, ErrorKind, Result};
use crate::monitor::BehaviorKind;
use crate::outcome::Status;
use crate::scan::Severity;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// The most earlier runs of one label that a store gives, the latest ones.
pub const BASELINE_WINDOW: usize = 200;

/// What runs that should be alike are called: `gsm8k`, `humaneval/12`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// Bytes of the longest label.
    pub const LONGEST: usize = 100;

    /// The label as text: ASCII letters, digits and `-_.:/+@`, a letter or digit first.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+@".contains(&byte);
        let begins_well = text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if begins_well && text.len() <= Self::LONGEST && text.bytes().all(is_word) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(64).collect();
        let message = format!("{shown:?} can't be a label");
        let hint = format!(
            "a label has 1 to {} ASCII letters, digits, or any of -_.:/+@, and begins with a letter or digit",
            Self::LONGEST
        );
        Err(Error::new(ErrorKind::InvalidInput, "read a label", message).with_hint(hint))
    }
}

impl TryFrom<String> for Label {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How a run ended, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// With exit code 0.
    Succeeded,
    /// With another exit code.
    Failed,
    /// By a signal that Crucible didn't send.
    Signaled,
    /// By its wall-clock limit.
    TimedOut,
    /// By its memory limit.
    OutOfMemory,
    /// By another limit.
    LimitExceeded,
    /// By the policy.
    Denied,
    /// By the caller.
    Cancelled,
}

impl ExitKind {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Signaled => "signaled",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::LimitExceeded => "limit_exceeded",
            Self::Denied => "denied",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<Status> for ExitKind {
    fn from(status: Status) -> Self {
        match status {
            Status::Exited { code: 0 } => Self::Succeeded,
            Status::Exited { .. } => Self::Failed,
            Status::Signaled { .. } => Self::Signaled,
            Status::TimedOut => Self::TimedOut,
            Status::OutOfMemory => Self::OutOfMemory,
            Status::LimitExceeded { .. } => Self::LimitExceeded,
            Status::Denied => Self::Denied,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

/// How much was seen of one kind of behaviour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// Under how many names.
    pub names: u64,
}

/// What one run was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// When it was taken.
    pub at: SystemTime,
    /// The backend that ran it. Runs on different backends aren't alike.
    pub backend: String,
    /// How it ended.
    pub ended: ExitKind,
    /// From the start of the command to its end.
    pub wall: Duration,
    /// Processor time.
    pub cpu: Duration,
    /// Most memory at one time; `None` where the host couldn't tell.
    pub memory_peak_bytes: Option<u64>,
    /// Most processes and threads at one time; `None` where the host couldn't tell.
    pub processes_peak: Option<u64>,
    /// Bytes on both output streams, as far as they were kept.
    pub output_bytes: u64,
    /// What was seen, by kind. A kind that nobody watched for isn't in it, one that was watched for and not seen is.
    pub behavior: BTreeMap<BehaviorKind, Tally>,
    /// Findings by severity; empty where nothing was scanned.
    pub findings: BTreeMap<Severity, u64>,
}

/// Earlier runs with one label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The latest ones, the oldest first; at most [`BASELINE_WINDOW`].
    pub profiles: Vec<Profile>,
    /// Entries that couldn't be read and were passed over.
    pub broken: u64,
}

/// What a store keeps of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSummary {
    /// The label.
    pub label: Label,
    /// How many runs.
    pub runs: u64,
    /// When the latest of them was; `None` where there is none.
    pub latest: Option<SystemTime>,
    /// Entries that couldn't be read.
    pub broken: u64,
}

/// Keeps what earlier runs were like, by label. Bounded in runs and labels, and safe with several processes at once.
#[async_trait]
pub trait BaselineStore: Send + Sync {
    /// Earlier runs with a label. A label that nothing is known of has none.
    ///
    /// # Errors
    /// `Unavailable` where others could have written what is kept; `Io` where it can't be read.
    async fn history(&self, label: &Label) -> Result<History>;

    /// Keeps one more run. The oldest ones are let go as the window asks.
    ///
    /// # Errors
    /// `Refused` for a new label when there are too many; else as [`BaselineStore::history`].
    async fn append(&self, label: &Label, profile: &Profile) -> Result<()>;

    /// Every label that something is kept of, by name.
    ///
    /// # Errors
    /// As [`BaselineStore::history`].
    async fn labels(&self) -> Result<Vec<LabelSummary>>;

    /// Forgets all runs with a label, and says how many they were; `None` where nothing was known of it.
    ///
    /// # Errors
    /// As [`BaselineStore::history`].
    async fn forget(&self, label: &Label) -> Result<Option<u64>>;
}

/// What came of comparing a run with earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It was compared; the outcome's anomalies say how it stands out, if it does.
    Compared,
    /// There are too few earlier runs to compare with.
    TooFew {
        /// How many it takes.
        needed: u64,
    },
    /// There was nothing to compare: nothing of it ran, or its result says nothing about it.
    NothingToCompare,
    /// Earlier runs couldn't be read.
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// Whether later runs are compared with this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// They are.
    Yes,
    /// They aren't, and oughtn't to be.
    No {
        /// Why not.
        reason: String,
    },
    /// They should be, but it couldn't be kept.
    Failed {
        /// Why not.
        reason: String,
    },
}

/// How a run stands to earlier ones with its label, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineRecord {
    /// The label.
    pub label: Label,
    /// How many earlier runs there are to compare with: those on the same backend within the window.
    pub runs: u64,
    /// What came of it.
    pub comparison: Comparison,
    /// Whether later runs are compared with this one.
    pub learnt: Learnt,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_label_is_a_short_plain_word() {
        for text in ["gsm8k", "humaneval/12", "a", "0", "team:task@v1.2+x_y-z", &"x".repeat(Label::LONGEST)] {
            assert_eq!(text.parse::<Label>().unwrap().as_str(), text);
        }
        let long = "x".repeat(Label::LONGEST + 1);
        for text in ["", " ", "-rf", "/etc", ".", "a b", "a\n", "a\0", "é", "a\u{202e}", "a'", "a\\", long.as_str()] {
            let error = text.parse::<Label>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
            assert!(error.to_string().len() < 300 && error.hint().is_some());
        }
        assert!(serde_json::from_str::<Label>("\"a b\"").is_err());
        assert_eq!(serde_json::to_string(&"a/b".parse::<Label>().unwrap()).unwrap(), "\"a/b\"");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic_and_what_is_read_has_nothing_to_quote(text in "\\PC{0,120}|[a-z/]{0,120}") {
            if let Ok(label) = text.parse::<Label>() {
                prop_assert!(!label.as_str().is_empty() && label.as_str().len() <= Label::LONGEST);
                prop_assert!(label.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"'\"\\<>&`$".contains(&byte)));
            }
        }
    }
}
