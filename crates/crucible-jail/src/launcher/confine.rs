//! What a fresh init does to itself, in order, before it listens to anyone: cgroups, ids, mounts, then the loss of every
//! privilege. Each step is a system call or a few of one purpose, and its failure stops the start.

use super::realm::PLACE_OF_ROOT;
use super::root::{self, NO_DEV, NO_EXEC, NO_SUID, NO_SYMLINK_FOLLOW};
use super::{Step, command, landlock};
use crate::plan::{
    Failure, HEAR_REPORTS, HOST_NAME, JailPlan, Need, ProcessLimit, ROOTS_FOLDERS, Reports, Users, WRITABLE,
};
use crate::seccomp;
use crate::sys;
use crucible_inside::fill;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{DumpableBehavior, Gid, Signal, Uid};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use std::ffi::CString;

/// What the launcher hands to a fresh init.
pub(super) struct Surroundings<'a> {
    /// The copied root, not attached.
    pub(super) root: OwnedFd,
    /// The writable file system, not attached.
    pub(super) writable: OwnedFd,
    /// `tasks` files of version 1, opened by the supervisor.
    pub(super) cgroups: Vec<OwnedFd>,
    /// Gets a byte once the ids are mapped, and an end of file if they can't be.
    pub(super) go: OwnedFd,
    /// The launcher's process.
    pub(super) launcher: &'a OwnedFd,
}

/// What an init has after it confined itself.
pub(super) struct Confined {
    /// The guest's folders with a descriptor of each, for requests about files.
    pub(super) folders: Vec<(&'static str, OwnedFd)>,
    /// The rules to live under, if the kernel has Landlock.
    pub(super) ruleset: Option<OwnedFd>,
    /// What was preferred and couldn't be had.
    pub(super) without: Vec<Failure>,
    /// What commands get besides their streams.
    pub(super) descriptors: Descriptors,
    /// From which the supervisor hears of refused calls. Not for any guest.
    pub(super) reports: Option<OwnedFd>,
    /// The folder of its terminals, for the supervisor.
    pub(super) terminals: Option<OwnedFd>,
}

/// What a command gets besides its standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Descriptors {
    /// Nothing.
    Closed,
    /// One of the init's, as if it had been forgotten: a protection is left off on purpose.
    Leaked,
}

/// Confines this process.
pub(super) fn confine(plan: &JailPlan, surroundings: Surroundings<'_>, control: &OwnedFd) -> Result<Confined, Failure> {
    for cgroup in &surroundings.cgroups {
        rustix::io::write(cgroup, b"0").step("join the cgroup")?;
    }
    // After entry, so that the sandbox's own cgroup is the root that it sees.
    sys::unshare(libc::CLONE_NEWCGROUP).step("make a cgroup namespace")?;
    wait_for_ids(&surroundings.go)?;
    take_id(plan.users.own_id())?;
    die_with(surroundings.launcher)?;
    rustix::process::setsid().step("make a session")?;
    sys::join_new_session_keyring().step("make a session keyring")?;
    rustix::system::sethostname(HOST_NAME.as_bytes()).step("set the host name")?;

    let (mut without, terminals) = enter_root(plan, &surroundings)?;

    let ruleset = if plan.landlock_abi > 0 { Some(landlock::ruleset(plan)?) } else { None };
    let folders = open_folders(&WRITABLE)?;
    drop(surroundings);
    close_others(&folders, ruleset.iter().chain(&terminals), control)?;
    reduce_capabilities(&plan.users)?;
    forbid_privileges()?;
    // At 0 the kernel would still hand a core to the host's helper, where one is set up; 1 is its word for never.
    command::set_limit(ProcessLimit::Core, 1)?;
    // Last: it refuses what the steps above needed.
    let reports = load_filter(plan, &mut without)?;
    Ok(Confined { folders, ruleset, without, descriptors: Descriptors::Closed, reports, terminals })
}

/// Loads the system call filter. Where it can't report, because the kernel is too old or somebody outside listens already,
/// it refuses the same calls in silence.
pub(super) fn load_filter(plan: &JailPlan, without: &mut Vec<Failure>) -> Result<Option<OwnedFd>, Failure> {
    if plan.reports == Reports::Heard {
        match sys::load_seccomp_filter_with_listener(&plan.seccomp) {
            Ok(reports) => return Ok(Some(reports)),
            Err(errno @ (Errno::BUSY | Errno::INVAL)) => {
                without.push(Failure { step: HEAR_REPORTS.to_owned(), errno: errno.raw_os_error() });
            }
            Err(errno) => return Err(errno).step("load the system call filter"),
        }
    }
    let mut silent = plan.seccomp.clone();
    seccomp::silence(&mut silent);
    sys::load_seccomp_filter(&silent).step("load the system call filter")?;
    Ok(None)
}

