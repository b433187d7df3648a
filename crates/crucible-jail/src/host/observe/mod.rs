//! What the host sees a guest do: system calls that are refused, addresses that it wants to reach, programs that it starts.
//!
//! Invariants: a report is always answered, with an errno; nothing that was read from a guest decides whether a call is made. What is kept of a sandbox is bounded, whatever its guest does, and how fast it can keep the supervisor
//! busy is, too.
//!
//! Nothing here ends a guest.

mod address;
mod files;
mod processes;
mod record;
mod reports;
mod sampled;
mod text;

pub use record::{Kind, Observer, Sighting, Word};

pub(super) use processes::{Mounts, ProcessEvents, ProgramsCome, Registration};
pub(super) use record::Record;
pub(super) use reports::answer;
pub(super) use sampled::look_from_time_to_time;
