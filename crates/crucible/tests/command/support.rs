//! Runs the command with a clean environment and a deadline.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No single run of these tests may take longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The arguments that choose a backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) flags: &'static [&'static str],
}

const SUBPROCESS: Backend = Backend { name: "subprocess", flags: &["-b", "subprocess", "--unsafe"] };
pub(crate) const JAIL: Backend = Backend { name: "jail", flags: &["-b", "jail"] };

/// Whether it runs here. If not it is skipped with a word, or a failure if `CRUCIBLE_REQUIRE` names it.
pub(crate) fn is_usable(backend: &Backend) -> bool {
    let run = crucible(&["run", "-l", "bash", "-c", ""]).backend(*backend).output();
    if run.code() == 69 {
        let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name == backend.name), "{}: {}", backend.name, run.stderr());
        eprintln!("skipped for {}: {}", backend.name, run.stderr());
    }
    run.code() != 69
}

/// Every backend on this machine's own kernel and files that runs here.
pub(crate) fn backends() -> Vec<Backend> {
    [SUBPROCESS, JAIL].into_iter().filter(is_usable).collect()
}

/// A run of the command to be made.
pub(crate) struct Invocation {
    command: Command,
    stdin: Option<Vec<u8>>,
    /// The home folder, empty, for as long as the run takes.
    home: tempfile::TempDir,
    /// How long it may take.
    pub(crate) deadline: Duration,
}

/// The command with these arguments.
pub(crate) fn crucible<S: AsRef<OsStr>>(arguments: &[S]) -> Invocation {
    // A shell starts what it has in the background with signals ignored, and so Crucible would be right to ignore them.
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal=HUP,INT,TERM").arg(env!("CARGO_BIN_EXE_crucible")).args(arguments);
    invocation(command)
}

/// A shell script in which `"$@"` is the command with these arguments.
pub(crate) fn in_shell(script: &str, arguments: &[&str]) -> Invocation {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_crucible")]).args(arguments);
    invocation(command)
}

fn invocation(mut command: Command) -> Invocation {
    let home = tempfile::tempdir().unwrap();
    command.env_clear().env("HOME", home.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    // Where a coverage build writes what it counted; without it, that would be the current folder.
    if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", profile);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Invocation { command, stdin: None, home, deadline: DEADLINE }
}

impl Invocation {
    /// Adds the flags of a backend, before any `--`.
    pub(crate) fn backend(mut self, backend: Backend) -> Self {
        let arguments: Vec<_> = self.command.get_args().map(OsStr::to_owned).collect();
        let verb = arguments.iter().position(|argument| argument == "run" || argument == "exec").unwrap() + 1;
        let mut command = Command::new(self.command.get_program());
        command.args(&arguments[..verb]).args(backend.flags).args(&arguments[verb..]);
        command.env_clear();
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command = command;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    pub(crate) fn directory(mut self, path: &Path) -> Self {
        self.command.current_dir(path);
        self
    }

    pub(crate) fn configured(self, file: &str) -> Self {
        let folder = self.home.path().join(".config/crucible");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), file).unwrap();
        self
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// Starts it with all streams as pipes.
    pub(crate) fn start(mut self) -> Running {
        let child = self.command.stdin(Stdio::piped()).spawn().unwrap();
        Running::new(child, self.home, self.deadline)
    }

    /// Starts it with a given standard output.
    pub(crate) fn start_on(mut self, stdout: Stdio) -> Running {
        let child = self.command.stdin(Stdio::piped()).stdout(stdout).spawn().unwrap();
        Running::new(child, self.home, self.deadline)
    }

    /// Runs it to its end.
    pub(crate) fn output(mut self) -> Finished {
        let stdin = self.stdin.take();
        if stdin.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.spawn().unwrap();
        let writer = child.stdin.take().zip(stdin).map(|(mut pipe, bytes)| {
            // A program need not read what it is given.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)))
        });
        let finished = Running::new(child, self.home, self.deadline).finish();
        if let Some(writer) = writer {
            writer.join().unwrap();
        }
        finished
    }
}

/// A run that was started.
pub(crate) struct Running {
    pub(crate) child: Child,
    leash: Leash,
    _home: tempfile::TempDir,
    deadline: Duration,
}

/// Ends a run that its test gave up.
struct Leash(Option<rustix::process::Pid>);

impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        }
    }
}

impl Running {
    fn new(child: Child, home: tempfile::TempDir, deadline: Duration) -> Self {
        let leash = Leash(Some(rustix::process::Pid::from_child(&child)));
        Self { child, leash, _home: home, deadline }
    }

    /// Waits for its end; a run that doesn't end fails the test.
    pub(crate) fn finish(mut self) -> Finished {
        let (id, deadline) = (rustix::process::Pid::from_child(&self.child), self.deadline);
        let (done, ended) = mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            let late = ended.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
            late
        });
        let output = self.child.wait_with_output().unwrap();
        self.leash.0 = None;
        drop(done);
        assert!(!watchdog.join().unwrap(), "it didn't end within {deadline:?}: {}", Finished { output }.stderr());
        Finished { output }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }
}

/// Whether a line warns of what is so where these tests run: a backend that isolates nothing, or an ordinary user to whom
/// no control group is delegated. Root always has some.
pub(crate) fn is_expected_warning(line: &str) -> bool {
    line.starts_with("warning: the subprocess backend isolates nothing")
        || (line.starts_with("warning: no control group here: ") && !rustix::process::geteuid().is_root())
}

/// A run that has ended.
pub(crate) struct Finished {
    pub(crate) output: Output,
}

impl Finished {
    /// The exit code; a panic or a signal fails the test.
    pub(crate) fn code(&self) -> i32 {
        let code = self.output.status.code();
        assert!(code.is_some() && code != Some(101), "{:?}: {}", self.output.status, self.stderr());
        code.unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// What it printed, after a success with nothing on standard error but the warnings to be expected.
    #[track_caller]
    pub(crate) fn expect_success(self) -> String {
        let is_quiet = self.stderr().lines().all(is_expected_warning);
        assert!(self.code() == 0 && is_quiet, "{}: {}", self.output.status, self.stderr());
        self.stdout()
    }

    /// The JSON outcome, which must be all that is on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        let parsed = serde_json::from_slice(&self.output.stdout);
        parsed.unwrap_or_else(|error| panic!("{error}: {:?}, {:?}", self.stdout(), self.stderr()))
    }

    /// Demands a failure of Crucible's own: this code, nothing on standard output, one line of error that holds all of
    /// `parts`, no trace of a panic.
    #[track_caller]
    pub(crate) fn expect_failure(&self, code: i32, parts: &[&str]) {
        let stderr = self.stderr();
        assert_eq!(self.code(), code, "{stderr}");
        assert_eq!(self.stdout(), "", "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert_eq!(errors, 1, "{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{part:?} is not in: {stderr}");
        }
    }
}
