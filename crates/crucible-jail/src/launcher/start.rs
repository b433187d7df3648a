//! Starts a sandbox: what has to be done outside of it, before and around the clone.

use super::network::NetworkPool;
use super::{Launcher, Step, confine, init, root};
use crate::plan::{
    Failure, GUEST_FOLDERS, GUEST_ID, Ids, JailPlan, LauncherReply, Network, Protection, ROOTS_CAPABILITIES,
    ROOTS_FOLDERS, SandboxPlan, Users,
};
use crate::sys::{self, Forked};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Resource, Rlimit, Uid, dumpable_behavior, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{capabilities, set_capabilities, set_thread_res_uid};
use std::io::Write;

/// User, mount, process, IPC and host name namespaces. The network's is entered before, the cgroup's made after.
const NAMESPACES: u64 =
    (libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS)
        .unsigned_abs() as u64;

impl Launcher {
    /// Starts a sandbox's init. Its own success or failure it reports itself, on its socket.
    pub(super) fn start(
        &mut self,
        plan: SandboxPlan,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(LauncherReply, Vec<OwnedFd>), Failure> {
        let mut descriptors = descriptors.into_iter();
        let control = descriptors.next().ok_or(Errno::BADF).step("take the sandbox's socket")?;
        match plan {
            SandboxPlan::Jailed(plan) if plan.without.is_empty() => {
                self.start_jailed(&plan, control, descriptors.collect())
            }
            SandboxPlan::Jailed(plan) => self.start_weakened(&plan, control, descriptors.collect()),
            SandboxPlan::Range(plan) => self.start_range(&plan, control, descriptors.collect()),
            SandboxPlan::Bare { directory } => self.start_bare(&directory, control),
        }
    }

    fn start_jailed(
        &mut self,
        plan: &JailPlan,
        control: OwnedFd,
        mut cgroups: Vec<OwnedFd>,
    ) -> Result<(LauncherReply, Vec<OwnedFd>), Failure> {
        let cgroup = (plan.clone_into_cgroup && !cgroups.is_empty()).then(|| cgroups.remove(0));
        let root = self.copy_root(plan.root)?;
        let writable = writable_file_system(plan.disk_bytes, plan.inodes, SetIds::Ignored)?;
        for (_, name, mode) in plan.users.folders() {
            root::make_guest_folder(&writable, name, *mode, plan.outside_id).step("make the guest's folders")?;
        }
        let storage = rustix::io::fcntl_dupfd_cloexec(&writable, 3).step("keep the writable file system in view")?;
        let device = rustix::fs::fstat(&writable).step("look at the writable file system")?.st_dev;
        let (go_read, go_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let (network, door) = match plan.network {
            Network::Closed => (Some(self.networks.enter_unused()?), None),
            Network::Door => (None, Some(NetworkPool::enter_one_with_a_door()?)),
        };
        let (forked, pidfd) = plan.clone_into(NAMESPACES, cgroup.as_ref())?;
        let (Forked::Parent { pid }, Some(pidfd)) = (forked, pidfd) else {
            drop(go_write);
            let surroundings =
                confine::Surroundings { root, writable, cgroups, go: go_read, launcher: &self.own_process };
            init::run_jailed(plan, surroundings, control, self.interpreter)
        };
        self.inits.insert(pid, network);
        // The child waits for this before it does anything that needs an id.
        map_ids(pid, &plan.id_map())?;
        give_root_folder(&plan.users, pid, &root)?;
        come_first_when_memory_runs_out(pid)?;
        (&std::fs::File::from(go_write)).write_all(&[1]).step("let the sandbox go on")?;
        Ok((LauncherReply::Started { pid, device }, [pidfd, storage].into_iter().chain(door).collect()))
    }

    fn start_bare(&mut self, directory: &str, control: OwnedFd) -> Result<(LauncherReply, Vec<OwnedFd>), Failure> {
        let work = rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .step("open the work folder")?;
        let device = rustix::fs::fstat(&work).step("look at the work folder")?.st_dev;
        let storage = rustix::io::fcntl_dupfd_cloexec(&work, 3).step("keep the work folder in view")?;
        let (forked, pidfd) = sys::clone_into_namespaces(0, None).step("fork")?;
        let (Forked::Parent { pid }, Some(pidfd)) = (forked, pidfd) else { init::run_bare(work, control) };
        self.inits.insert(pid, None);
        Ok((LauncherReply::Started { pid, device }, vec![pidfd, storage]))
    }
}

/// What set-user-id bits on the writable file system mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetIds {
    /// Nothing.
    Ignored,
    /// What they mean everywhere, among the ids of a range.
    Heeded,
}

/// Makes the file system that all of a guest's writable folders lie on: bounded in bytes and inodes, and owned by the
/// launcher's user namespace, so that nobody inside can remount it.
pub(super) fn writable_file_system(disk_bytes: u64, inodes: u64, set_ids: SetIds) -> Result<OwnedFd, Failure> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).step("open the writable file system")?;
    // The file system's own root and the folders that are bound take an inode each.
    let own = 1 + GUEST_FOLDERS.len() as u64;
    let (size, inodes) = (disk_bytes.to_string(), (inodes + own).to_string());
    for (key, value) in [("size", size.as_str()), ("nr_inodes", inodes.as_str()), ("mode", "755")] {
        rustix::mount::fsconfig_set_string(context.as_fd(), key, value).step("bound the writable file system")?;
    }
    rustix::mount::fsconfig_create(context.as_fd()).step("make the writable file system")?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOATIME;
    if set_ids == SetIds::Ignored {
        attributes |= MountAttrFlags::MOUNT_ATTR_NOSUID;
    }
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .step("mount the writable file system")
}

