//! A sandbox's state as the kernel tells it from outside, fact by fact, beside what the plan says.
//!
//! Invariant: what can't be seen is never claimed. Everything is read through one descriptor of the process's own folder in
//! `/proc`, and counts only if the process still lived when all was read, so that another one with its number can't be
//! taken for it.
//!
//! It doesn't judge: whether a run goes on with what was seen is the engine's business. Landlock domains can't be read from
//! outside at all; that the init has as many descriptors as with its commands' rules among them can.

mod descriptors;
mod mounts;
mod status;

pub use mounts::PlannedMounts;

use super::Started;
use super::cgroup::Cgroup;
use crate::plan::{Ids, ROOTS_CAPABILITIES};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use status::Status;
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

/// The most bytes of a text that somebody else may have worded.
const MOST_SHOWN: usize = 100;

/// How what was seen compares with the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// As planned.
    AsPlanned,
    /// Otherwise.
    Differs,
    /// The kernel doesn't show it to this user, or at all.
    NotVisible,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What was looked at.
    pub name: &'static str,
    /// What was seen, in a few words without control characters.
    pub seen: Cow<'static, str>,
    /// How that compares with the plan.
    pub state: Seen,
}

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// Users and capabilities.
    User,
    /// Mounts.
    Mount,
    /// Processes.
    Process,
    /// Network.
    Network,
    /// System V and POSIX IPC.
    Ipc,
    /// The host name.
    HostName,
    /// Control group paths.
    Cgroup,
    /// Clocks.
    Time,
}

impl Namespace {
    const ALL: [Self; 8] =
        [Self::User, Self::Mount, Self::Process, Self::Network, Self::Ipc, Self::HostName, Self::Cgroup, Self::Time];

    /// The link in `/proc/PID/ns` that stands for it, and the fact's name.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::User => ("user", "namespace.user"),
            Self::Mount => ("mnt", "namespace.mount"),
            Self::Process => ("pid", "namespace.pid"),
            Self::Network => ("net", "namespace.network"),
            Self::Ipc => ("ipc", "namespace.ipc"),
            Self::HostName => ("uts", "namespace.uts"),
            Self::Cgroup => ("cgroup", "namespace.cgroup"),
            Self::Time => ("time", "namespace.time"),
        }
    }
}

/// What is planned about supplementary groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedGroups {
    /// There are none.
    None,
    /// There are none but the process's own group, which container daemons name twice.
    Own,
    /// The supervisor's own stay, since an ordinary user can't drop them. No other may be there.
    Kept,
}

/// What is planned about Landlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedRules {
    /// The init holds the rules that it and its commands are under.
    Held,
    /// There are none.
    None,
}

/// One thing that is planned of a sandbox.
#[derive(Clone, Debug)]
pub enum Planned {
    /// All five capability sets are empty.
    NoCapabilities,
    /// Those of root inside, [`ROOTS_CAPABILITIES`], and no others. They can't be inherited.
    RootsCapabilities,
    /// No privilege can be gained by executing something.
    NoNewPrivileges,
    /// One system call filter more than the supervisor has.
    Filter,
    /// The ids on the host, all four of each kind.
    Ids {
        /// The user.
        user: u32,
        /// The group.
        group: u32,
    },
    /// That no id on the host is root's, where others than the supervisor choose them.
    NobodysRoot,
    /// The ids of its user namespace, as the supervisor sees them.
    IdMaps {
        /// Users.
        users: Vec<Ids>,
        /// Groups.
        groups: Vec<Ids>,
    },
    /// Supplementary groups.
    Groups(PlannedGroups),
    /// A namespace that isn't the supervisor's.
    Namespace(Namespace),
    /// The init's few open descriptors.
    Descriptors(PlannedRules),
    /// The mounts, and nothing else.
    Mounts(Arc<PlannedMounts>),
}

/// What is known of the supervisor itself, once.
struct Supervisor {
    namespaces: [Option<Identity>; 8],
    groups: Option<Vec<u32>>,
    filters: Option<u32>,
}

/// The kernel's number of a namespace.
type Identity = u64;

fn supervisor() -> &'static Supervisor {
    static SUPERVISOR: OnceLock<Supervisor> = OnceLock::new();
    SUPERVISOR.get_or_init(|| {
        let Ok(own) = open_folder("/proc/self") else {
            return Supervisor { namespaces: [None; 8], groups: None, filters: None };
        };
        let links = namespaces_of(&own);
        let mut buffer = Vec::new();
        let read = read(&own, "status", &mut buffer).is_ok();
        let status = if read { Status::parse(&buffer) } else { Status::default() };
        Supervisor {
            namespaces: Namespace::ALL.map(|namespace| identity(links.as_ref(), namespace.names().0).ok()),
            groups: status.groups.and_then(status::ids),
            filters: status.filters.and_then(|filters| filters.parse().ok()),
        }
    })
}

