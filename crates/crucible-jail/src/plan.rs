//! What the supervisor asks the launcher and a sandbox's init to do, as data, and what they answer.
//!
//! Both sides are built together, so that the encoding needs no versions. The supervisor treats every answer of an init as
//! hostile: the guest might have taken it over.

use crate::seccomp::Instruction;
pub use crucible_inside::users::{BECOME_USER, FIND_USER};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

/// Where the guest's writable folders are.
pub const WORK: &str = "/work";
/// The folders that a guest may write to. All three lie on one small file system of the sandbox's own.
pub const WRITABLE: [&str; 3] = [WORK, "/tmp", "/dev/shm"];
/// The same: where they are inside, what they are called on the writable file system, and their permissions.
pub const GUEST_FOLDERS: &[(&str, &str, u32)] =
    &[("/work", "work", 0o755), ("/tmp", "tmp", 0o1777), ("/dev/shm", "shm", 0o1777)];
/// Where root inside has folders of its own besides: where they are inside, what they are called on the writable file system,
/// and their permissions.
pub const ROOTS_FOLDERS: &[(&str, &str, u32)] = &[
    ("/etc", "etc", 0o755),
    ("/home", "home", 0o755),
    ("/root", "root", 0o700),
    ("/run", "run", 0o755),
    ("/var", "var", 0o755),
];
/// The id that the guest has inside, as user and as group.
pub const GUEST_ID: u32 = 1000;
/// What root inside may do, over the ids and processes of its own sandbox alone: give files away, read and change anybody's,
/// as if they were its own, signal anybody, and become anybody.
pub const ROOTS_CAPABILITIES: u64 = 1 << 0 // CAP_CHOWN
    | 1 << 1 // CAP_DAC_OVERRIDE
    | 1 << 3 // CAP_FOWNER
    | 1 << 5 // CAP_KILL
    | 1 << 6 // CAP_SETGID
    | 1 << 7; // CAP_SETUID
/// The host name inside.
pub const HOST_NAME: &str = "crucible";

/// What to do at the start of the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Privilege {
    /// The launcher is root with the capabilities it needs.
    Root,
    /// It is an ordinary user's: it makes a user namespace of its own first. With spare ids (`/etc/subuid`) it waits until
    /// the supervisor has had them mapped, else it maps its own id alone.
    Ordinary {
        /// Whether spare ids will be mapped by the supervisor.
        spare_ids: bool,
    },
    /// Nothing is isolated; it only starts processes.
    Bare,
}

/// A message to the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LauncherRequest {
    /// The first message.
    Begin(Privilege),
    /// Follows `Begin` with spare ids, once they are mapped.
    IdsMapped,
    /// Prepares a root folder to be copied into sandboxes, under a number of the supervisor's choice.
    PrepareRoot {
        /// The number.
        number: u32,
        /// What is in it, parents before children.
        entries: Vec<RootEntry>,
    },
    /// Starts a sandbox. Descriptors: the init's end of its socket, then those that the plan counts.
    Start(Box<SandboxPlan>),
    /// Starts an interpreter that is a launcher itself. Descriptors: its end of its socket, the library that makes it one, and
    /// what becomes its standard error.
    StartZygote(Box<ZygotePlan>),
}

/// The launcher's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LauncherReply {
    /// It is ready for requests; with what it has in force for all sandboxes.
    Begun {
        /// Whether sandboxes get a time namespace of their own.
        time_namespace: bool,
    },
    /// It is in its user namespace and waits for `IdsMapped`.
    MapIds,
    /// The root is prepared.
    RootPrepared,
    /// The interpreter is started; a descriptor of its process comes along. On its own socket it says `Begun` once it is
    /// initialised, and serves [`LauncherRequest::Start`] from then on.
    ZygoteStarted {
        /// Its number in the host's process namespace.
        pid: i32,
    },
    /// The init is started; descriptors of its process and of its writable file system come along, and of the socket that
    /// listens for what wants out, where there is one. It reports on its own socket.
    Started {
        /// Its number in the host's process namespace.
        pid: i32,
        /// The device number of the writable file system.
        device: u64,
    },
    /// It failed.
    Failed(Failure),
}

