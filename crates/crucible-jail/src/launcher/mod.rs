//! The launcher: one small, static, single-threaded process that makes every clone for a supervisor.
//!
//! Invariants: it has one thread. It ends when the supervisor's end of its socket closes, and every sandbox ends with it,
//! because each init asked for that by `PR_SET_PDEATHSIG`. It never looks at what a guest made, and reads nothing from a
//! sandbox: an init talks to the supervisor over a socket of its own.

mod command;
mod confine;
mod files;
mod init;
mod landlock;
mod network;
mod range;
mod realm;
mod root;
mod start;
mod tree;
mod weaken;
mod zygote;

use crate::plan::{Failure, LauncherReply, LauncherRequest, Privilege};
use crate::socket::{self, Longest, MessageError};
use crate::sys;
use network::NetworkPool;
use realm::Mounts;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::WaitOptions;
use std::collections::BTreeMap;
use std::process::ExitCode;
#[cfg(feature = "zygote")]
pub(crate) use zygote::{say, serve_within};

/// A system call's failure with the step it belongs to.
trait Step<T> {
    /// Says which step failed.
    fn step(self, step: &str) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step: step.to_owned(), errno: errno.raw_os_error() })
    }
}

impl<T> Step<T> for std::io::Result<T> {
    fn step(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: step.to_owned(), errno: error.raw_os_error().unwrap_or(libc::EIO) })
    }
}

/// What the launcher keeps.
struct Launcher {
    control: OwnedFd,
    /// Its own process, by which an init sees whether it still lives.
    own_process: OwnedFd,
    /// Its mount namespaces, once it has begun and unless nothing is isolated.
    mounts: Option<Mounts>,
    networks: NetworkPool,
    /// The network namespace that the launcher came from. Only weakened sandboxes stay in it.
    original_network: OwnedFd,
    /// Running inits, with the network namespace that each holds.
    inits: BTreeMap<i32, Option<OwnedFd>>,
    /// The interpreter that this launcher lives in, if it does.
    interpreter: Option<Interpreter>,
}

/// How a fork of an init goes on in the interpreter that the init is a fork of.
#[derive(Clone, Copy)]
pub(crate) struct Interpreter {
    /// Forks this process as the interpreter wants it done.
    pub(crate) fork: fn() -> Result<sys::Forked, Errno>,
    /// Does ahead, in a fork that waits for its program, what can be done without it.
    pub(crate) settle: fn(),
    /// Runs a program with its environment (`NAME=value` each). Its file is the first argument.
    pub(crate) run: fn(argv: &[String], env: &[String]) -> !,
}

/// Serves the supervisor, whose socket is standard input, until it closes its end. Returns the process's exit code.
#[must_use]
pub fn serve() -> ExitCode {
    let Ok(control) = rustix::stdio::stdin().try_clone_to_owned() else {
        return ExitCode::from(70);
    };
    // The guest's null device must not be the control socket, whatever happens later.
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    if null.and_then(|null| rustix::stdio::dup2_stdin(&null)).is_err() {
        return ExitCode::from(70);
    }
    // A session of its own: no terminal, no Ctrl-C meant for the supervisor.
    if rustix::process::setsid().is_err() {
        return ExitCode::from(70);
    }
    let Ok((mut launcher, signals)) = Launcher::new(control) else {
        return ExitCode::from(70);
    };
    ExitCode::from(launcher.serve(&signals))
}

impl Launcher {
    /// A launcher that has made nothing yet, and what tells it of its children's ends.
    fn new(control: OwnedFd) -> Result<(Self, OwnedFd), Failure> {
        let signals = sys::block_signals_into_descriptor().step("watch for ended children")?;
        let own_process = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
        let launcher = Self {
            control,
            own_process: own_process.step("watch this process")?,
            mounts: None,
            networks: NetworkPool::default(),
            original_network: network::current().step("open the network namespace")?,
            inits: BTreeMap::new(),
            interpreter: None,
        };
        Ok((launcher, signals))
    }

