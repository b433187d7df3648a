//! What a fork of the init does to become a command.

use super::{Interpreter, Step};
use crate::plan::{Failure, InitRequest, Orphans, ProcessLimit, Streams, WORK};
use crate::socket::{self, Longest};
use crate::sys;
use crucible_inside::users::{self, BECOME_USER, FIND_USER, User};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use std::ffi::CString;

/// A command to become.
pub(super) struct Command {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) directory: String,
    pub(super) limits: Vec<(ProcessLimit, u64)>,
    pub(super) streams: Streams,
    pub(super) orphans: Orphans,
}

impl Command {
    /// Turns this process into the command. Returns only if that failed. `bare_work` is the work folder where there is no
    /// root of the sandbox's own, `leaked` a descriptor that it isn't to have, and gets where a control arm wants that.
    pub(super) fn become_it<'a>(
        &self,
        descriptors: &'a [OwnedFd],
        bare_work: Option<&OwnedFd>,
        leaked: Option<&OwnedFd>,
    ) -> (Failure, Option<&'a OwnedFd>) {
        let failure = match leave_init().and_then(|()| self.prepare(descriptors, bare_work, leaked)) {
            Err(failure) => failure,
            Ok(user) => self.execute(&user.map(|user| user.variables(&self.env)).unwrap_or_default()),
        };
        (failure, descriptors.get(3))
    }

    fn prepare(
        &self,
        descriptors: &[OwnedFd],
        bare_work: Option<&OwnedFd>,
        leaked: Option<&OwnedFd>,
    ) -> Result<Option<User>, Failure> {
        let [input, output, error, _report] = descriptors else {
            return Err(Errno::BADF).step("take four descriptors");
        };
        if bare_work.is_some() {
            // In a process namespace the kernel sees to that.
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("ask to end with the sandbox")?;
        }
        if self.streams == Streams::Terminal {
            rustix::process::ioctl_tiocsctty(input).step("take the terminal")?;
        }
        if self.orphans == Orphans::ToCommand {
            // Holds beyond the exec, and for this process alone.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid())).step("take in orphans")?;
        }
        let user = self.user.as_deref().map(users::find).transpose().step(FIND_USER)?;
        if let Some(user) = &user {
            // Its terminal, so that it can open it again by name. Refused for pipes of a user who isn't inside, which anybody may open.
            for stream in [input, output, error] {
                let _given = user.give(stream).is_ok();
            }
            user.become_it().step(BECOME_USER)?;
        }
        match bare_work {
            Some(work) => {
                rustix::process::fchdir(work).step("enter the work folder")?;
                let below = self.directory.strip_prefix(WORK).unwrap_or_default().trim_start_matches('/');
                if !below.is_empty() {
                    rustix::process::chdir(below).step("enter the command's folder")?;
                }
            }
            None => rustix::process::chdir(&*self.directory).step("enter the command's folder")?,
        }
        rustix::process::umask(Mode::from_raw_mode(0o022));
        for (limit, value) in &self.limits {
            set_limit(*limit, *value)?;
        }
        rustix::stdio::dup2_stdin(input).step("take standard input")?;
        rustix::stdio::dup2_stdout(output).step("take standard output")?;
        rustix::stdio::dup2_stderr(error).step("take standard error")?;
        sys::close_on_exec_from(3).step("mark descriptors to be closed")?;
        if let Some(leaked) = leaked {
            rustix::io::fcntl_setfd(leaked, FdFlags::empty()).step("leak a descriptor")?;
        }
        Ok(user)
    }

    /// Executes the program, with more variables than were asked for.
    fn execute(&self, more: &[String]) -> Failure {
        let strings = |list: &[String]| -> Option<Vec<CString>> {
            list.iter().map(|text| CString::new(text.as_str()).ok()).collect()
        };
        let all = [self.env.as_slice(), more].concat();
        let failure = |errno: Errno| Failure { step: "execute the program".to_owned(), errno: errno.raw_os_error() };
        let (Some(arguments), Some(environment)) = (strings(&self.argv), strings(&all)) else {
            return failure(Errno::INVAL);
        };
        let Some(program) = self.argv.first() else {
            return failure(Errno::INVAL);
        };
        if program.contains('/') {
            return arguments.first().map_or_else(
                || failure(Errno::INVAL),
                |program| failure(sys::execute(program, &arguments, &environment)),
            );
        }
        let path = self.env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or("/usr/bin:/bin");
        let mut last = Errno::NOENT;
        for folder in path.split(':').filter(|folder| folder.starts_with('/')) {
            let Ok(candidate) = CString::new(format!("{folder}/{program}")) else {
                continue;
            };
            match sys::execute(&candidate, &arguments, &environment) {
                Errno::NOENT | Errno::NOTDIR => {}
                errno => last = errno,
            }
        }
        failure(last)
    }
}