/// Gives a new user namespace its ids, the same for users and groups.
pub(super) fn map_ids(pid: i32, map: &str) -> Result<(), Failure> {
    for file in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{pid}/{file}"), map).step(&format!("write the sandbox's {file}"))?;
    }
    Ok(())
}

/// Has the root folder belong to root inside, whose programs ask whose it is. It is as read-only as before. Where the kernel
/// can't (before 6.3), it is nobody's.
pub(super) fn give_root_folder(users: &Users, pid: i32, root: &OwnedFd) -> Result<(), Failure> {
    if *users == Users::Guest {
        return Ok(());
    }
    let namespace = format!("/proc/{pid}/ns/user");
    let namespace = rustix::fs::open(namespace, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step("open the sandbox's user namespace")?;
    match sys::map_mount_ids(root, &namespace) {
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno).step("give the root folder to root inside"),
    }
}

/// Gives a sandbox the first place among those that the kernel kills when memory runs out.
pub(super) fn come_first_when_memory_runs_out(pid: i32) -> Result<(), Failure> {
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").step("write the sandbox's oom_score_adj")
}

impl Users {
    /// The id inside that commands have unless they name another.
    pub(super) const fn own_id(&self) -> u32 {
        match self {
            Self::Guest => GUEST_ID,
            Self::Root { .. } => 0,
        }
    }

    /// The folders that can be written to, as in [`GUEST_FOLDERS`].
    pub(super) fn folders(&self) -> impl Iterator<Item = &'static (&'static str, &'static str, u32)> {
        let roots = match self {
            Self::Guest => &[][..],
            Self::Root { .. } => ROOTS_FOLDERS,
        };
        GUEST_FOLDERS.iter().chain(roots)
    }

    /// The capabilities that commands begin with.
    pub(super) const fn capabilities(&self) -> u64 {
        match self {
            Self::Guest => 0,
            Self::Root { .. } => ROOTS_CAPABILITIES,
        }
    }
}

/// Makes a user namespace in which all processes together are at most so many, whoever's they are: the kernel counts them as
/// processes of the user who made it, up to that user's limit at that time (since Linux 5.14).
/// `clone` is done as that user, who has no other processes.
fn counted_as(
    user: u32,
    most: u64,
    clone: impl FnOnce() -> Result<(Forked, Option<OwnedFd>), Errno>,
) -> Result<(Forked, Option<OwnedFd>), Errno> {
    let (own, as_user) = (Uid::ROOT, Uid::from_raw(user));
    let (limit, capabilities) = (getrlimit(Resource::Nproc), capabilities(None)?);
    let dumpable = dumpable_behavior()?;
    // Not above what this process itself may have, which the kernel wouldn't take.
    let most = limit.maximum.map_or(most, |maximum| most.min(maximum));
    setrlimit(Resource::Nproc, Rlimit { current: Some(most), ..limit })?;
    // The saved id stays, and with it the way back. The kernel takes from whoever becomes somebody else what is in force of the
    // capabilities, and hides the process, whose ids could not be mapped then.
    let cloned = set_thread_res_uid(as_user, as_user, own)
        .and_then(|()| set_capabilities(None, capabilities))
        .and_then(|()| set_dumpable_behavior(dumpable))
        .and_then(|()| clone());
    if !matches!(cloned, Ok((Forked::Child, _))) {
        let back = set_thread_res_uid(own, own, own)
            .and_then(|()| set_dumpable_behavior(dumpable))
            .and_then(|()| setrlimit(Resource::Nproc, limit));
        // One that can't go back can't go on: it would make other sandboxes as somebody else.
        if back.is_err() {
            sys::exit_now(70);
        }
    }
    cloned
}

/// Ids as the kernel takes them.
pub(super) fn id_lines(ids: &[Ids]) -> String {
    ids.iter().map(|(inside, outside, count)| format!("{inside} {outside} {count}\n")).collect()
}

impl JailPlan {
    /// Clones this process into the sandbox's namespaces, straight into a cgroup of version 2 if one is given.
    pub(super) fn clone_into(
        &self,
        flags: u64,
        cgroup: Option<&OwnedFd>,
    ) -> Result<(Forked, Option<OwnedFd>), Failure> {
        let clone = || sys::clone_into_namespaces(flags, cgroup.map(OwnedFd::as_fd));
        match self.users {
            Users::Root { most_processes: Some(most), .. } if self.has(Protection::UserNamespace) => {
                counted_as(self.outside_id, most, clone)
            }
            Users::Root { .. } | Users::Guest => clone(),
        }
        .step("clone into new namespaces")
    }

    /// The ids of its user namespace, as the kernel takes them.
    pub(super) fn id_map(&self) -> String {
        match &self.users {
            Users::Guest => format!("{GUEST_ID} {} 1", self.outside_id),
            Users::Root { ids, .. } => id_lines(ids),
        }
    }
}
