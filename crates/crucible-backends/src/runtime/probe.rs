//! Asks an interpreter what it needs, by running it on the host with a bound on its time and on what it may print.
//!
//! It runs with the caller's own environment, because that is what version managers go by. Its answer is checked line
//! by line and never executed or expanded.

use super::choice::MISE_CAUTION;
use super::elf;
use super::lookup::Surroundings;
use crucible_core::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{self, ErrorKind as IoErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long an interpreter may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

const OPERATION: &str = "ask the interpreter what it needs";
const MAX_OUTPUT_BYTES: usize = 64 * 1024;
const MAX_LINES: usize = 256;
const MAX_SHOWN_CHARS: usize = 200;
const VERSION: &str = "version ";

/// What an interpreter said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its own executable; it was there, and was machine code.
    pub(super) executable: PathBuf,
    /// Its version, if it told it.
    pub(super) version: Option<String>,
    /// What else it needs. Absolute paths; they may not exist.
    pub(super) paths: Vec<PathBuf>,
}

/// Runs the interpreter with the probe's arguments and reads its answer.
pub(super) fn ask(
    surroundings: &Surroundings,
    interpreter: &Path,
    arguments: &[String],
    patience: Duration,
) -> Result<Answer> {
    let said = run(surroundings, interpreter, arguments, patience)?;
    if !said.status.success() {
        let mut message =
            format!("{} can't tell which files it needs: it ended with {}", interpreter.display(), ending(said.status));
        if let Some(line) = first_line(&said.stderr) {
            message = format!("{message}: {line}");
        }
        return Err(unavailable(interpreter, message));
    }
    read(interpreter, &said.stdout)
}

/// The first line that the interpreter prints when it is asked for its version the usual way.
pub(super) fn version(surroundings: &Surroundings, interpreter: &Path, patience: Duration) -> Option<String> {
    let said = run(surroundings, interpreter, &["--version".to_owned()], patience).ok()?;
    let line = first_line(&said.stdout).or_else(|| first_line(&said.stderr))?;
    let looks_like_one = |word: &&str| {
        word.contains('.') && word.trim_start_matches('v').starts_with(|first: char| first.is_ascii_digit())
    };
    Some(line.split_whitespace().find(looks_like_one)?.trim_start_matches('v').to_owned())
}

fn read(interpreter: &Path, stdout: &[u8]) -> Result<Answer> {
    let rubbish =
        |what: &str| Err(unavailable(interpreter, format!("{} answered the probe with {what}", interpreter.display())));
    if stdout.len() >= MAX_OUTPUT_BYTES {
        return rubbish("more than a list of paths");
    }
    let Ok(text) = std::str::from_utf8(stdout) else {
        return rubbish("something that isn't UTF-8");
    };
    let mut version = None;
    let mut paths = Vec::new();
    for (index, line) in text.lines().filter(|line| !line.is_empty()).enumerate() {
        if index == MAX_LINES {
            return rubbish("more than a list of paths");
        }
        if let Some(told) = line.strip_prefix(VERSION) {
            version = Some(shown(told));
        } else if line.starts_with('/') && !line.chars().any(char::is_control) {
            paths.push(PathBuf::from(line));
        } else {
            return rubbish(&format!("a line that isn't an absolute path: {:?}", shown(line)));
        }
    }
    if paths.is_empty() {
        return rubbish("nothing");
    }
    let executable = paths.remove(0);
    if !executable.is_file() {
        return rubbish(&format!("an executable that isn't there: {}", executable.display()));
    }
    if !elf::is_elf(&executable) {
        return rubbish(&format!("an executable that is itself a script: {}", executable.display()));
    }
    Ok(Answer { executable, version, paths })
}

/// What a program printed, each stream cut at the bound, and how it ended.
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: ExitStatus,
}

/// Runs a program to its end, or kills it and what it started in its process group when its time is over.
fn run(surroundings: &Surroundings, program: &Path, arguments: &[String], patience: Duration) -> Result<Said> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&surroundings.environment).env(MISE_CAUTION.0, MISE_CAUTION.1);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some(directory) = &surroundings.directory {
        command.current_dir(directory);
    }
    let failed =
        |error: io::Error| unavailable(program, format!("{} can't be run", program.display())).with_source(error);
    let mut child = command.spawn().map_err(failed)?;
    let failure = match listen(&mut child, Instant::now() + patience) {
        Ok(Some(said)) => return Ok(said),
        Ok(None) => {
            let message = format!("{} didn't answer within {} s", program.display(), patience.as_secs_f32());
            unavailable(program, message)
        }
        Err(error) => failed(error),
    };
    // Out of time, or out of order: either way nothing of it may stay.
    if let Some(group) = process_id(&child) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
    Err(failure)
}

fn process_id(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Reads both streams until the program has ended; `None` when the deadline comes first.
fn listen(child: &mut Child, deadline: Instant) -> io::Result<Option<Said>> {
    let process = pidfd_open(process_id(child).ok_or(IoErrorKind::InvalidInput)?, PidfdFlags::empty())?;
    let (mut stdout, mut stderr) = match (child.stdout.take(), child.stderr.take()) {
        (Some(stdout), Some(stderr)) => (stdout, stderr),
        _ => return Err(IoErrorKind::BrokenPipe.into()),
    };
    for stream in [stdout.as_fd(), stderr.as_fd()] {
        fcntl_setfl(stream, fcntl_getfl(stream)? | OFlags::NONBLOCK)?;
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (mut out_open, mut err_open) = (true, true);
    loop {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else {
            return Ok(None);
        };
        let mut waited = vec![PollFd::new(&process, PollFlags::IN)];
        waited.extend(out_open.then(|| PollFd::new(&stdout, PollFlags::IN)));
        waited.extend(err_open.then(|| PollFd::new(&stderr, PollFlags::IN)));
        let left = Timespec::try_from(left).map_err(|_| IoErrorKind::InvalidInput)?;
        match poll(&mut waited, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has_ended = waited.first().is_some_and(|process| !process.revents().is_empty());
        out_open = out_open && drain(&mut stdout, &mut out)?;
        err_open = err_open && drain(&mut stderr, &mut err)?;
        // What it left running may hold the streams open for ever, so its own end is the end.
        if has_ended {
            return Ok(Some(Said { stdout: out, stderr: err, status: child.wait()? }));
        }
    }
}

/// Reads what is there now, keeping no more than the bound; false at the end of the stream.
fn drain(stream: &mut impl Read, kept: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    // At most a bound's worth at a time, so that a flood can't keep the caller from its deadline.
    for _ in 0..MAX_OUTPUT_BYTES / buffer.len() {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                let room = MAX_OUTPUT_BYTES - kept.len();
                kept.extend(buffer.iter().take(count.min(room)));
            }
            Err(error) if error.kind() == IoErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == IoErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

fn first_line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(shown)
}

/// A line as it can be shown to a person: short, and without control characters.
fn shown(line: &str) -> String {
    line.chars().filter(|char| !char.is_control()).take(MAX_SHOWN_CHARS).collect()
}

fn unavailable(interpreter: &Path, message: String) -> Error {
    let hint = format!(
        "see what '{} --version' says; another executable can be named by 'interpreters' in the language's entry \
         of the configuration",
        interpreter.display()
    );
    Error::new(ErrorKind::Unavailable, OPERATION, message).with_hint(hint)
}