/// Leaves behind what a fork has of the init's signals and session.
fn leave_init() -> Result<(), Failure> {
    sys::restore_signals();
    rustix::process::setsid().step("make a session").map(drop)
}

/// Waits, in a fork of an interpreter, for its program, which comes over a socket of its own, and becomes it. Ends where none
/// comes.
pub(super) fn wait_for_program(socket: OwnedFd, interpreter: Interpreter) -> ! {
    // Where it is in nobody's way who closes all others: everything of the init's goes, as it would when a program is executed.
    const PLACE: i32 = 3;
    let settled = leave_init().and_then(|()| {
        sys::duplicate_to(socket.as_fd(), PLACE).step("move the socket")?;
        std::mem::forget(socket);
        sys::close_range(PLACE.unsigned_abs() + 1, u32::MAX).step("close descriptors")?;
        // As it would be after executing the interpreter's program, which anybody may read.
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable).step("make the program's process its own")
    });
    (interpreter.settle)();
    let received =
        sys::take_inherited(PLACE).map(|socket| socket::receive::<InitRequest>(&socket, Longest::MemoryFile));
    let Ok(Ok((request, descriptors))) = received else { sys::exit_now(0) };
    let InitRequest::Exec { argv, env, user, directory, limits, streams, orphans, .. } = request else {
        sys::exit_now(0)
    };
    let command = Command { argv, env, user, directory, limits, streams, orphans };
    match settled.and_then(|()| command.prepare(&descriptors, None, None)) {
        Ok(_) => {
            // With the report's end the supervisor knows that the program runs.
            drop(descriptors);
            (interpreter.run)(&command.argv, &command.env)
        }
        Err(failure) => {
            report(descriptors.get(3), &failure);
            sys::exit_now(127)
        }
    }
}

/// Tells the supervisor why a command couldn't be started. Nothing is written to the report, and it is closed, when one was.
pub(super) fn report(report: Option<&OwnedFd>, failure: &Failure) {
    if let (Some(report), Ok(bytes)) = (report, postcard::to_stdvec(failure)) {
        let _written = rustix::io::write(report, &bytes).is_ok();
    }
}

/// Sets a limit, soft and hard. One that is above what this process may set is taken as far as it goes: lower is safe.
pub(super) fn set_limit(limit: ProcessLimit, value: u64) -> Result<(), Failure> {
    let resource = match limit {
        ProcessLimit::FileSize => Resource::Fsize,
        ProcessLimit::OpenFiles => Resource::Nofile,
        ProcessLimit::Stack => Resource::Stack,
        ProcessLimit::Core => Resource::Core,
        ProcessLimit::CpuSeconds => Resource::Cpu,
        ProcessLimit::Processes => Resource::Nproc,
        ProcessLimit::Data => Resource::Data,
        ProcessLimit::LockedMemory => Resource::Memlock,
        ProcessLimit::MessageQueues => Resource::Msgqueue,
        ProcessLimit::RealTimePriority => Resource::Rtprio,
        ProcessLimit::PendingSignals => Resource::Sigpending,
    };
    let most = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let value = Some(value.min(most));
    rustix::process::setrlimit(resource, Rlimit { current: value, maximum: value })
        .step(&format!("set the limit {limit:?}"))
}