/// Facts on their way.
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, name: &'static str, seen: impl Into<Cow<'static, str>>, state: Seen) {
        self.0.push(Fact { name, seen: seen.into(), state });
    }

    /// A value that was seen, or wasn't.
    fn compare(&mut self, name: &'static str, seen: Option<&str>, is_planned: impl FnOnce(&str) -> bool) {
        match seen {
            Some(seen) => {
                let state = if is_planned(seen) { Seen::AsPlanned } else { Seen::Differs };
                self.add(name, shown(seen), state);
            }
            None => self.hidden(name),
        }
    }

    fn hidden(&mut self, name: &'static str) {
        self.add(name, "can't be seen by this user", Seen::NotVisible);
    }
}

/// A text of somebody else's, bounded and harmless.
fn shown(text: &str) -> String {
    text.chars().take(MOST_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Looks at one sandbox's init from outside, from any thread. What it says counts only if the sandbox isn't dead afterwards
/// ([`Sandbox::is_dead`](super::Sandbox::is_dead)).
#[derive(Debug)]
pub struct Look {
    pid: i32,
    device: u64,
    planned: Vec<Planned>,
    cgroups: Vec<String>,
    /// Whether the descriptors of one of the launcher's sandboxes have been listed one by one.
    listed: Arc<AtomicBool>,
}

/// What one looks at. All three together are everything that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Privileges and ids: what a guest that took over the init would have gained.
    Privileges,
    /// Namespaces and descriptors: what the init can reach.
    Reach,
    /// Mounts and control groups: what surrounds it.
    Surroundings,
}

impl Look {
    /// A look at this sandbox, which is to be as planned and in this control group.
    #[must_use]
    pub fn new(started: &Started, planned: Vec<Planned>, cgroup: Option<&Cgroup>) -> Self {
        Self {
            pid: started.pid,
            device: started.sandbox.device(),
            planned,
            cgroups: cgroup.map(Cgroup::names).unwrap_or_default(),
            listed: Arc::clone(&started.listed),
        }
    }

    /// A look at any process of this machine's, which is to be as planned and in this control group. Plans of descriptors and
    /// mounts are about inits alone.
    #[must_use]
    pub fn of_process(pid: i32, planned: Vec<Planned>, cgroup: Option<&Cgroup>) -> Self {
        let cgroups = cgroup.map(Cgroup::names).unwrap_or_default();
        Self { pid, device: 0, planned, cgroups, listed: Arc::default() }
    }

    /// Looks. Doesn't wait for anyone, but each aspect takes some hundredths of a millisecond.
    #[must_use]
    pub fn look(&self, aspects: &[Aspect]) -> Vec<Fact> {
        let mut facts = Facts(Vec::with_capacity(32));
        match open_folder(&format!("/proc/{}", self.pid)) {
            Ok(folder) => {
                let mut buffer = Vec::with_capacity(8 << 10);
                for aspect in aspects {
                    match aspect {
                        Aspect::Privileges => self.privileges(&folder, &mut buffer, &mut facts),
                        Aspect::Reach => self.reach(&folder, &mut buffer, &mut facts),
                        Aspect::Surroundings => self.surroundings(&folder, &mut buffer, &mut facts),
                    }
                }
            }
            // It is gone, or `/proc` hides what isn't the user's own.
            Err(_) => facts.hidden("process"),
        }
        facts.0
    }

    fn privileges(&self, folder: &OwnedFd, buffer: &mut Vec<u8>, facts: &mut Facts) {
        let read = read(folder, "status", buffer).is_ok();
        let status = if read { Status::parse(buffer) } else { Status::default() };
        for planned in &self.planned {
            match planned {
                Planned::NoCapabilities => status.capabilities(0, facts),
                Planned::RootsCapabilities => status.capabilities(ROOTS_CAPABILITIES, facts),
                Planned::NoNewPrivileges => facts.compare("no_new_privs", status.no_new_privs, |seen| seen == "1"),
                Planned::Filter => status.filter(facts, supervisor().filters),
                Planned::Ids { user, group } => {
                    status::ids_are(facts, "user", status.user, *user);
                    status::ids_are(facts, "group", status.group, *group);
                }
                Planned::NobodysRoot => {
                    let is_none = |ids: &str| !ids.is_empty() && ids.split_ascii_whitespace().all(|id| id != "0");
                    facts.compare("user", status.user, is_none);
                    facts.compare("group", status.group, is_none);
                }
                Planned::Groups(planned) => status.supplementary(facts, *planned, supervisor().groups.as_deref()),
                Planned::IdMaps { .. } | Planned::Namespace(_) | Planned::Descriptors(_) | Planned::Mounts(_) => {}
            }
        }
        facts.compare("tracer", status.tracer, |seen| seen == "0");
    }

    fn reach(&self, folder: &OwnedFd, buffer: &mut Vec<u8>, facts: &mut Facts) {
        let links = namespaces_of(folder);
        for planned in &self.planned {
            match planned {
                Planned::Namespace(namespace) => look_at_namespace(links.as_ref(), *namespace, folder, buffer, facts),
                Planned::IdMaps { users, groups } => {
                    for (name, planned) in [("uid_map", users), ("gid_map", groups)] {
                        let read = read(folder, name, buffer).is_ok();
                        status::map_is(facts, name, read.then_some(buffer.as_slice()), planned);
                    }
                }
                Planned::Descriptors(rules) => descriptors::look(folder, *rules, self.device, &self.listed, facts),
                Planned::NoCapabilities
                | Planned::RootsCapabilities
                | Planned::NoNewPrivileges
                | Planned::Filter
                | Planned::Ids { .. }
                | Planned::NobodysRoot
                | Planned::Groups(_)
                | Planned::Mounts(_) => {}
            }
        }
    }

    fn surroundings(&self, folder: &OwnedFd, buffer: &mut Vec<u8>, facts: &mut Facts) {
        for planned in &self.planned {
            if let Planned::Mounts(planned) = planned {
                let read = read(folder, "mountinfo", buffer).is_ok();
                mounts::look(read.then_some(buffer.as_slice()), planned, self.device, facts);
            }
        }
        if !self.cgroups.is_empty() {
            let read = read(folder, "cgroup", buffer).is_ok();
            look_at_cgroups(read.then_some(buffer.as_slice()), &self.cgroups, facts);
        }
    }
}

fn look_at_namespace(
    links: Option<&OwnedFd>,
    namespace: Namespace,
    folder: &OwnedFd,
    buffer: &mut Vec<u8>,
    facts: &mut Facts,
) {
    let (file, name) = namespace.names();
    let own = Namespace::ALL
        .iter()
        .position(|known| *known == namespace)
        .and_then(|index| supervisor().namespaces.get(index).copied().flatten());
    match (identity(links, file), own) {
        (Ok(seen), Some(own)) => {
            let state = if seen == own { Seen::Differs } else { Seen::AsPlanned };
            facts.add(name, seen.to_string(), state);
        }
        // The kernel says how a process is numbered in each process namespace that it is in, to everyone.
        _ if namespace == Namespace::Process => {
            let read = read(folder, "status", buffer).is_ok();
            let status = if read { Status::parse(buffer) } else { Status::default() };
            let depth = status.numbers.map(|numbers| numbers.split_ascii_whitespace().count().to_string());
            facts.compare(name, depth.as_deref(), |depth| !matches!(depth, "0" | "1"));
        }
        _ => facts.hidden(name),
    }
}

fn look_at_cgroups(table: Option<&[u8]>, planned: &[String], facts: &mut Facts) {
    let Some(table) = table.map(String::from_utf8_lossy) else {
        return facts.hidden("cgroup");
    };
    let missing = planned.iter().find(|name| !table.lines().any(|line| line.ends_with(name.as_str())));
    match missing {
        Some(name) => facts.add("cgroup", format!("isn't in {}", shown(name)), Seen::Differs),
        None => facts.add("cgroup", format!("in {}", planned.len()), Seen::AsPlanned),
    }
}

fn open_folder(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// The folder of a process's namespaces. Its links say what they stand for only to those who may look into the process.
fn namespaces_of(process: &OwnedFd) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(process, "ns", flags, Mode::empty()).ok()
}

/// Which namespace a link in `/proc` stands for, as in `mnt:[4026531841]`. Reading the link is cheaper than following it.
fn identity(links: Option<&OwnedFd>, name: &str) -> Result<Identity, Errno> {
    let mut text = [MaybeUninit::uninit(); 64];
    let (link, _) = rustix::fs::readlinkat_raw(links.ok_or(Errno::ACCESS)?, name, &mut text)?;
    let number = std::str::from_utf8(link).ok().and_then(|link| link.split_once('[')?.1.strip_suffix(']'));
    number.and_then(|number| number.parse().ok()).ok_or(Errno::INVAL)
}

/// Reads a file of `/proc` whole, in place of what is in the buffer.
fn read(folder: &OwnedFd, file: &str, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    buffer.clear();
    let file = rustix::fs::openat(folder, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        buffer.reserve(4 << 10);
        match rustix::io::read(file.as_fd(), rustix::buffer::spare_capacity(buffer)) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
