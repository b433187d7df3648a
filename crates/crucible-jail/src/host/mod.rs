//! The supervisor's side: starts the launcher, asks it for sandboxes, and talks to their inits.
//!
//! Invariant: whatever comes from an init is hostile. Descriptors from it are checked against what the launcher said,
//! messages are bounded, and no verdict rests on them that the host's own evidence could decide.

pub mod cgroup;
mod error;
mod facts;
mod image;
mod launcher;
pub mod observe;
pub mod posture;
mod process_tree;
mod sandbox;
mod socket;
pub mod tripwire;

pub use error::JailError;
pub use facts::{
    can_report_calls, counts_processes_by_namespace, effective_user, is_in_range, kernel_release, landlock_abi,
    mapped_ids, random_below, root_is_somebody_else_outside, spare_ids,
};
pub use image::digest as launcher_digest;
pub use launcher::{Launcher, SpareIds, Started};
/// What an interpreter of Python runs to be a zygote, with a last line added that calls `crucible_zygote` with the names of the
/// modules that it preloads and the number of its sandboxes' root.
pub const PYTHON_ZYGOTE: &str = include_str!("../zygote/python.py");
pub use process_tree::{TreeUsage, descendants, transfers, tree_transfers, tree_usage};
pub use sandbox::{Command, Control, Running, Sandbox, Size};
