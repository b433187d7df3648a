//! What an operator can set about the jail.

use crucible_core::HostPath;

/// What is looked at of what guests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Everything that this machine can tell of.
    Everything,
    /// Nothing: a run's record says that nobody looked. For measuring what looking costs.
    Nothing,
}

/// What an operator can set about the jail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailConfig {
    /// A control group of version 2 to make ours in, instead of looking for one.
    pub cgroup_parent: Option<HostPath>,
    /// The first host user id that guests may get. Used as root only; an ordinary user's come from `/etc/subuid`.
    pub uid_start: u32,
    /// How many there are.
    pub uid_count: u32,
    /// Where the answers of interpreters are remembered.
    pub interpreter_cache: Option<HostPath>,
    /// What is looked at of guests.
    pub watch: Watch,
}

impl Default for JailConfig {
    /// Ids between those that systemd gives to containers and 2^31, which nothing else is known to use.
    fn default() -> Self {
        Self {
            cgroup_parent: None,
            uid_start: 1_879_048_192,
            uid_count: 268_435_455,
            interpreter_cache: None,
            watch: Watch::Everything,
        }
    }
}
