//! The program's frame: what it is called with, how a probe tells what it got, and how it holds it.
//!
//! Invariant: whatever happens to the attempts, the last line is `tried NONCE`, after which everything is held until
//! standard input ends, for [`LONGEST`] at most.

mod answers;
mod filesystem;
mod kernel;
mod network;
mod privilege;
mod processes;
mod residue;
mod resources;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a probe holds what it got.
const LONGEST: Duration = Duration::from_secs(20);
/// How much a probe tells.
const MOST_BYTES: usize = 1 << 20;

/// One call of the program.
struct Attempt {
    nonce: String,
    held: Vec<OwnedFd>,
    told: usize,
}

impl Attempt {
    /// Prints what was got hold of, as it is.
    fn tell(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(..bytes.len().min(MOST_BYTES.saturating_sub(self.told))).unwrap_or_default();
        self.told += bytes.len();
        let mut output = std::io::stdout();
        // Where the output is closed there is nobody to tell.
        let _told = output.write_all(bytes).and_then(|()| output.flush()).is_ok();
    }

    /// Prints a line of its own.
    fn tell_line(&mut self, line: &str) {
        self.tell(format!("\n{line}\n").as_bytes());
    }

    /// Prints the kernel's answer, and gives what came with it.
    fn answer<T>(&mut self, answer: Result<T, Errno>) -> Option<T> {
        let name = answer.as_ref().map_or_else(|errno| answers::name(*errno), |_| "OK".to_owned());
        self.tell_line(&format!("errno {name}"));
        answer.ok()
    }

    /// Keeps a descriptor open, if there is one.
    fn hold(&mut self, got: Result<OwnedFd, Errno>) {
        let got = self.answer(got);
        self.held.extend(got);
    }
}

/// A parameter that the suite gave, such as `CANARY_PATH`.
fn parameter(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A parameter that is a number.
fn number(name: &str) -> Option<u64> {
    parameter(name)?.parse().ok()
}

/// The canary's process. Never a group, never everyone, never the first process.
fn canary_process() -> Option<Pid> {
    let pid = i32::try_from(number("CANARY_PID")?).ok().filter(|pid| *pid > 1)?;
    Pid::from_raw(pid)
}

/// Waits until standard input ends, but not for ever.
fn wait_for_end() {
    let start = Instant::now();
    let input = rustix::stdio::stdin();
    let mut piece = [0; 4096];
    while start.elapsed() < LONGEST {
        let mut wait = [PollFd::new(&input, PollFlags::IN)];
        match rustix::event::poll(&mut wait, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => return,
        }
        match rustix::io::read(input, &mut piece) {
            Ok(0) => return,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

/// What a child of a probe does once it got where it wanted: it holds as the probe does, and ends with it at the latest.
fn hold_as_child() -> ! {
    let _asked = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
    wait_for_end();
    crate::sys::exit_now()
}

/// Makes the attempt that the first argument names, says that it was made, and holds.
#[must_use]
pub fn run() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, nonce] = arguments.as_slice() else {
        return ExitCode::from(2);
    };
    let Some(attempt) = find(name) else {
        return ExitCode::from(2);
    };
    let mut state = Attempt { nonce: nonce.clone(), held: Vec::new(), told: 0 };
    attempt(&mut state);
    state.told = 0;
    state.tell_line(&format!("tried {nonce}"));
    wait_for_end();
    // Nothing is given up one by one: the end of its own terminal would hang this process up before it could exit.
    std::process::exit(0)
}

/// The attempt of that name.
fn find(name: &str) -> Option<fn(&mut Attempt)> {
    Some(match name {
        "hold" => privilege::hold,
        "regain-user" => privilege::regain_user,
        "regain-capabilities" => privilege::regain_capabilities,
        "memory-program" => privilege::memory_program,
        "core-limit" => privilege::core_limit,
        "mount" => filesystem::mount,
        "remount" => filesystem::remount,
        "chroot" => filesystem::chroot,
        "device-node" => filesystem::device_node,
        "set-id" => filesystem::set_id,
        "signal" => processes::signal,
        "trace" => processes::trace,
        "trace-parent" => processes::trace_parent,
        "read-memory" => processes::read_memory,
        "take-descriptor" => processes::take_descriptor,
        "overwrite-runtime" => processes::overwrite_runtime,
        "real-time" => processes::real_time,
        "raw-socket" => network::raw_socket,
        "rare-socket" => network::rare_socket,
        "interface" => network::interface,
        "burn-processor" => resources::burn_processor,
        "stack" => resources::stack,
        "leave-mount" => residue::leave_mount,
        "leave-ipc" => residue::leave_ipc,
        "leave-key" => residue::leave_key,
        "leave-host-name" => residue::leave_host_name,
        other => return kernel::find(other),
    })
}