/// One thing in a sandbox's root folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootEntry {
    /// An empty folder.
    Directory {
        /// Absolute path inside.
        path: String,
    },
    /// A file or folder of the host, read-only.
    Bind {
        /// Absolute path on the host.
        source: String,
        /// Absolute path inside.
        target: String,
    },
    /// A device node of the host's `/dev`, checked to be what it should be.
    Device {
        /// Its name below `/dev`.
        name: String,
        /// Its major and minor number.
        number: (u32, u32),
    },
    /// A symbolic link.
    Symlink {
        /// Absolute path inside.
        path: String,
        /// What it points to.
        points_to: String,
    },
    /// A small file.
    File {
        /// Absolute path inside.
        path: String,
        /// Its bytes.
        content: Vec<u8>,
    },
}

/// A sandbox to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxPlan {
    /// With every layer.
    Jailed(JailPlan),
    /// A place in which the attack suite may do what it wants: see [`RangePlan`].
    Range(RangePlan),
    /// With none: development only.
    Bare {
        /// The host folder that stands for the work folder.
        directory: String,
    },
}

/// Whether a step may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Need {
    /// A failure stops the start.
    Required,
    /// A failure is reported, and the sandbox goes without.
    Preferred,
}

/// A jailed sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JailPlan {
    /// The prepared root.
    pub root: u32,
    /// The id that the guest has outside, as user and as group, in the launcher's user namespace.
    pub outside_id: u32,
    /// Who is in it.
    pub users: Users,
    /// Bytes on the writable file system.
    pub disk_bytes: u64,
    /// Inodes on the writable file system.
    pub inodes: u64,
    /// Whether the second descriptor is a cgroup folder of version 2 to be cloned into.
    pub clone_into_cgroup: bool,
    /// How many of the following descriptors are `tasks` files of version 1 to be joined.
    pub join_cgroups: u32,
    /// Landlock's ABI to use; 0 for none.
    pub landlock_abi: u32,
    /// The system call filter.
    pub seccomp: Vec<Instruction>,
    /// Whether the supervisor hears of calls that the filter reports.
    pub reports: Reports,
    /// Whether `/proc` has to be there.
    pub proc: Need,
    /// Whether private pseudo-terminals have to be there.
    pub terminals: Need,
    /// Whether there is a way out.
    pub network: Network,
    /// What is left off on purpose, to show that a probe works. Empty for every sandbox that is used.
    pub without: Vec<Protection>,
}

/// First inside, first outside and count, for users and groups alike.
pub type Ids = (u32, u32, u32);

/// Who is in a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Users {
    /// One, who is called [`GUEST_ID`] and has no privilege.
    #[default]
    Guest,
    /// Root, with [`ROOTS_CAPABILITIES`], and whoever it makes.
    Root {
        /// Ids that no other sandbox has, and no process outside. Those of the plan's `outside_id` are root's.
        ids: Vec<Ids>,
        /// The most processes that all of them have together, the init with them, where no control group bounds it.
        most_processes: Option<u64>,
    },
}

/// An interpreter from which sandboxes are forked, with it in them. It is root of a user namespace of its own and nobody
/// outside, and sees of the host what its language's programs see, and `/proc`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZygotePlan {
    /// The prepared root that it runs in: a language's, with what makes it a launcher in the place of the program.
    pub root: u32,
    /// The prepared root of its sandboxes, which have to name the same one.
    pub guest_root: u32,
    /// User 0 inside is the zygote's own.
    pub ids: Vec<Ids>,
    /// The interpreter and its arguments, as if it were to run the program.
    pub argv: Vec<String>,
    /// `NAME=value` each, as for the program.
    pub env: Vec<String>,
}

/// What the library that makes an interpreter a launcher finds as descriptors: its socket, itself, and the root of its
/// sandboxes.
pub const ZYGOTE_DESCRIPTORS: [i32; 3] = [3, 4, 5];

/// What a sandbox's network namespace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// No interface that is up.
    Closed,
    /// The loopback, and on it a socket at [`DOOR`] on which the supervisor listens. There is no other way out.
    Door,
}

/// Where the supervisor listens in a sandbox that has [`Network::Door`].
pub const DOOR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128);

impl JailPlan {
    /// Whether the sandbox has a protection.
    #[must_use]
    pub fn has(&self, protection: Protection) -> bool {
        !self.without.contains(&protection)
    }
}

