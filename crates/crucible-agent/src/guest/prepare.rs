//! What the agent does before it is ready: hides itself, and, where it is root in a kernel of the guest's own, makes what that
//! kernel's runtime can't be asked for, and gives up the privileges that it needed for it.
//!
//! Invariant: nothing of the guest has run before all of it is done. A step that fails stops the start.

use super::Step;
use super::door::Door;
use super::files::Folders;
use super::line::{Line, Lost};
use super::tree::{Marks, Processes};
use super::{root, space};
use crate::protocol::{Abilities, Beginning, Failure, Instruction, Owner, Request};
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{DumpableBehavior, Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// What the agent needs as long as commands of other users are started: to become them, to signal them, to reach files as
/// they do.
const KEPT: CapabilitySet = CapabilitySet::SETUID.union(CapabilitySet::SETGID).union(CapabilitySet::KILL);
/// The name of the commands' control group.
const GROUP: &str = "commands";

/// Everything that was prepared.
pub(super) struct Prepared {
    pub(super) signals: OwnedFd,
    pub(super) folders: Folders,
    pub(super) abilities: Abilities,
    pub(super) processes: Processes,
    pub(super) marks: Option<Marks>,
    pub(super) owner: Option<Owner>,
    pub(super) group: Option<Group>,
    pub(super) filter: Vec<Instruction>,
    pub(super) door: Door,
}

/// Why it never began.
pub(super) enum Begun {
    Failed(Failure),
    Lost,
}

impl From<Failure> for Begun {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Lost> for Begun {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

pub(super) fn prepare(line: &mut Line) -> Result<Prepared, Begun> {
    line.greet()?;
    // Nobody of the same user can look into it, or write to its descriptors, from here on.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide its memory")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // Where it isn't the first process, orphans come to it all the same.
    let is_first = rustix::process::getpid() == rustix::process::Pid::INIT;
    if !is_first {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).step("become the reaper of orphans")?;
    }
    let signals = sys::block_signals_into_descriptor().step("watch for ended children")?;
    let beginning = line.expect(|request| match request {
        Request::Begin(beginning) => Some(beginning),
        _ => None,
    })?;
    let Beginning { folders, owner, space, root_inside, processes: most, remove, filter, listen } = beginning;
    let first = folders.first().cloned().unwrap_or_default();
    let mut processes = Processes::open();
    let group = match most {
        Some(most) => Some(Group::make(&first, most).step("make the commands' control group")?),
        None => None,
    };
    if let Some(space) = space {
        let roots = root_inside.as_ref().and_then(|inside| inside.ids.first());
        let owner = owner.or(roots.map(|(_, first, _)| Owner { user: *first, group: *first }));
        space::make(&space, owner).step("make the file system of the guest's folders")?;
    }
    for path in &remove {
        remove_path(path).step("take away what isn't needed")?;
    }
    if let Some(owner) = owner {
        give_up_privileges(owner).step("give up privileges")?;
    }
    if let Some(inside) = root_inside {
        processes.reaper = Some(root::enter(&inside, &processes)?);
    }
    let door = match listen {
        Some(address) => Door::open(address).step("listen for connections")?,
        None => Door::default(),
    };
    if !filter.is_empty() {
        // Without it a filter takes a privilege.
        rustix::thread::set_no_new_privs(true).step("give up gaining privileges")?;
    }
    // Its own namespace holds the reaper, too, which isn't to be killed.
    let is_first = is_first && processes.reaper.is_none();
    let abilities =
        Abilities { is_first, sees_processes: processes.are_seen(), marks_commands: Marks::usable().is_some() };
    let folders = Folders::open(folders, Identity(owner))?;
    let marks = Marks::of(abilities);
    Ok(Prepared { signals, folders, abilities, processes, marks, owner, group, filter, door })
}

/// Removes a file or an empty folder. One that isn't there is as good.
fn remove_path(path: &str) -> Result<(), Errno> {
    let removed = match rustix::fs::unlink(path) {
        Err(Errno::ISDIR | Errno::PERM) => rustix::fs::rmdir(path),
        other => other,
    };
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Keeps no more than it takes to serve commands of another user, and lets nobody gain anything by executing a program.
fn give_up_privileges(owner: Owner) -> Result<(), Errno> {
    if rustix::process::geteuid().as_raw() == owner.user {
        return Ok(());
    }
    rustix::thread::set_thread_groups(&[])?;
    keep_capabilities(KEPT, CapabilitySet::empty())
}

/// Keeps these capabilities, and lets programs that root executes have those that are bounding.
pub(super) fn keep_capabilities(kept: CapabilitySet, bounding: CapabilitySet) -> Result<(), Errno> {
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if bounding.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            // There are no more.
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets)
}

/// The control group of all commands, in a kernel that has them for the guest.
///
/// It tells how many there are, but doesn't hold them: gVisor asks one of a process's control groups, drawn by chance, whether
/// it may fork, so that a program which tries again gets through (release 20240729). What does hold is each user's own limit.
pub(super) struct Group {
    most: u32,
    members: OwnedFd,
    count: OwnedFd,
}

impl Group {
    /// Makes it by a mount on a folder that is taken away again: nobody else can reach it by a path.
    fn make(folder: &str, most: u32) -> Result<Self, Errno> {
        rustix::mount::mount("cgroup", folder, "cgroup", MountFlags::empty(), Some(c"pids"))?;
        let made = Self::make_below(&format!("{folder}/{GROUP}"), most);
        rustix::mount::unmount(folder, UnmountFlags::DETACH)?;
        made
    }

    fn make_below(group: &str, most: u32) -> Result<Self, Errno> {
        rustix::fs::mkdir(group, Mode::from_raw_mode(0o755))?;
        let open =
            |file: &str, flags| rustix::fs::open(format!("{group}/{file}"), flags | OFlags::CLOEXEC, Mode::empty());
        let limit = open("pids.max", OFlags::WRONLY)?;
        rustix::io::write(&limit, most.to_string().as_bytes())?;
        Ok(Self { most, members: open("cgroup.procs", OFlags::WRONLY)?, count: open("pids.current", OFlags::RDONLY)? })
    }

    /// Moves this process there.
    pub(super) fn join(&self) -> Result<(), Errno> {
        rustix::io::pwrite(&self.members, b"0", 0).map(drop)
    }

    /// Whether it has room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.count().is_some_and(|count| count < self.most)
    }

    /// How many processes and threads a command's user may have for that command to fork. Its first process counts as the
    /// agent's user's, by whom it was started.
    pub(super) fn most_of_user(&self, is_agents: bool) -> u64 {
        u64::from(if is_agents { self.most } else { self.most.saturating_sub(1) })
    }

    /// How many are in it.
    pub(super) fn count(&self) -> Option<u32> {
        let mut buffer = [0; 32];
        let read = rustix::io::pread(&self.count, &mut buffer, 0).ok()?;
        std::str::from_utf8(buffer.get(..read)?).ok()?.trim().parse().ok()
    }
}

/// As whom files are reached, and streams made: as the commands' user, so that no file call can do what a command couldn't.
pub(super) struct Identity(pub(super) Option<Owner>);

impl Identity {
    /// Becomes it for as long as what is returned lives.
    pub(super) fn take(&self) -> Result<Taken, Errno> {
        let Some(owner) = self.0.filter(|owner| rustix::process::getuid().as_raw() != owner.user) else {
            return Ok(Taken(None));
        };
        let own = (rustix::process::getuid(), rustix::process::getgid());
        let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
        // From here on the drop takes back whatever was done.
        let taken = Taken(Some(own));
        rustix::thread::set_thread_res_gid(own.1, group, own.1)?;
        rustix::thread::set_thread_res_uid(own.0, user, own.0)?;
        Ok(taken)
    }
}

/// The user and group that this process is again when it is dropped.
pub(super) struct Taken(Option<(Uid, Gid)>);

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some((user, group)) = self.0 {
            let user = rustix::thread::set_thread_res_uid(user, user, user);
            let group = rustix::thread::set_thread_res_gid(group, group, group);
            // One that can't go back can't go on: with other rights it would serve wrongly.
            if user.and(group).is_err() {
                sys::exit_now(70);
            }
        }
    }
}
