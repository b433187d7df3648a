//! Starts probes as the suite does, and follows what they say.
//!
//! Invariant: a probe started here has no rights (as root, the tests lend it those of nobody), unless a test says otherwise,
//! and gets no parameter that names anything but what the test made.
#![allow(dead_code, reason = "each test file uses a part")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const NOBODY: u32 = 65534;

/// Says why a test shows nothing here. A failure where `CRUCIBLE_REQUIRE` names what is missing.
#[expect(clippy::print_stderr, reason = "a skip says why")]
pub(crate) fn skip(what: &str, why: &str) {
    let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
    assert!(required.split(',').all(|name| name.trim() != what), "CRUCIBLE_REQUIRE names {what}: {why}");
    eprintln!("skipped: {why}");
}

/// A word that no other test of this machine uses.
pub(crate) fn nonce() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("nonce{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A folder that everybody may enter and write to.
pub(crate) fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    folder
}

/// The native program, as a file that everybody may execute, and that is gone when the test's thread is.
pub(crate) fn program() -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = {
            let folder = open_folder();
            let path = folder.path().join("probe");
            std::fs::write(&path, crucible_probe::PROBE).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            folder
        };
    }
    FOLDER.with(|folder| folder.path().join("probe"))
}

/// The folder of the suite's scenarios or Python probes.
pub(crate) fn suite(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crucible-attacks").join(name)
}

/// With whose rights a probe runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Nobody's.
    None,
    /// The test's own. For probes that get as parameters what the test made, and do nothing without.
    Own,
}

/// A call of the native program.
pub(crate) fn native(name: &str, nonce: &str) -> Command {
    let mut command = Command::new(program());
    command.args([name, nonce]);
    command
}

/// A call of a Python probe.
pub(crate) fn python(file: &str, nonce: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(suite("probes").join(file)).arg(nonce);
    command
}

/// A probe that was started.
pub(crate) struct Running {
    pub(crate) child: Child,
    nonce: String,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    pub(crate) output: Vec<u8>,
}

/// Starts a probe.
pub(crate) fn start(
    mut command: Command,
    nonce: &str,
    rights: Rights,
    folder: &Path,
    parameters: &[(&str, &str)],
) -> Running {
    let path = std::env::var("PATH").unwrap();
    command.env_clear().env("PATH", path).envs(parameters.iter().copied()).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    if rights == Rights::None && rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
    Running { child, nonce: nonce.to_owned(), stdin, stdout, output: Vec::new() }
}

impl Running {
    /// Reads on to the line that says that everything was tried.
    pub(crate) fn until_tried(mut self) -> Self {
        let line = format!("tried {}\n", self.nonce);
        loop {
            let start = self.output.len();
            let read = self.stdout.read_until(b'\n', &mut self.output).unwrap();
            assert_ne!(read, 0, "it ended without a word: {}", String::from_utf8_lossy(&self.output));
            if self.output.get(start..) == Some(line.as_bytes()) {
                return self;
            }
        }
    }

    /// Whether it is still there.
    pub(crate) fn is_holding(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Lets it go, and sees that it says no more and ends.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<u8>) {
        drop(self.stdin.take());
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        let rest = String::from_utf8_lossy(&rest);
        assert_eq!(rest, "", "something follows the last line after {}", String::from_utf8_lossy(&self.output));
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.output);
            }
            assert!(Instant::now() < deadline, "it doesn't end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The kernel's answers that it told.
    pub(crate) fn answers(&self) -> Vec<String> {
        let output = String::from_utf8_lossy(&self.output).into_owned();
        output.lines().filter_map(|line| line.strip_prefix("errno ")).map(str::to_owned).collect()
    }

    /// What its descriptors lead to.
    pub(crate) fn descriptors(&self) -> Vec<String> {
        let folder = format!("/proc/{}/fd", self.child.id());
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        entries.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string())).collect()
    }
}

/// The numbers of the processes that have the nonce in their command line.
pub(crate) fn processes_of(nonce: &str) -> Vec<i32> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == nonce.as_bytes())
    };
    numbers.filter(has).collect()
}

/// Removes what probes of mounts and devices leave in folders that everybody may write to.
pub(crate) fn remove_traces(nonce: &str) {
    for folder in ["/tmp", "/dev/shm", "/work"] {
        let folder = Path::new(folder).join(nonce);
        for name in ["null", "whiteout"] {
            drop(std::fs::remove_file(folder.join(name)));
        }
        drop(std::fs::remove_dir(folder));
    }
}
