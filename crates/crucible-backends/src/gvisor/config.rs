//! What an operator can set about gVisor.

use crucible_core::HostPath;

/// What an operator can set about gVisor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GvisorConfig {
    /// The program; `None` looks for `runsc` in `PATH`.
    pub runsc: Option<HostPath>,
    /// The platform to use, such as `kvm`; `None` chooses among those that need no device. Either way it is tried first.
    pub platform: Option<String>,
    /// A control group of version 2 to make ours in, instead of looking for one.
    pub cgroup_parent: Option<HostPath>,
    /// Where the answers of interpreters, and the platform that worked, are remembered.
    pub cache: Option<HostPath>,
}
