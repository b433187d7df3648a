//! Starts a range: the place in which the attack suite tries what it must not try on the host.
//!
//! Invariant: everything of the host that shows in it is read-only; what can be written is in memory and bounded; its
//! network has no way out; and its root is root of nothing but its own namespaces.

use super::confine::{self, Confined, Descriptors};
use super::init::{self, Reach};
use super::start::SetIds;
use super::{Launcher, Step, root, start};
use crate::plan::{CgroupMount, Failure, LauncherReply, RANGE_HOST_NAME, RANGE_WRITABLE, RangePlan};
use crate::sys::{self, Forked};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Gid, Uid};
use std::io::Write;

const NAMESPACES: u64 = (libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS)
    .unsigned_abs() as u64;

struct Surroundings<'a> {
    root: OwnedFd,
    writable: OwnedFd,
    cgroups: Vec<OwnedFd>,
    go: OwnedFd,
    launcher: &'a OwnedFd,
}

impl Launcher {
    pub(super) fn start_range(
        &mut self,
        plan: &RangePlan,
        control: OwnedFd,
        mut cgroups: Vec<OwnedFd>,
    ) -> Result<(LauncherReply, Vec<OwnedFd>), Failure> {
        let cgroup = (plan.clone_into_cgroup && !cgroups.is_empty()).then(|| cgroups.remove(0));
        let root = self.copy_root(plan.root)?;
        let writable = start::writable_file_system(plan.disk_bytes, plan.inodes, SetIds::Heeded)?;
        let owner = plan.ids.iter().find(|(inside, ..)| *inside == 0).map(|(_, outside, _)| *outside);
        let owner = owner.ok_or(Errno::INVAL).step("find the id of the range's root")?;
        for path in RANGE_WRITABLE {
            root::make_guest_folder(&writable, name_of(path), 0o1777, owner).step("make the range's folders")?;
        }
        let storage = rustix::io::fcntl_dupfd_cloexec(&writable, 3).step("keep the writable file system in view")?;
        let device = rustix::fs::fstat(&writable).step("look at the writable file system")?.st_dev;
        let (go_read, go_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let (forked, pidfd) = sys::clone_into_namespaces(NAMESPACES, cgroup.as_ref().map(OwnedFd::as_fd))
            .step("clone into new namespaces")?;
        let (Forked::Parent { pid }, Some(pidfd)) = (forked, pidfd) else {
            drop(go_write);
            let surroundings = Surroundings { root, writable, cgroups, go: go_read, launcher: &self.own_process };
            init::run_confined(set_up(plan, surroundings, &control), Reach::Namespace, control)
        };
        self.inits.insert(pid, None);
        start::map_ids(pid, &start::id_lines(&plan.ids))?;
        start::come_first_when_memory_runs_out(pid)?;
        (&std::fs::File::from(go_write)).write_all(&[1]).step("let the range go on")?;
        Ok((LauncherReply::Started { pid, device }, vec![pidfd, storage]))
    }
}

/// What a writable folder is called on the writable file system.
fn name_of(path: &'static str) -> &'static str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn set_up(plan: &RangePlan, surroundings: Surroundings<'_>, control: &OwnedFd) -> Result<Confined, Failure> {
    for cgroup in &surroundings.cgroups {
        rustix::io::write(cgroup, b"0").step("join the cgroup")?;
    }
    sys::unshare(libc::CLONE_NEWCGROUP).step("make a cgroup namespace")?;
    confine::wait_for_ids(&surroundings.go)?;
    // Refused where one id is mapped without privilege.
    let _groups_dropped = rustix::thread::set_thread_groups(&[]).is_ok();
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).step("become the range's group 0")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).step("become the range's root")?;
    confine::die_with(surroundings.launcher)?;
    rustix::process::setsid().step("make a session")?;
    sys::join_new_session_keyring().step("make a session keyring")?;
    rustix::system::sethostname(RANGE_HOST_NAME.as_bytes()).step("set the host name")?;
    sys::bring_up_loopback(&plan.addresses).step("bring up the loopback")?;

    confine::attach_root(&surroundings.root)?;
    let binds: Vec<_> = RANGE_WRITABLE.iter().map(|path| (*path, name_of(path), 0)).collect();
    confine::attach_writable(&surroundings.writable, &binds)?;
    // Whole, because a sandbox inside can mount a smaller one only where all of it shows.
    confine::mount_proc(&[])?;
    confine::mount_terminals(0)?;
    let mut without = Vec::new();
    for mount in &plan.cgroup_mounts {
        if let Err(failure) = mount_cgroups(mount) {
            without.push(failure);
        }
    }
    confine::leave_old_root()?;

    let folders = confine::open_folders(&RANGE_WRITABLE)?;
    drop(surroundings);
    confine::close_others(&folders, std::iter::empty(), control)?;
    let descriptors = Descriptors::Closed;
    Ok(Confined { folders, ruleset: None, without, descriptors, reports: None, terminals: None })
}

fn mount_cgroups(mount: &CgroupMount) -> Result<(), Failure> {
    let flags = root::NO_SUID | root::NO_DEV | root::NO_EXEC;
    let options: Vec<_> = mount.controllers.iter().map(|name| (name.as_str(), "")).collect();
    let kind = if options.is_empty() { "cgroup2" } else { "cgroup" };
    confine::mount_new(kind, &options, flags, &mount.target).map(drop).step(&format!("mount {}", mount.target))
}
