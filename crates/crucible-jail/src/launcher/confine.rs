//! What a fresh init does to itself, in order, before it listens to anyone: cgroups, ids, mounts, then the loss of every
//! privilege. Each step is a system call or a few of one purpose, and its failure stops the start.

use super::realm::PLACE_OF_ROOT;
use super::root::{self, NO_DEV, NO_EXEC, NO_SUID, NO_SYMLINK_FOLLOW};
use super::{Step, command, landlock};
use crate::plan::{Failure, GUEST_ID, HOST_NAME, JailPlan, Need, ProcessLimit};
use crate::sys;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::{DumpableBehavior, Gid, Signal, Uid};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use std::ffi::CString;

/// A guest's folders: where they are inside, what they are called on the writable file system, and their permissions.
pub(super) const GUEST_FOLDERS: &[(&str, &str, u32)] =
    &[("/work", "work", 0o755), ("/tmp", "tmp", 0o1777), ("/dev/shm", "shm", 0o1777)];

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
    /// The rules that each command is put under, if the kernel has Landlock.
    pub(super) ruleset: Option<OwnedFd>,
    /// What was preferred and couldn't be had.
    pub(super) without: Vec<Failure>,
}

/// Confines this process.
pub(super) fn confine(plan: &JailPlan, surroundings: Surroundings<'_>, control: &OwnedFd) -> Result<Confined, Failure> {
    for cgroup in &surroundings.cgroups {
        rustix::io::write(cgroup, b"0").step("join the cgroup")?;
    }
    // After entry, so that the sandbox's own cgroup is the root that it sees.
    sys::unshare(libc::CLONE_NEWCGROUP).step("make a cgroup namespace")?;
    wait_for_ids(&surroundings.go)?;
    take_guest_id()?;
    die_with(surroundings.launcher)?;
    rustix::process::setsid().step("make a session")?;
    sys::join_new_session_keyring().step("make a session keyring")?;
    rustix::system::sethostname(HOST_NAME.as_bytes()).step("set the host name")?;

    let without = enter_root(plan, &surroundings)?;

    let ruleset = if plan.landlock_abi > 0 { Some(landlock::ruleset(plan.landlock_abi)?) } else { None };
    let mut folders = Vec::new();
    for (path, ..) in GUEST_FOLDERS {
        let folder = rustix::fs::open(*path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .step("open the guest's folders")?;
        folders.push((*path, folder));
    }
    drop(surroundings);
    close_others(&folders, ruleset.as_ref(), control)?;
    drop_privileges()?;
    // At 0 the kernel would still hand a core to the host's helper, where one is set up; 1 is its word for never.
    command::set_limit(ProcessLimit::Core, 1)?;
    // Last: it refuses what the steps above needed.
    sys::load_seccomp_filter(&plan.seccomp).step("load the system call filter")?;
    Ok(Confined { folders, ruleset, without })
}

fn wait_for_ids(go: &OwnedFd) -> Result<(), Failure> {
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

/// Takes the guest's id at once, keeping the capabilities that this new user namespace gives until the mounts are made.
fn take_guest_id() -> Result<(), Failure> {
    rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP)
        .step("keep capabilities over a change of user")?;
    let (user, group) = (Uid::from_raw(GUEST_ID), Gid::from_raw(GUEST_ID));
    rustix::thread::set_thread_res_gid(group, group, group).step("take the guest's group")?;
    rustix::thread::set_thread_res_uid(user, user, user).step("take the guest's user")
}

/// Asks to be killed when the launcher ends. A change of credentials would clear it, so this comes after that.
fn die_with(launcher: &OwnedFd) -> Result<(), Failure> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("ask to end with the launcher")?;
    // It may have ended before.
    let mut wait = [PollFd::new(launcher, PollFlags::IN)];
    match rustix::event::poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Errno::CHILD).step("find the launcher alive"),
        Err(errno) => Err(errno).step("find the launcher alive"),
    }
}

