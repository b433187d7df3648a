//! The native jail: namespaces, seccomp, Landlock, control groups and quotas of this machine's own kernel.

mod backend;
mod config;
mod control;
mod layers;
mod place;
mod posture;
mod root;
mod self_test;
mod zygotes;

pub(crate) use backend::Furnishing;
pub use backend::JailBackend;
pub use config::{JailConfig, Watch};
pub use crucible_jail::host::cgroup::leave_top as leave_top_of_cgroups;
pub use crucible_jail::host::is_in_range;
pub use crucible_jail::plan::RANGE_PROGRAM;
