//! Starts a sandbox with protections left off on purpose, for the control arms of the attack suite.
//!
//! Invariant: this is reached only by a plan that names what it goes without. What such a sandbox sees and can touch is what
//! the launcher came from, and so the supervisor makes one only where that is a range.

use super::confine::{self, Confined, Descriptors};
use super::init::{self, Reach};
use super::start::SetIds;
use super::{Launcher, Step, command, landlock, network, root, start};
use crate::plan::{Failure, HOST_NAME, JailPlan, LauncherReply, Need, ProcessLimit, Protection, Users, WORK, WRITABLE};
use crate::sys::{self, Forked};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{DumpableBehavior, Gid, Pid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::io::Write;

/// What can be left out of the clone.
const NAMESPACES: [(Protection, i32); 5] = [
    (Protection::UserNamespace, libc::CLONE_NEWUSER),
    (Protection::MountNamespace, libc::CLONE_NEWNS),
    (Protection::PidNamespace, libc::CLONE_NEWPID),
    (Protection::IpcNamespace, libc::CLONE_NEWIPC),
    (Protection::UtsNamespace, libc::CLONE_NEWUTS),
];

/// What the launcher hands to a weakened init.
struct Surroundings<'a> {
    /// The copied root, unless the launcher's own is shown.
    root: Option<OwnedFd>,
    /// The writable file system, unless the launcher's own folders are used.
    writable: Option<OwnedFd>,
    /// The launcher's `/dev`, if that is shown in a private root.
    devices: Option<OwnedFd>,
    cgroups: Vec<OwnedFd>,
    go: OwnedFd,
    launcher: &'a OwnedFd,
}

impl Launcher {
    pub(super) fn start_weakened(
        &mut self,
        plan: &JailPlan,
        control: OwnedFd,
        cgroups: Vec<OwnedFd>,
    ) -> Result<(LauncherReply, Vec<OwnedFd>), Failure> {
        let has_root = plan.has(Protection::MountNamespace) && plan.has(Protection::PrivateRoot);
        let root = has_root.then(|| self.copy_root(plan.root)).transpose()?;
        let mounts = self.mounts.as_ref().ok_or(Errno::INVAL).step("start a sandbox before Begin")?;
        let devices = (has_root && !plan.has(Protection::PrivateDev))
            .then(|| mounts.among_host_mounts(|_| root::copy_tree("/dev").step("copy /dev")))
            .transpose()?;
        if has_root {
            return self.clone_weakened(plan, control, cgroups, (root, devices));
        }
        mounts.enter_original()?;
        let result = self.clone_weakened(plan, control, cgroups, (None, None));
        let mounts = self.mounts.as_ref().ok_or(Errno::INVAL).step("find the mounts again")?;
        mounts.enter_small()?;
        result
    }