/// Whether the supervisor hears of system calls that are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reports {
    /// It does, where the kernel lets it.
    Heard,
    /// It doesn't.
    Silenced,
}

/// The step that fails, without stopping the start, where reports can't be heard.
pub const HEAR_REPORTS: &str = "hear of refused system calls";

/// A protection that can be left off a sandbox in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// A user namespace of its own.
    UserNamespace,
    /// A mount namespace of its own. Without it there is no private root either.
    MountNamespace,
    /// A process namespace of its own.
    PidNamespace,
    /// A network namespace of its own.
    NetworkNamespace,
    /// An IPC namespace of its own.
    IpcNamespace,
    /// A host name of its own.
    UtsNamespace,
    /// A cgroup namespace of its own.
    CgroupNamespace,
    /// A root folder with little in it.
    PrivateRoot,
    /// A `/proc` of its own.
    PrivateProc,
    /// A `/dev` of its own.
    PrivateDev,
    /// The loss of all capabilities.
    Capabilities,
    /// No new privileges.
    NoNewPrivs,
    /// Landlock's rules.
    Landlock,
    /// The system call filter.
    Seccomp,
    /// A session keyring of its own.
    SessionKeyring,
    /// No descriptor of the launcher's.
    CleanStart,
    /// No core files.
    CoreLimit,
}

/// A range: namespaces, a file system in memory and a network of its own, in which the attack suite is root. The host's files
/// are read-only in it. Its init keeps every privilege that its user namespace gives, so that its root has to be nobody on
/// the host: user 0 of the host owns settings of the whole machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangePlan {
    /// The prepared root.
    pub root: u32,
    /// Its ids.
    pub ids: Vec<Ids>,
    /// Bytes on the writable file system.
    pub disk_bytes: u64,
    /// Inodes on the writable file system.
    pub inodes: u64,
    /// Whether the second descriptor is a cgroup folder of version 2 to be cloned into.
    pub clone_into_cgroup: bool,
    /// How many of the following descriptors are `tasks` files of version 1 to be joined.
    pub join_cgroups: u32,
    /// Trees of control groups to mount, so that it can make groups below its own.
    pub cgroup_mounts: Vec<CgroupMount>,
    /// Addresses that its loopback has besides its own.
    pub addresses: Vec<IpAddr>,
}

/// A tree of control groups to mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupMount {
    /// An existing folder inside.
    pub target: String,
    /// The controllers of a tree of version 1; none means version 2.
    pub controllers: Vec<String>,
}

/// The folders of a range that can be written to.
pub const RANGE_WRITABLE: [&str; 5] = [WORK, "/tmp", "/dev/shm", "/run", "/canary"];
/// The host name of a range, by which a process in one knows where it is.
pub const RANGE_HOST_NAME: &str = "crucible-range";
/// Where the program that runs in a range is, in it.
pub const RANGE_PROGRAM: &str = "/crucible-range/crucible";

/// A step that failed. One step is one system call or a few of one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done, in the imperative.
    pub step: String,
    /// The kernel's answer.
    pub errno: i32,
}

/// A limit per process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessLimit {
    /// Bytes of one file.
    FileSize,
    /// Open descriptors.
    OpenFiles,
    /// Bytes of the main thread's stack.
    Stack,
    /// Bytes of core files.
    Core,
    /// Seconds of processor time.
    CpuSeconds,
    /// Processes of the same user.
    Processes,
    /// Bytes of private writable memory.
    Data,
    /// Bytes of locked memory.
    LockedMemory,
    /// Bytes in POSIX message queues.
    MessageQueues,
    /// Real-time priority.
    RealTimePriority,
    /// Queued signals.
    PendingSignals,
}

/// The number of the command that an interpreter becomes which waits for it.
pub const WAITING_COMMAND: u32 = u32::MAX;

