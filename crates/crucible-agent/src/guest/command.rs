//! What a process that was just started does to become a command. It shares the agent's memory until then, and returns only
//! with what failed.

use super::Step;
use super::prepare::Prepared;
use super::streams::Theirs;
use super::tree::Marked;
use crate::protocol::{BECOME_USER, Command, Failure, Owner, ProcessLimit};
use crate::sys;
use crucible_inside::users::User;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Rlimit, Uid};
use std::ffi::CString;

/// Where a program without a slash is looked up where the environment says nothing.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a command is started with.
pub(super) struct Placed<'a> {
    pub(super) theirs: &'a Theirs,
    pub(super) mark: Option<Marked>,
    pub(super) is_terminal: bool,
    /// Whose it is, where somebody was named.
    pub(super) user: Option<&'a User>,
    pub(super) prepared: &'a Prepared,
}

/// A command's strings as the kernel takes them.
pub(super) struct Strings {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    /// Where the program may be, in order.
    candidates: Vec<CString>,
}

impl Strings {
    pub(super) fn of(command: &Command, user: Option<&User>) -> Result<Self, Failure> {
        let more = user.map(|user| user.variables(&command.env)).unwrap_or_default();
        let strings = |list: &[String]| -> Result<Vec<CString>, Errno> {
            list.iter().map(|text| CString::new(text.as_str()).map_err(|_| Errno::INVAL)).collect()
        };
        let prepared = || {
            let program = command.argv.first().ok_or(Errno::INVAL)?;
            let candidates = if program.contains('/') {
                vec![program.clone()]
            } else {
                let path =
                    command.env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
                path.split(':')
                    .filter(|folder| folder.starts_with('/'))
                    .map(|folder| format!("{folder}/{program}"))
                    .collect()
            };
            Ok(Self {
                arguments: strings(&command.argv)?,
                environment: strings(&[command.env.as_slice(), &more].concat())?,
                candidates: strings(&candidates)?,
            })
        };
        prepared().step("execute the program")
    }

    /// Turns this process into the command.
    pub(super) fn become_it(&self, command: &Command, placed: &Placed<'_>) -> Failure {
        match prepare(command, placed) {
            Err(failure) => failure,
            Ok(()) => self.execute(),
        }
    }

    fn execute(&self) -> Failure {
        let mut last = Errno::NOENT;
        for candidate in &self.candidates {
            match sys::execute(candidate, &self.arguments, &self.environment) {
                Errno::NOENT | Errno::NOTDIR => {}
                errno => last = errno,
            }
        }
        Failure { step: "execute the program".to_owned(), errno: last.raw_os_error() }
    }
}

fn prepare(command: &Command, placed: &Placed<'_>) -> Result<(), Failure> {
    let Theirs { input, out, error } = placed.theirs;
    let prepared = placed.prepared;
    let agents = rustix::process::getuid();
    sys::restore_signals();
    rustix::process::setsid().step("make a session")?;
    if placed.is_terminal {
        rustix::process::ioctl_tiocsctty(input).step("take the terminal")?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    for (limit, value) in &command.limits {
        set_limit(*limit, *value)?;
    }
    if let Some(mark) = placed.mark {
        mark.set().step("mark the command")?;
    }
    if let Some(group) = &prepared.group {
        group.join().step("join the commands' control group")?;
    }
    rustix::stdio::dup2_stdin(input).step("take standard input")?;
    rustix::stdio::dup2_stdout(out).step("take standard output")?;
    rustix::stdio::dup2_stderr(error).step("take standard error")?;
    mark_descriptors().step("mark descriptors to be closed")?;
    match (placed.user, prepared.owner) {
        (Some(user), _) => {
            // So that it can open them again by name.
            for stream in [input, out, error] {
                let _given = user.give(stream).is_ok();
            }
            user.become_it().step(BECOME_USER)?;
        }
        (None, Some(owner)) => become_owner(owner).step("become the command's user")?,
        (None, None) => {}
    }
    if let Some(group) = &prepared.group {
        let most = group.most_of_user(rustix::process::getuid() == agents);
        set_limit(ProcessLimit::Processes, most)?;
    }
    // By the command's own rights.
    rustix::process::chdir(&*command.directory).step("enter the command's folder")?;
    if prepared.filter.is_empty() { Ok(()) } else { sys::load_filter(&prepared.filter).step("filter system calls") }
}

/// Everything that the agent opens is marked already. This is for what it was started with.
fn mark_descriptors() -> Result<(), Errno> {
    match sys::close_on_exec_from(3) {
        // Kernels before 5.11, and filters that are older.
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
            for descriptor in 3..256 {
                sys::close_on_exec(descriptor);
            }
            Ok(())
        }
        marked => marked,
    }
}

fn become_owner(owner: Owner) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(owner.user), Gid::from_raw(owner.group));
    let is_already =
        rustix::process::geteuid() == user && rustix::process::getuid() == user && rustix::process::getgid() == group;
    if is_already {
        return Ok(());
    }
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)
}

/// Sets a limit, soft and hard. One that is above what this process may set is taken as far as it goes: lower is safe.
fn set_limit(limit: ProcessLimit, value: u64) -> Result<(), Failure> {
    let resource = match limit {
        ProcessLimit::FileSize => Resource::Fsize,
        ProcessLimit::OpenFiles => Resource::Nofile,
        ProcessLimit::Stack => Resource::Stack,
        ProcessLimit::Core => Resource::Core,
        ProcessLimit::CpuSeconds => Resource::Cpu,
        ProcessLimit::Processes => Resource::Nproc,
        ProcessLimit::Data => Resource::Data,
        ProcessLimit::LockedMemory => Resource::Memlock,
    };
    let set = |value| rustix::process::setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
    let done = match set(value) {
        Err(Errno::PERM) => set(value.min(rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX))),
        done => done,
    };
    done.step(&format!("set the limit {limit:?}"))
}