    /// Serves the supervisor until it closes its end, and gives the process's exit code.
    fn serve(&mut self, signals: &OwnedFd) -> u8 {
        loop {
            let mut waits = [PollFd::new(&self.control, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            match rustix::event::poll(&mut waits, None) {
                Err(Errno::INTR) => continue,
                Err(_) => return 71,
                Ok(_) => {}
            }
            let (requested, child_ended) = (!waits[0].revents().is_empty(), !waits[1].revents().is_empty());
            if child_ended {
                self.reap(signals.as_fd());
            }
            if requested && self.handle_one().is_err() {
                return 0;
            }
        }
    }
}

impl Launcher {
    fn handle_one(&mut self) -> Result<(), MessageError> {
        let (request, descriptors) = socket::receive::<LauncherRequest>(&self.control, Longest::MemoryFile)?;
        let answer = match request {
            LauncherRequest::Begin(privilege) => self.begin(privilege),
            LauncherRequest::IdsMapped => self.ids_mapped(),
            LauncherRequest::PrepareRoot { number, entries } => {
                let answer = self.prepare_root(number, &entries).map(|()| LauncherReply::RootPrepared);
                socket::send(&self.control, &answer.unwrap_or_else(LauncherReply::Failed), &[])?;
                // The supervisor is now busy with what a first sandbox needs of it.
                self.networks.make_ahead();
                return Ok(());
            }
            LauncherRequest::Start(plan) => {
                let started = self.start(*plan, descriptors);
                return self.answer_started(started);
            }
            LauncherRequest::StartZygote(plan) => {
                let started = self.start_zygote(&plan, descriptors);
                return self.answer_started(started);
            }
        };
        socket::send(&self.control, &answer.unwrap_or_else(LauncherReply::Failed), &[])
    }

    fn answer_started(&self, started: Result<(LauncherReply, Vec<OwnedFd>), Failure>) -> Result<(), MessageError> {
        match started {
            Ok((reply, descriptors)) => {
                let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
                socket::send(&self.control, &reply, &descriptors)
            }
            Err(failure) => socket::send(&self.control, &LauncherReply::Failed(failure), &[]),
        }
    }

    fn begin(&mut self, privilege: Privilege) -> Result<LauncherReply, Failure> {
        match privilege {
            Privilege::Bare => Ok(LauncherReply::Begun { time_namespace: false }),
            Privilege::Root => {
                match rustix::thread::set_thread_groups(&[]) {
                    // A user namespace in which nobody may, such as an ordinary user's range: the groups stay.
                    Err(Errno::PERM) if groups_are_fixed() => {}
                    dropped => dropped.step("drop supplementary groups")?,
                }
                self.make_realm()
            }
            Privilege::Ordinary { spare_ids } => {
                realm::enter_user_namespace(spare_ids)?;
                if spare_ids { Ok(LauncherReply::MapIds) } else { self.make_realm() }
            }
        }
    }

    fn ids_mapped(&mut self) -> Result<LauncherReply, Failure> {
        realm::become_root_of_the_user_namespace()?;
        self.make_realm()
    }

    fn make_realm(&mut self) -> Result<LauncherReply, Failure> {
        // Preferred: kernels before 5.6, or built without it, have none. The answer says so.
        let time_namespace = realm::enter_time_namespace().is_ok();
        self.mounts = Some(Mounts::make(realm::PLACES)?);
        Ok(LauncherReply::Begun { time_namespace })
    }

    /// Collects the inits that ended. Their network namespaces are free again: no process is left in them.
    fn reap(&mut self, signals: BorrowedFd<'_>) {
        let mut buffer = [0_u8; 1024];
        while rustix::io::read(signals, &mut buffer).is_ok_and(|read| read > 0) {}
        while let Ok(Some((pid, _))) = rustix::process::wait(WaitOptions::NOHANG) {
            if let Some(Some(network)) = self.inits.remove(&pid.as_raw_nonzero().get()) {
                self.networks.give_back(network);
            }
        }
    }
}

/// Whether nobody in this user namespace may change supplementary groups.
fn groups_are_fixed() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}
