//! What the host sees of a run while it goes on.
//!
//! Invariant: what was read out of the guest's memory, or could have been changed by it meanwhile, is *claimed*, and says so.

use crate::scan::Severity;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// What kind of thing was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BehaviorKind {
    /// A process started a program. The name is its command line.
    ProcessStarted,
    /// A system call was refused. The name is the call's.
    SyscallDenied,
    /// A connection was refused. The name is where it was to go.
    ConnectionRefused,
    /// A connection was made that the policy's allow-list lets out. The name is where it went.
    ConnectionMade,
    /// Listening at an address was refused. The name is the address.
    BindRefused,
    /// Sending to an address was refused. The name is the address.
    SendRefused,
    /// A file was opened that programs of its language don't open. The name is the path.
    FileOpened,
    /// A limit was reached. The name is the limit's.
    LimitReached,
    /// Something was touched that was planted to be left alone. The name is the tripwire's.
    TripwireTouched,
    /// More happened than is kept. The name is what happened so often.
    Flooded,
}

impl BehaviorKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::ProcessStarted,
        Self::SyscallDenied,
        Self::ConnectionRefused,
        Self::ConnectionMade,
        Self::BindRefused,
        Self::SendRefused,
        Self::FileOpened,
        Self::LimitReached,
        Self::TripwireTouched,
        Self::Flooded,
    ];

    /// The part of a run that must be watched for this to be seen; `None` for what every run tells.
    #[must_use]
    pub const fn watchable(self) -> Option<Watchable> {
        match self {
            Self::ProcessStarted => Some(Watchable::Processes),
            Self::SyscallDenied => Some(Watchable::SystemCalls),
            Self::ConnectionRefused | Self::ConnectionMade | Self::BindRefused | Self::SendRefused => {
                Some(Watchable::Network)
            }
            Self::FileOpened => Some(Watchable::Files),
            Self::LimitReached | Self::TripwireTouched | Self::Flooded => None,
        }
    }

    /// How much a reviewer should care.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::ProcessStarted | Self::FileOpened | Self::ConnectionMade => Severity::Low,
            Self::SyscallDenied
            | Self::ConnectionRefused
            | Self::BindRefused
            | Self::SendRefused
            | Self::LimitReached
            | Self::Flooded => Severity::Medium,
            Self::TripwireTouched => Severity::High,
        }
    }

    /// The name in rules, policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProcessStarted => "process_started",
            Self::SyscallDenied => "syscall_denied",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionMade => "connection_made",
            Self::BindRefused => "bind_refused",
            Self::SendRefused => "send_refused",
            Self::FileOpened => "file_opened",
            Self::LimitReached => "limit_reached",
            Self::TripwireTouched => "tripwire_touched",
            Self::Flooded => "flooded",
        }
    }
}

impl fmt::Display for BehaviorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whose word something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The kernel's.
    Host,
    /// The guest's: it was read from its memory.
    Claimed,
}

/// Something that the host saw, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What kind of thing.
    pub kind: BehaviorKind,
    /// Which. Bounded, and without control characters; may be worded by the guest.
    pub name: String,
    /// Whose word the name is.
    pub source: Source,
    /// When.
    pub at: Instant,
}

/// Everything that was seen of one kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The first time.
    pub first: Observation,
    /// How often.
    pub count: u64,
}

/// A part of a run that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Watchable {
    /// Programs that are started.
    Processes,
    /// System calls that are refused.
    SystemCalls,
    /// Connections, listening and sending that are refused.
    Network,
    /// Files that are opened.
    Files,
    /// Memory, processor time, processes and transfers over time.
    Resources,
}

impl Watchable {
    /// Every part.
    pub const ALL: [Self; 5] = [Self::Processes, Self::SystemCalls, Self::Network, Self::Files, Self::Resources];

    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::SystemCalls => "system_calls",
            Self::Network => "network",
            Self::Files => "files",
            Self::Resources => "resources",
        }
    }
}

/// How well a part of a run can be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The kernel tells of each.
    Events,
    /// The host looks from time to time, and misses what is over in between.
    Sampled {
        /// Why no better.
        reason: String,
    },
    /// Not at all.
    Unavailable {
        /// Why.
        reason: String,
    },
}

/// How well each part can be watched. A part that isn't in the map is not watched.
pub type Monitoring = BTreeMap<Watchable, Coverage>;

/// Sees what one sandbox does. Dropping it ends the watching, and what would have been refused is refused all the same.
#[async_trait]
pub trait Observer: Send {
    /// Waits for the next thing that wasn't seen before, by kind and name. Never returns when there is nothing more.
    /// Cancel-safe.
    async fn next(&mut self) -> Observation;

    /// How well each part of this sandbox is watched in fact: its backend's capabilities, or less.
    fn monitoring(&self) -> &Monitoring;

    /// Everything that was seen until now, in the order of first times. Bounded: what is beyond the bound is counted as
    /// [`BehaviorKind::Flooded`].
    fn seen(&mut self) -> Vec<Observed>;
}

/// Sees nothing: for backends that have nothing to tell. Their capabilities say so.
#[derive(Clone, Debug, Default)]
pub struct SeesNothing(Monitoring);

impl SeesNothing {
    /// With what is watched all the same, by looking at counters.
    #[must_use]
    pub const fn but(monitoring: Monitoring) -> Self {
        Self(monitoring)
    }
}

#[async_trait]
impl Observer for SeesNothing {
    async fn next(&mut self) -> Observation {
        std::future::pending().await
    }

    fn monitoring(&self) -> &Monitoring {
        &self.0
    }

    fn seen(&mut self) -> Vec<Observed> {
        Vec::new()
    }
}

/// What a sandbox used up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Since the command's start.
    pub at: Duration,
    /// Processor time until then.
    pub cpu: Duration,
    /// Memory then; `None` where the host can't tell.
    pub memory_bytes: Option<u64>,
    /// Processes and threads then; `None` where the host can't tell.
    pub processes: Option<u64>,
    /// Bytes read by system calls until then; `None` where the host can't tell.
    pub read_bytes: Option<u64>,
    /// Bytes written by system calls until then; `None` where the host can't tell.
    pub written_bytes: Option<u64>,
}