/// Opens folders for requests about files.
pub(super) fn open_folders(paths: &[&'static str]) -> Result<Vec<(&'static str, OwnedFd)>, Failure> {
    let open = |path: &&'static str| {
        let folder = rustix::fs::open(*path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        folder.map(|folder| (*path, folder)).step("open the guest's folders")
    };
    paths.iter().map(open).collect()
}

pub(super) fn wait_for_ids(go: &OwnedFd) -> Result<(), Failure> {
    let mut byte = [0_u8];
    loop {
        return match rustix::io::read(go, &mut byte) {
            Ok(1) => Ok(()),
            Ok(_) => Err(Errno::PIPE).step("wait for the ids to be mapped"),
            Err(Errno::INTR) => continue,
            Err(errno) => Err(errno).step("wait for the ids to be mapped"),
        };
    }
}

/// Takes an id at once, keeping the capabilities that this new user namespace gives until the mounts are made.
pub(super) fn take_id(id: u32) -> Result<(), Failure> {
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
        .step("keep capabilities over a change of user")?;
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    rustix::thread::set_thread_res_gid(group, group, group).step("take the guest's group")?;
    rustix::thread::set_thread_res_uid(user, user, user).step("take the guest's user")
}

/// Asks to be killed when the launcher ends. A change of credentials would clear it, so this comes after that.
pub(super) fn die_with(launcher: &OwnedFd) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("ask to end with the launcher")?;
    // It may have ended before.
    let mut wait = [PollFd::new(launcher, PollFlags::IN)];
    match rustix::event::poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Errno::CHILD).step("find the launcher alive"),
        Err(errno) => Err(errno).step("find the launcher alive"),
    }
}

/// Attaches the root, fills in what each sandbox has of its own, and leaves the host's mounts behind. Gives what was preferred
/// and couldn't be had, and the folder of terminals.
fn enter_root(plan: &JailPlan, surroundings: &Surroundings<'_>) -> Result<(Vec<Failure>, Option<OwnedFd>), Failure> {
    attach_root(&surroundings.root)?;
    attach_folders(&plan.users, &surroundings.writable)?;
    let mut without = Vec::new();
    keep(plan.proc, mount_private_proc(&plan.users), &mut without)?;
    let terminals = keep(plan.terminals, mount_terminals(plan.users.own_id()), &mut without)?;
    leave_old_root()?;
    Ok((without, terminals))
}

/// Notes a failure that is no reason to stop.
pub(super) fn keep<T>(
    need: Need,
    result: Result<T, Failure>,
    without: &mut Vec<Failure>,
) -> Result<Option<T>, Failure> {
    match (need, result) {
        (Need::Preferred, Err(failure)) => {
            without.push(failure);
            Ok(None)
        }
        (_, result) => result.map(Some),
    }
}

/// Attaches a root in the small mount namespace and enters it, from where [`inside`] looks at it.
pub(super) fn attach_root(root: &OwnedFd) -> Result<(), Failure> {
    let place = rustix::fs::open(PLACE_OF_ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step("open the place for the root")?;
    root::attach(root, &place).step("attach the root")?;
    rustix::process::fchdir(root).step("enter the root")
}

/// Makes the current folder the root. The old one ends up under it at the same place, and is detached from there.
pub(super) fn leave_old_root() -> Result<(), Failure> {
    rustix::process::pivot_root(".", ".").step("pivot into the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("detach the host's mounts")?;
    rustix::process::chdir("/").step("enter the root again")
}

/// Opens a folder of the root that is being filled, which is the current folder.
pub(super) fn inside(path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path.trim_start_matches('/'), flags, Mode::empty())
}

/// A folder of the writable file system, where it is to be bound, and what its mount forbids beyond the usual.
pub(super) type WritableBind = (&'static str, &'static str, u64);

/// How a guest's folders are bound.
fn guest_binds(users: &Users) -> Vec<WritableBind> {
    let extra = |path| match path {
        "/work" => NO_SUID | NO_SYMLINK_FOLLOW,
        "/dev/shm" => NO_SUID | NO_EXEC,
        _ => NO_SUID,
    };
    users.folders().map(|(path, name, _)| (*path, *name, extra(*path))).collect()
}

/// Binds the writable folders, with what the root has where root inside has folders of its own.
pub(super) fn attach_folders(users: &Users, writable: &OwnedFd) -> Result<(), Failure> {
    let mounted = if *users == Users::Guest { Mounted::default() } else { fill_roots_folders(writable)? };
    attach_writable(writable, &guest_binds(users))?;
    mounted.attach().step("mount again what was covered")
}

/// What is mounted in folders that are going to be covered: where, below the root, and a copy of the mount.
#[derive(Default)]
struct Mounted(Vec<(Vec<u8>, OwnedFd)>);

impl Mounted {
    /// Mounts it again, in the root that is the current folder.
    fn attach(&self) -> Result<(), Errno> {
        self.0.iter().try_for_each(|(path, mount)| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            root::attach(mount, &rustix::fs::open(path.as_slice(), flags, Mode::empty())?)
        })
    }
}

