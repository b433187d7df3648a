//! The conformance suite: one named behaviour at a time, done to any backend through the core traits alone, with real
//! programs inside.
//!
//! Invariants: a behaviour looks at what really happened, not at what a backend says of itself, wherever it can; a probe
//! that tells nothing is a failure; one that hangs is a failure; what a backend says it can't do is skipped with the
//! reason. Every probe is bounded and harmless even where nothing isolates it, and reaches no address but loopback.
//!
//! [`conformance_suite!`](crate::conformance_suite) makes a test of each behaviour. That the suite can fail is shown by
//! the [leaky backend](crate::leaky).

mod confinement;
mod door;
mod files;
mod guest;
mod lifetime;
mod limits;
mod links;
mod live;
mod monitoring;
mod privileges;
mod process;
mod stop;
mod streams;
mod suite;
mod tripwires;

pub use stop::{Checked, Stop};
pub use suite::{
    BEHAVIOURS, Behaviour, ConformanceSubject, DEADLINE, Need, Unavailable, Verdict, behaviour, check, run_test,
};