    fn clone_weakened(
        &mut self,
        plan: &JailPlan,
        control: OwnedFd,
        mut cgroups: Vec<OwnedFd>,
        (root, devices): (Option<OwnedFd>, Option<OwnedFd>),
    ) -> Result<(LauncherReply, Vec<OwnedFd>), Failure> {
        let cgroup = (plan.clone_into_cgroup && !cgroups.is_empty()).then(|| cgroups.remove(0));
        let (writable, shown) = if plan.has(Protection::MountNamespace) {
            let writable = start::writable_file_system(plan.disk_bytes, plan.inodes, SetIds::Ignored)?;
            for (_, name, mode) in plan.users.folders() {
                root::make_guest_folder(&writable, name, *mode, plan.outside_id).step("make the guest's folders")?;
            }
            let shown = rustix::io::fcntl_dupfd_cloexec(&writable, 3).step("keep the writable file system in view")?;
            (Some(writable), shown)
        } else {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            (None, rustix::fs::open(WORK, flags, Mode::empty()).step("open the work folder")?)
        };
        let device = rustix::fs::fstat(&shown).step("look at the writable file system")?.st_dev;
        let (go_read, go_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let network = if plan.has(Protection::NetworkNamespace) {
            Some(self.networks.enter_unused()?)
        } else {
            network::enter(&self.original_network)?;
            None
        };
        let flags = NAMESPACES.iter().filter(|(protection, _)| plan.has(*protection));
        let flags = flags.fold(0, |all, (_, flag)| all | u64::from(flag.unsigned_abs()));
        let (forked, pidfd) = plan.clone_into(flags, cgroup.as_ref())?;
        let (Forked::Parent { pid }, Some(pidfd)) = (forked, pidfd) else {
            drop(go_write);
            let launcher = &self.own_process;
            let surroundings = Surroundings { root, writable, devices, cgroups, go: go_read, launcher };
            let reach = if plan.has(Protection::PidNamespace) { Reach::Namespace } else { Reach::Descendants };
            let confined = confine_weakened(plan, surroundings, &control);
            init::run_confined(confined, reach, control)
        };
        self.inits.insert(pid, network);
        if plan.has(Protection::UserNamespace) {
            start::map_ids(pid, &plan.id_map())?;
        }
        start::come_first_when_memory_runs_out(pid)?;
        (&std::fs::File::from(go_write)).write_all(&[1]).step("let the sandbox go on")?;
        Ok((LauncherReply::Started { pid, device }, vec![pidfd, shown]))
    }
}

/// What [`confine::confine`] does, less what is left off.
fn confine_weakened(plan: &JailPlan, surroundings: Surroundings<'_>, control: &OwnedFd) -> Result<Confined, Failure> {
    for cgroup in &surroundings.cgroups {
        rustix::io::write(cgroup, b"0").step("join the cgroup")?;
    }
    if plan.has(Protection::CgroupNamespace) {
        sys::unshare(libc::CLONE_NEWCGROUP).step("make a cgroup namespace")?;
    }
    confine::wait_for_ids(&surroundings.go)?;
    if !plan.has(Protection::UserNamespace) && plan.outside_id == 0 {
        // The launcher gave its groups up; this is as if it had not. Refused where it couldn't give them up either.
        let _kept = rustix::thread::set_thread_groups(&[Gid::ROOT]).is_ok();
    }
    confine::take_id(guest_id(plan))?;
    confine::die_with(surroundings.launcher)?;
    rustix::process::setsid().step("make a session")?;
    if !plan.has(Protection::PidNamespace) {
        let own: Pid = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own)).step("become the reaper of orphans")?;
    }
    if plan.has(Protection::SessionKeyring) {
        sys::join_new_session_keyring().step("make a session keyring")?;
    }
    if plan.has(Protection::UtsNamespace) {
        rustix::system::sethostname(HOST_NAME.as_bytes()).step("set the host name")?;
    }

    let (mut without, terminals) = enter_root(plan, &surroundings)?;

    let has_landlock = plan.has(Protection::Landlock) && plan.landlock_abi > 0;
    let ruleset = has_landlock.then(|| landlock::ruleset(plan)).transpose()?;
    let folders = confine::open_folders(&WRITABLE)?;
    drop(surroundings);
    confine::close_others(&folders, ruleset.iter().chain(&terminals), control)?;
    let descriptors = if plan.has(Protection::CleanStart) { Descriptors::Closed } else { Descriptors::Leaked };
    if plan.has(Protection::Capabilities) {
        confine::reduce_capabilities(&plan.users)?;
    } else {
        keep_capabilities()?;
    }
    if plan.has(Protection::NoNewPrivs) {
        rustix::thread::set_no_new_privs(true).step("set no_new_privs")?;
    }
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).step("make the init dumpable")?;
    if plan.has(Protection::CoreLimit) {
        command::set_limit(ProcessLimit::Core, 1)?;
    }
    let reports = if plan.has(Protection::Seccomp) { confine::load_filter(plan, &mut without)? } else { None };
    Ok(Confined { folders, ruleset, without, descriptors, reports, terminals })
}

/// The guest's id in the user namespace that it is in.
fn guest_id(plan: &JailPlan) -> u32 {
    if plan.has(Protection::UserNamespace) { plan.users.own_id() } else { plan.outside_id }
}

fn enter_root(plan: &JailPlan, surroundings: &Surroundings<'_>) -> Result<(Vec<Failure>, Option<OwnedFd>), Failure> {
    let (mut without, mut terminals) = (Vec::new(), None);
    let has_proc = plan.has(Protection::PrivateProc);
    match (&surroundings.root, &surroundings.writable) {
        (Some(root), Some(writable)) => {
            confine::attach_root(root)?;
            if let Some(devices) = &surroundings.devices {
                root::attach(devices, &confine::inside("/dev").step("open /dev")?).step("attach /dev")?;
            }
            confine::attach_folders(&plan.users, writable)?;
            if has_proc {
                confine::keep(plan.proc, confine::mount_private_proc(&plan.users), &mut without)?;
            } else {
                let proc = root::copy_tree("/proc").step("copy /proc")?;
                root::attach(&proc, &confine::inside("/proc").step("open /proc")?).step("attach /proc")?;
            }
            if plan.has(Protection::PrivateDev) {
                terminals = confine::keep(plan.terminals, confine::mount_terminals(guest_id(plan)), &mut without)?;
            }
            confine::leave_old_root()?;
        }
        (_, Some(writable)) => {
            // A mount namespace of its own with everything that the launcher came from in it.
            rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
                .step("make the mounts private")?;
            rustix::process::chdir("/").step("enter the root")?;
            confine::attach_folders(&Users::Guest, writable)?;
            if has_proc {
                confine::keep(Need::Preferred, confine::mount_private_proc(&Users::Guest), &mut without)?;
            }
        }
        (_, None) => {
            rustix::process::chdir("/").step("enter the root")?;
        }
    }
    Ok((without, terminals))
}

/// Keeps every capability over the change of user and the coming exec.
fn keep_capabilities() -> Result<(), Failure> {
    let CapabilitySets { permitted, .. } = rustix::thread::capabilities(None).step("read the capabilities")?;
    let all = CapabilitySets { effective: permitted, permitted, inheritable: permitted };
    rustix::thread::set_capabilities(None, all).step("keep all capabilities")?;
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        if permitted.contains(one) {
            rustix::thread::configure_capability_in_ambient_set(one, true).step("keep a capability over an exec")?;
        }
    }
    Ok(())
}
