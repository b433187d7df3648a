//! The program `runsc`: where it is, which version it has, and how it is called.

use super::GvisorConfig;
use crate::native::start_error;
use crucible_core::{Error, ErrorKind, HostPath, Result};
use crucible_jail::host::cgroup::Cgroup;
use crucible_jail::host::{Command, Launcher, Running, Started};
use crucible_jail::plan::{Orphans, SandboxPlan, WORK};
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

/// The most bytes that are taken of what it says.
const MOST_SAID: u64 = 8 << 10;

const HINT: &str = "install gVisor's runsc (Debian 12: the package runsc of bookworm-backports), or name it by \
                    gvisor.runsc in the configuration";

/// Where the program is.
///
/// # Errors
/// `Unavailable` where it isn't.
pub(super) fn find(config: &GvisorConfig) -> Result<PathBuf> {
    let operation = "find runsc";
    let is_program = |path: &Path| {
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
            && path.metadata().is_ok_and(|found| found.is_file())
    };
    if let Some(named) = &config.runsc {
        if is_program(named.as_path()) {
            return Ok(named.as_path().to_owned());
        }
        let message = format!("{} is no program that can be run", named.as_path().display());
        return Err(Error::new(ErrorKind::Unavailable, operation, message).with_hint(HINT));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("runsc"))
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, operation, "there is no program runsc in PATH").with_hint(HINT)
        })
}

/// A process of this machine that is the top of a tree, to be ended whole.
pub(super) struct Top {
    pub(super) started: Started,
    pub(super) running: Running,
}

/// Starts a program in a folder, below an init that adopts its orphans and ends everything when this process is gone.
///
/// # Errors
/// `Unavailable` or `Infrastructure` where it can't be started.
pub(super) async fn start(
    launcher: &Launcher,
    argv: Vec<String>,
    folder: &str,
    cgroup: Option<&Cgroup>,
) -> Result<Top> {
    let operation = "start runsc";
    let plan = SandboxPlan::Bare { directory: folder.to_owned() };
    let started = launcher.start_sandbox(plan, &[]).await.map_err(|error| start_error(operation, error))?;
    if let Some(cgroup) = cgroup {
        cgroup.admit(started.pid).map_err(|error| start_error("enter the sandbox's control group", error))?;
    }
    let command = Command {
        argv,
        // It looks for nothing of its own but helpers.
        env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
        user: None,
        directory: WORK.to_owned(),
        limits: Vec::new(),
        // gVisor would show them inside.
        reopens: false,
        orphans: Orphans::ToInit,
        terminal: None,
    };
    let running = started.sandbox.exec(command).await.map_err(|error| start_error(operation, error))?;
    Ok(Top { started, running })
}

/// What the program says of its version.
///
/// # Errors
/// `Unavailable` where it says nothing of the kind.
pub(super) async fn version(launcher: &Launcher, program: &Path) -> Result<String> {
    let operation = "ask runsc for its version";
    let folder = std::env::temp_dir();
    let argv = vec![text(program)?, "--version".to_owned()];
    let Top { started, mut running } = start(launcher, argv, &text(&folder)?, None).await?;
    let mut said = String::new();
    let read = (&mut running.stdout).take(MOST_SAID).read_to_string(&mut said).await;
    drop(started);
    let version = said.lines().find_map(|line| line.strip_prefix("runsc version "));
    let version: Option<String> =
        version.map(|version| version.trim().chars().filter(|c| !c.is_control()).take(100).collect());
    version.filter(|version| !version.is_empty() && read.is_ok()).ok_or_else(|| {
        let message = format!("{} doesn't tell a version of gVisor", program.display());
        Error::new(ErrorKind::Unavailable, operation, message).with_hint(HINT)
    })
}

/// Everything that decides how sandboxes are made.
#[derive(Clone, Debug)]
pub(super) struct Runsc {
    pub(super) program: String,
    pub(super) version: String,
    /// SHA-256 of the program, in hexadecimal.
    pub(super) digest: String,
    pub(super) platform: String,
    pub(super) owner: RunBy,
}

/// Who runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunBy {
    /// Root, so that its kernel runs as nobody.
    Root,
    /// An ordinary user, so that its kernel runs as that user.
    Ordinary,
}

impl RunBy {
    pub(super) fn this_process() -> Self {
        if rustix::process::geteuid().is_root() { Self::Root } else { Self::Ordinary }
    }
}

impl Runsc {
    /// The flags, which are in the record: all of what a sandbox gets that isn't in its bundle.
    pub(super) fn flags(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--platform={}", self.platform),
            // No interface but its own loopback.
            "--network=none".to_owned(),
            // Limits are ours: it is started in a control group.
            "--ignore-cgroups".to_owned(),
            // The root is read-only, and what can be written is a bounded file system of the agent's making.
            "--overlay2=none".to_owned(),
            // Files of the host are opened by another process than the guest's kernel, which so needs no right to.
            "--directfs=false".to_owned(),
            // Nothing that the guest sees of the host changes while it runs.
            "--file-access=exclusive".to_owned(),
            "--file-access-mounts=exclusive".to_owned(),
            "--host-uds=none".to_owned(),
            "--host-fifo=none".to_owned(),
        ];
        if self.owner == RunBy::Ordinary {
            flags.push("--rootless".to_owned());
        }
        flags
    }

    /// The command line that makes and runs a bundle, with its state in a folder of its own.
    pub(super) fn run(&self, state: &str, bundle: &str, id: &str) -> Vec<String> {
        let mut argv = vec![self.program.clone(), format!("--root={state}")];
        argv.extend(self.flags());
        argv.extend(["run", "--bundle", bundle, id].map(str::to_owned));
        argv
    }
}

/// The digest of a program.
///
/// # Errors
/// Those of reading it.
pub(super) fn digest(program: &Path) -> io::Result<String> {
    use sha2::{Digest, Sha256};
    let mut file = std::fs::File::open(program)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut piece)? {
            0 => break,
            count => hasher.update(piece.get(..count).unwrap_or_default()),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A path as text.
pub(super) fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::Unavailable, "name a file", format!("{} isn't named in UTF-8", path.display()))
    })
}

/// A folder as a host path's text.
pub(super) fn folder_of(path: Option<&HostPath>) -> Option<&Path> {
    path.map(HostPath::as_path)
}
