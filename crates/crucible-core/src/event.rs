//! What happens during an evaluation, as it happens. Events are named in the past tense.

use crate::admission::{Decision, Review};
use crate::id::{EvaluationId, SandboxId};
use crate::limits::LimitKind;
use crate::monitor::{BehaviorKind, Sample, Source};
use crate::outcome::Status;
use async_trait::async_trait;

/// One of the guest's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A backend was chosen.
    BackendChosen {
        /// Its name.
        backend: String,
    },
    /// A sandbox stands ready; no guest code has run in it.
    SandboxCreated {
        /// Its id.
        sandbox: SandboxId,
    },
    /// The command was started.
    CommandStarted,
    /// The guest wrote something. Hostile bytes.
    OutputProduced {
        /// Where.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// The scanner has looked at the program, and the policy has decided.
    Screened {
        /// What was found.
        findings: u64,
        /// What was decided.
        decision: Decision,
    },
    /// A person decided about a program that was held.
    Reviewed {
        /// What, who and why.
        review: Review,
    },
    /// The host saw something for the first time in this run.
    BehaviorSeen {
        /// What kind of thing.
        kind: BehaviorKind,
        /// Which. May be worded by the guest.
        name: String,
        /// Whose word the name is.
        source: Source,
    },
    /// The host has looked at what the guest uses, as it does often at first and ever more rarely.
    UsageSampled {
        /// What it uses now.
        sample: Sample,
    },
    /// A limit ended the command.
    LimitReached {
        /// Which.
        limit: LimitKind,
    },
    /// Every process of the guest is dead.
    CommandEnded {
        /// How it ended.
        status: Status,
    },
    /// Nothing of the sandbox is left. Not told where that is so only after the result, with a pool.
    SandboxDestroyed {
        /// Its id.
        sandbox: SandboxId,
    },
}

/// Takes events. A slow sink slows the guest's output down, never anything else.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Takes one event of one evaluation. Events of one evaluation come in order.
    async fn publish(&self, evaluation: EvaluationId, event: Event);
}

/// Forgets every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

#[async_trait]
impl EventSink for Discard {
    async fn publish(&self, _evaluation: EvaluationId, _event: Event) {}
}
