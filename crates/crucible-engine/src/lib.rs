//! The life of an evaluation: it is admitted, a sandbox is made, the program runs under watch, its files are collected,
//! the sandbox is destroyed, and what came of it is recorded.
//!
//! Invariant: whatever happens (an error, a limit, a cancellation, a dropped future), no sandbox outlives its evaluation,
//! and nothing is collected while a process of the guest lives.
//!
//! This crate never names a concrete backend: they are handed in. It doesn't isolate anything itself, reads no
//! configuration and knows no wire format.

mod admission;
mod anomaly;
mod baseline;
mod behavior;
mod collect;
mod egress;
mod engine;
mod evaluation;
mod gate;
mod hash;
mod journal;
mod languages;
mod metric;
mod monitor;
mod patience;
mod pool;
mod posture;
mod preview;
mod robust;
mod runner;
mod screening;
mod self_test;
mod service;
mod session;
mod streams;
mod subject;
mod tripwire;
mod validity;
mod verdict;
mod webhooks;

pub use anomaly::{Baseline, FEWEST_RUNS, FLAGGED_FROM, Usual, profile};
pub use egress::{Internet, Outside, is_public};
pub use engine::{Engine, Evaluated, NodeFacts, RunIo};
pub use languages::LanguageTable;
pub use metric::Metric;
pub use pool::{PoolCounts, PoolSettings};
pub use preview::Preview;
pub use screening::{Screened, Wall, decide, in_words as finding_in_words};
pub use service::{
    Breakers, ComponentHealth, Drained, Health, MOST_BATCH, PastTest, Patience, RESERVED_LABELS, Records, Recovered,
    Reuse, Service, ServiceParts, ServiceSettings, Starter, Submission, Submitted, check_labels, kind,
};
pub use session::{
    CommandEnd, CommandEnded, CommandFinished, CommandHandle, CommandOutput, EndReason, ExecSpec, Executable,
    MOST_SESSIONS, OutputBound, RunningCommand, Session, SessionRecord, SessionSpec, Sessions,
};
pub use webhooks::{Brought, Courier, WEBHOOK_WAITS, Webhooks};
