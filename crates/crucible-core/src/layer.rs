//! The layers of isolation, each named after the mechanism that provides it, and whether it is in force.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One layer of isolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Capabilities count only inside; ids are mapped.
    UserNamespace,
    /// The host's mounts don't exist inside.
    MountNamespace,
    /// The host's processes don't exist inside.
    PidNamespace,
    /// No interface, no route, no abstract socket of the host.
    NetworkNamespace,
    /// No System V or POSIX IPC of the host.
    IpcNamespace,
    /// An own host name.
    UtsNamespace,
    /// The host's cgroup paths don't show.
    CgroupNamespace,
    /// Clocks that count from the machine's start begin anew. `/proc/self/timens_offsets` tells by how much.
    TimeNamespace,
    /// A root folder of its own, read-only, holding only what the language needs.
    PrivateRoot,
    /// `/proc` shows only the sandbox's own processes, and nothing of the kernel.
    PrivateProc,
    /// `/dev` has only null, zero, full, random, urandom and private pseudo-terminals.
    PrivateDev,
    /// A host user id that no other run has at the same time.
    DistinctUid,
    /// All five capability sets are empty.
    Capabilities,
    /// No program can gain privileges by being executed.
    NoNewPrivs,
    /// File, network and signal access by the Landlock security module.
    Landlock,
    /// System calls by allow-list.
    Seccomp,
    /// Limits per process: descriptors, file size, stack, core files, processor time.
    Rlimits,
    /// Memory of the whole sandbox, without swap.
    CgroupMemory,
    /// Number of processes and threads of the whole sandbox.
    CgroupPids,
    /// Share of the processors of the whole sandbox.
    CgroupCpu,
    /// Bytes and inodes of everything writable.
    DiskQuota,
    /// A session keyring of its own.
    SessionKeyring,
    /// No descriptor, environment variable or terminal of the supervisor.
    CleanStart,
    /// The program is WebAssembly: it makes no system call, and reaches nothing but the functions that are linked to it.
    /// No backend for native programs has it, so that no built-in policy requires it.
    WebAssembly,
}

impl Layer {
    /// Every layer there is.
    pub const ALL: [Self; 24] = [
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::TimeNamespace,
        Self::PrivateRoot,
        Self::PrivateProc,
        Self::PrivateDev,
        Self::DistinctUid,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::Landlock,
        Self::Seccomp,
        Self::Rlimits,
        Self::CgroupMemory,
        Self::CgroupPids,
        Self::CgroupCpu,
        Self::DiskQuota,
        Self::SessionKeyring,
        Self::CleanStart,
        Self::WebAssembly,
    ];

    /// Those that native programs can have. The other is no matter of machines and settings, but of what a program is.
    pub fn of_native_programs() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|layer| *layer != Self::WebAssembly)
    }

    /// The name in policies and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserNamespace => "user_namespace",
            Self::MountNamespace => "mount_namespace",
            Self::PidNamespace => "pid_namespace",
            Self::NetworkNamespace => "network_namespace",
            Self::IpcNamespace => "ipc_namespace",
            Self::UtsNamespace => "uts_namespace",
            Self::CgroupNamespace => "cgroup_namespace",
            Self::TimeNamespace => "time_namespace",
            Self::PrivateRoot => "private_root",
            Self::PrivateProc => "private_proc",
            Self::PrivateDev => "private_dev",
            Self::DistinctUid => "distinct_uid",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::Rlimits => "rlimits",
            Self::CgroupMemory => "cgroup_memory",
            Self::CgroupPids => "cgroup_pids",
            Self::CgroupCpu => "cgroup_cpu",
            Self::DiskQuota => "disk_quota",
            Self::SessionKeyring => "session_keyring",
            Self::CleanStart => "clean_start",
            Self::WebAssembly => "web_assembly",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a layer is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// In force; with particulars, such as Landlock's ABI.
    Active {
        /// Particulars for the record; may be empty. Attestations compare them, so they tell of the backend on its machine,
        /// and of a single sandbox only for [`Layer::DistinctUid`].
        detail: String,
    },
    /// Not in force.
    Absent {
        /// Why not.
        reason: String,
        /// What the person can do about it.
        mend: String,
    },
}

impl LayerState {
    /// In force.
    pub fn active(detail: impl Into<String>) -> Self {
        Self::Active { detail: detail.into() }
    }

    /// Not in force.
    pub fn absent(reason: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Absent { reason: reason.into(), mend: mend.into() }
    }

    /// Whether it is in force.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active { .. })
    }
}

/// The state of every layer. A layer that isn't in the map is absent.
pub type Layers = BTreeMap<Layer, LayerState>;