/// A message to a sandbox's init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitRequest {
    /// Starts a command. Descriptors: its standard input, output and error, and a pipe that is closed once it runs, or
    /// gets a [`Failure`] if it can't be started.
    Exec {
        /// The supervisor's number for it.
        number: u32,
        /// The program and its arguments.
        argv: Vec<String>,
        /// `NAME=value` each.
        env: Vec<String>,
        /// Whose it is, by the name that the sandbox's own tables have; nobody's but the sandbox's own without one.
        user: Option<String>,
        /// Where it starts.
        directory: String,
        /// Limits per process.
        limits: Vec<(ProcessLimit, u64)>,
        /// What its streams are.
        streams: Streams,
        /// Whose its orphans are.
        orphans: Orphans,
    },
    /// Forks the interpreter that the init is a fork of, to wait for its program: an `Exec` on its own socket, whose end comes
    /// along. The first argument names the program's file, the others are its own. As a command its number is
    /// [`WAITING_COMMAND`]. Answered with `Done`.
    Await,
    /// Sends a signal to a command's process group.
    Signal {
        /// The supervisor's number for the command.
        number: u32,
        /// The signal's.
        signal: i32,
    },
    /// Kills a command that keeps its orphans, with everything that came of it.
    EndTree {
        /// The supervisor's number for the command.
        number: u32,
    },
    /// Opens a regular file for reading. Answered with its descriptor.
    OpenFile {
        /// Absolute path inside.
        path: String,
    },
    /// Makes a file, and the folders above it, for writing. Answered with its descriptor.
    CreateFile {
        /// Absolute path inside.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Lists a folder.
    List {
        /// Absolute path inside.
        path: String,
    },
    /// Looks at a file or folder. Answered with [`InitMessage::Seen`].
    Stat {
        /// Absolute path inside.
        path: String,
    },
    /// Removes a file, a link or an empty folder.
    Remove {
        /// Absolute path inside.
        path: String,
    },
    /// Writes all files to a pipe, or makes those anew that come from one. Descriptors: the pipe, and another one that gets a
    /// [`Failure`], of no step and with errno 0 once all is done.
    Copy(Copying),
    /// Kills every other process of the sandbox.
    EndProcesses,
    /// Removes files that the supervisor made, and opens one that has no name, whose number tells how many were made before it.
    /// Answered as `OpenFile` is.
    Renew {
        /// Absolute paths inside.
        files: Vec<String>,
    },
}

/// Which way files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Copying {
    /// Out of the sandbox.
    Out,
    /// Into it.
    In,
}

/// What a command's standard streams are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Streams {
    /// Three pipes.
    #[default]
    Pipes,
    /// One terminal, that becomes the one that steers it.
    Terminal,
}

/// Who becomes the parent of processes that lose theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Orphans {
    /// The init.
    #[default]
    ToInit,
    /// The command that they came of, so that they can be found while it lives.
    ToCommand,
}

/// A message from a sandbox's init. Hostile: see the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitMessage {
    /// The descriptor from which refused system calls are heard of comes along. Before `Ready`, where there is one.
    Reports,
    /// The folder of the sandbox's own terminals comes along. Before `Ready`, where there is one.
    Terminals,
    /// The sandbox stands; with what was preferred and couldn't be had.
    Ready {
        /// The steps that failed.
        without: Vec<Failure>,
    },
    /// It couldn't be set up.
    Failed(Failure),
    /// A command ended.
    Ended {
        /// The supervisor's number for it.
        number: u32,
        /// Its exit code, or the signal.
        status: Ended,
        /// Whether it was the last process besides the init.
        alone: bool,
    },
    /// The answer to `OpenFile`, `CreateFile` and `Renew`; the descriptor comes along.
    Opened,
    /// The negative answer to a request about files or about a command.
    Refused(Refusal),
    /// The answer to `Signal`, `EndTree`, `Remove` and `Await`.
    Done,
    /// The answer to `Stat`.
    Seen(Entry),
    /// A part of the answer to `List`.
    Listing {
        /// Some entries, in no order.
        entries: Vec<Entry>,
        /// Whether another part follows.
        more: bool,
    },
    /// The answer to `EndProcesses`.
    ProcessesEnded,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// Why something wasn't done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The command has ended.
    NotRunning,
    /// The processes of the sandbox can't be listed.
    NotListed,
    /// The path lies in none of the writable folders.
    Outside,
    /// It is a folder, link, device, pipe or socket.
    NotRegular,
    /// The file has more than one name.
    SeveralNames,
    /// It isn't a folder.
    NotFolder,
    /// The kernel's answer.
    Errno(i32),
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes.
    pub size: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file with one name.
    File,
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}