fn fill_roots_folders(writable: &OwnedFd) -> Result<Mounted, Failure> {
    let mut mounted = Mounted::default();
    let mut keep = |found: fill::Mounted<'_>| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        mounted.0.push((found.path, rustix::mount::open_tree(found.folder, found.name, flags)?));
        Ok(())
    };
    for (path, name, _) in ROOTS_FOLDERS {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let step = format!("copy {path} into the sandbox");
        let from = rustix::fs::open(path.trim_start_matches('/'), flags, Mode::empty()).step(&step)?;
        let to = rustix::fs::openat(writable, *name, flags, Mode::empty()).step(&step)?;
        fill::fill(path.trim_start_matches('/'), &from, &to, None, &mut keep).step(&step)?;
    }
    Ok(mounted)
}

/// Binds the writable folders. One file system is behind all, so that one quota covers them. Its folders can be bound only
/// once it is attached somewhere: where /tmp will be, which then covers it. Detaching it would make the kernel wait.
pub(super) fn attach_writable(writable: &OwnedFd, folders: &[WritableBind]) -> Result<(), Failure> {
    root::attach(writable, &inside("/tmp").step("open /tmp")?).step("attach the writable file system")?;
    let mut binds = Vec::new();
    for (path, name, extra) in folders {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(writable, *name, flags).step("bind a writable folder")?;
        let empty_path = libc::AT_EMPTY_PATH.unsigned_abs();
        sys::set_mount_attributes(&tree, &CString::default(), empty_path, NO_DEV | extra)
            .step("restrict a writable folder")?;
        binds.push((path, tree));
    }
    for (path, tree) in binds {
        root::attach(&tree, &inside(path).step("open a writable folder's place")?).step("attach a writable folder")?;
    }
    Ok(())
}

/// What a guest's `/proc` shows: its own processes, and nothing of the kernel.
const PRIVATE_PROC: [(&str, &str); 2] = [("hidepid", "invisible"), ("subset", "pid")];

pub(super) fn mount_private_proc(users: &Users) -> Result<(), Failure> {
    let mut options = PRIVATE_PROC.to_vec();
    if *users != Users::Guest {
        // Root's group sees everybody's, as the init has to, which ends them.
        options.push(("gid", "0"));
    }
    mount_proc(&options)
}

pub(super) fn mount_proc(options: &[(&str, &str)]) -> Result<(), Failure> {
    mount_new("proc", options, NO_SUID | NO_DEV | NO_EXEC, "/proc").map(drop).step("mount /proc")
}

/// Mounts the sandbox's own terminals. Each is the guest's, whoever opens it: the supervisor does, and hands it on.
pub(super) fn mount_terminals(owner: u32) -> Result<OwnedFd, Failure> {
    let id = owner.to_string();
    let options =
        [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0600"), ("max", "16"), ("uid", &id), ("gid", &id)];
    mount_new("devpts", &options, NO_SUID | NO_EXEC, "/dev/pts").step("mount /dev/pts")
}

/// Mounts a fresh file system of the kernel's in the root that is being filled, and gives a descriptor of its folder.
pub(super) fn mount_new(kind: &str, options: &[(&str, &str)], flags: u64, place: &str) -> Result<OwnedFd, Errno> {
    let place = inside(place)?;
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), *key)?;
        } else {
            rustix::mount::fsconfig_set_string(context.as_fd(), *key, *value)?;
        }
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let flags = MountAttrFlags::from_bits_retain(u32::try_from(flags).map_err(|_| Errno::INVAL)?);
    let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)?;
    root::attach(&mount, &place)?;
    Ok(mount)
}

/// Closes every descriptor but the few that the init works with: the launcher's others came along with the clone.
pub(super) fn close_others<'a>(
    folders: &'a [(&str, OwnedFd)],
    others: impl Iterator<Item = &'a OwnedFd>,
    control: &'a OwnedFd,
) -> Result<(), Failure> {
    use std::os::fd::AsRawFd;
    let mut kept: Vec<u32> = folders
        .iter()
        .map(|(_, folder)| folder)
        .chain(others)
        .chain([control])
        .map(|kept| kept.as_raw_fd().unsigned_abs())
        .collect();
    kept.sort_unstable();
    // 0 to 2 are the null device.
    let mut next = 3;
    for descriptor in kept {
        if descriptor > next {
            sys::close_range(next, descriptor - 1).step("close descriptors")?;
        }
        next = descriptor + 1;
    }
    sys::close_range(next, u32::MAX).step("close descriptors")
}

/// Gives up every capability for good but those of root inside, where there is one.
pub(super) fn reduce_capabilities(users: &Users) -> Result<(), Failure> {
    let kept = CapabilitySet::from_bits_retain(users.capabilities());
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if kept.contains(one) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // Beyond the last capability that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).step("drop a capability from the bounding set"),
        }
    }
    let mut bits = CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    if *users == Users::Guest {
        bits |= CapabilitiesSecureBits::NO_ROOT | CapabilitiesSecureBits::NO_SETUID_FIXUP;
    }
    rustix::thread::set_capabilities_secure_bits(bits).step("lock the way capabilities are counted")?;
    rustix::thread::clear_ambient_capability_set().step("clear the ambient capabilities")?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).step("drop all other capabilities")
}

/// Forbids gaining privileges by executing something, and being looked into.
fn forbid_privileges() -> Result<(), Failure> {
    // Another process of the same user could look into this one's memory otherwise.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("make the init undumpable")?;
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")
}
