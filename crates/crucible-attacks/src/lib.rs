//! The attack suite: what isolation has to mean, as scenarios that a runner puts to a backend.
//!
//! Invariant: a verdict comes from the host's own evidence about a canary that the suite made, never from what a probe
//! prints; and a property is held only where the same probe reached its canary with the protection left off.
//!
//! It makes no sandboxes itself and knows no backend by name: it is handed what it attacks.

pub mod report;