/// Attaches the root, fills in what each sandbox has of its own, and leaves the host's mounts behind.
fn enter_root(plan: &JailPlan, surroundings: &Surroundings<'_>) -> Result<Vec<Failure>, Failure> {
    let place = rustix::fs::open(PLACE_OF_ROOT, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step("open the place for the root")?;
    root::attach(&surroundings.root, &place).step("attach the root")?;
    rustix::process::fchdir(&surroundings.root).step("enter the root")?;
    let inside = |path: &str| -> Result<OwnedFd, Errno> {
        rustix::fs::open(
            path.trim_start_matches('/'),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };

    // One file system for all writable folders, so that one quota covers them. Its folders can be bound only once it is
    // attached somewhere: where /tmp will be, which then covers it. Detaching it would make the kernel wait.
    root::attach(&surroundings.writable, &inside("/tmp").step("open /tmp")?).step("attach the writable file system")?;
    let mut binds = Vec::new();
    for (path, name, _) in GUEST_FOLDERS {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = rustix::mount::open_tree(&surroundings.writable, *name, flags).step("bind a writable folder")?;
        let extra = match *path {
            "/work" => NO_SYMLINK_FOLLOW,
            "/dev/shm" => NO_EXEC,
            _ => 0,
        };
        sys::set_mount_attributes(
            &tree,
            &CString::default(),
            libc::AT_EMPTY_PATH.unsigned_abs(),
            NO_SUID | NO_DEV | extra,
        )
        .step("restrict a writable folder")?;
        binds.push((path, tree));
    }
    for (path, tree) in binds {
        root::attach(&tree, &inside(path).step("open a writable folder's place")?).step("attach a writable folder")?;
    }

    let mut without = Vec::new();
    let mut keep = |need: Need, result: Result<(), Failure>| match (need, result) {
        (Need::Required, Err(failure)) => Err(failure),
        (Need::Preferred, Err(failure)) => {
            without.push(failure);
            Ok(())
        }
        (_, Ok(())) => Ok(()),
    };
    let proc_options = [("hidepid", "invisible"), ("subset", "pid")];
    keep(plan.proc, mount_new("proc", &proc_options, NO_SUID | NO_DEV | NO_EXEC, &inside).step("mount /proc"))?;
    let terminal_options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0600"), ("max", "16")];
    keep(plan.terminals, mount_new("devpts", &terminal_options, NO_SUID | NO_EXEC, &inside).step("mount /dev/pts"))?;

    // The old root ends up under the new one at the same place, and is detached from there.
    rustix::process::pivot_root(".", ".").step("pivot into the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("detach the host's mounts")?;
    rustix::process::chdir("/").step("enter the root again")?;
    Ok(without)
}

/// Mounts a fresh file system of the kernel's at the place that belongs to it.
fn mount_new(
    kind: &str,
    options: &[(&str, &str)],
    flags: u64,
    inside: &dyn Fn(&str) -> Result<OwnedFd, Errno>,
) -> Result<(), Errno> {
    let place = inside(if kind == "proc" { "/proc" } else { "/dev/pts" })?;
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
    root::attach(&mount, &place)
}

/// Closes every descriptor but the few that the init works with: the launcher's others came along with the clone.
fn close_others(folders: &[(&str, OwnedFd)], ruleset: Option<&OwnedFd>, control: &OwnedFd) -> Result<(), Failure> {
    use std::os::fd::AsRawFd;
    let mut kept: Vec<u32> = folders
        .iter()
        .map(|(_, folder)| folder)
        .chain(ruleset)
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

/// Gives up every capability for good, and forbids gaining any by executing something.
fn drop_privileges() -> Result<(), Failure> {
    for number in 0..64 {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // Beyond the last capability that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno).step("drop a capability from the bounding set"),
        }
    }
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    rustix::thread::set_capabilities_secure_bits(bits).step("lock the way capabilities are counted")?;
    rustix::thread::clear_ambient_capability_set().step("clear the ambient capabilities")?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .step("drop all capabilities")?;
    // Another process of the same user could look into this one's memory otherwise.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("make the init undumpable")?;
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")
}
