//! A leaky sandbox: plain processes of the host in a temporary folder.

use super::Leak;
use super::files::Files;
use super::processes;
use super::streams::{HeldBack, Input};
use async_trait::async_trait;
use crucible_core::{
    BehaviorKind, Command, CommandControl, Counters, Error, ErrorKind, Execution, ExitStatus, FileContent, FileEntry,
    FileKind, GuestPath, Layers, LiveFeature, Loss, Monitoring, Observation, Observed, Observer, Posture,
    ProcessHandle, Readiness, Result, Sandbox, SandboxId, SeesNothing, Signal, Source, TerminalSize, Touched,
    TripwireWatch, Uncontrolled, WatchedPlace,
};
use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio::sync::Mutex as AsyncMutex;

type Running = Arc<AsyncMutex<Child>>;

/// Plain processes in a temporary folder.
pub(super) struct LeakySandbox {
    id: SandboxId,
    leak: Leak,
    layers: Layers,
    folder: Arc<TempDir>,
    interpreter: Option<String>,
    started: Mutex<Vec<Running>>,
    kept: Mutex<Vec<OwnedFd>>,
    folders: Mutex<Vec<TempDir>>,
    ended: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(operation: &'static str, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Infrastructure,
    };
    Error::new(kind, operation, error.to_string())
}

impl LeakySandbox {
    pub(super) fn new(
        id: SandboxId,
        leak: Leak,
        layers: Layers,
        folder: Arc<TempDir>,
        interpreter: Option<String>,
    ) -> Self {
        let (started, kept, folders) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { id, leak, layers, folder, interpreter, started, kept, folders, ended: AtomicBool::new(false) }
    }

    fn files(&self) -> Files<'_> {
        Files { folder: self.folder.path(), leak: self.leak }
    }

    fn has(&self, leak: Leak) -> bool {
        self.leak == leak
    }

    /// Whether it lets through what it doesn't do.
    fn pretends(&self) -> bool {
        matches!(self.leak, Leak::LivePretended | Leak::RefusalsForgotten)
    }

    fn spawn(&self, argv: &[String], command: &Command) -> Result<Child> {
        let (program, arguments) = argv
            .split_first()
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "start the command", "there is no command"))?;
        let mut process = tokio::process::Command::new(program);
        if self.has(Leak::ArgumentsJoined) {
            let joined = arguments.join(" ");
            let (options, rest) = joined.split_at(joined.find("-c ").map_or(0, |at| at + 3));
            process.args(options.split(' ').filter(|part| !part.is_empty()));
            let script_length =
                arguments.iter().position(|argument| argument == "-c").and_then(|at| arguments.get(at + 1));
            let (script, rest) = rest.split_at(script_length.map_or(0, String::len));
            process.arg(script).args(rest.split(' ').filter(|part| !part.is_empty()));
        } else {
            process.args(arguments);
        }
        if !self.has(Leak::EnvironmentInherited) {
            process.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        }
        process.envs(&command.env).env(processes::MARK, self.id.to_string());
        let folder = match self.leak {
            Leak::FolderIgnored => "/".into(),
            Leak::FilesForgotten => {
                let own = tempfile::tempdir().map_err(|error| failed("make a folder", error))?;
                let path = own.path().to_owned();
                lock(&self.folders).push(own);
                path
            }
            _ => self.files().on_host(&command.directory),
        };
        process.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process.spawn().map_err(|error| failed("start the command", error))
    }

    fn end_all(&self) {
        if self.has(Leak::EverythingSurvives) {
            return;
        }
        if self.has(Leak::DaemonsSurvive) {
            for child in lock(&self.started).iter() {
                // One that somebody waits for is ended by nobody: this is a leak, after all.
                let _ = child.try_lock().map(|mut child| child.start_kill());
            }
        } else {
            processes::end(self.id);
        }
    }
}

#[async_trait]
impl Sandbox for LeakySandbox {
    fn id(&self) -> SandboxId {
        self.id
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn interpreter(&self) -> Option<&str> {
        self.interpreter.as_deref()
    }

    async fn exec(&self, command: Command) -> Result<Execution> {
        if !self.pretends() {
            command.check(&BTreeSet::new())?;
        }
        if self.has(Leak::EndIsFinal) && self.ended.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Infrastructure, "start the command", "the sandbox is over"));
        }
        if self.has(Leak::OneAtATime) {
            let before = lock(&self.started).last().map(Arc::clone);
            if let Some(before) = before {
                before.lock().await.wait().await.map_err(|error| failed("wait", error))?;
            }
        }
        // Not marked to be closed: a duplicate made this way is inherited.
        let inherited = self.has(Leak::DescriptorInherited).then(|| rustix::io::dup(std::io::stderr()));
        let mut child = match self.spawn(&command.argv, &command) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.has(Leak::MissingProgramsAccepted) => {
                self.spawn(&["/bin/sh".to_owned(), "-c".to_owned(), "exit 127".to_owned()], &command)?
            }
            other => other?,
        };
        drop(inherited);
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::new(ErrorKind::Infrastructure, "start the command", "it has no pipes"));
        };
        if self.has(Leak::InputNeverEnds) {
            lock(&self.kept).extend(stdin.as_fd().try_clone_to_owned());
        }
        let child = Arc::new(AsyncMutex::new(child));
        lock(&self.started).push(Arc::clone(&child));
        let (stdout, stderr): (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncRead + Send + Unpin>) = match self.leak {
            Leak::OutputHeldBack => {
                (Box::new(HeldBack { pipe: stdout, kept: Vec::new(), given: None }), Box::new(stderr))
            }
            Leak::StreamsMerged => (Box::new(stdout.chain(stderr)), Box::new(tokio::io::empty())),
            _ => (Box::new(stdout), Box::new(stderr)),
        };
        let process = LeakyProcess { child: Some(child), leak: self.leak, sandbox: self.id };
        let stdin = Box::new(Input { pipe: stdin, leak: self.leak, passed: 0 });
        Ok(Execution { stdin, stdout, stderr, process: Box::new(process), readiness: Readiness::Bare })
    }

    async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await.map_err(|error| failed("write a file", error))?;
        self.files().write(path, &bytes, executable)
    }

    async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        self.files().read(path)
    }

    async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        self.files().list(path)
    }

    async fn stat(&self, path: &GuestPath) -> Result<FileEntry> {
        if !self.pretends() {
            return Err(LiveFeature::Files.refusal("look at a file"));
        }
        Ok(FileEntry { name: path.as_str().as_bytes().to_vec(), kind: FileKind::File, size: 0 })
    }

    async fn remove(&self, _path: &GuestPath) -> Result<()> {
        if self.pretends() { Ok(()) } else { Err(LiveFeature::Files.refusal("remove a file")) }
    }

    async fn fork(&self, id: SandboxId) -> Result<Box<dyn Sandbox>> {
        if !self.pretends() {
            return Err(LiveFeature::Forks.refusal("fork"));
        }
        let folder = tempfile::tempdir().map_err(|error| failed("make a folder", error))?;
        let (layers, interpreter) = (self.layers.clone(), self.interpreter.clone());
        Ok(Box::new(Self::new(id, self.leak, layers, Arc::new(folder), interpreter)))
    }

    async fn end_processes(&self) -> Result<()> {
        self.end_all();
        self.ended.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn counters(&self) -> Result<Counters> {
        Ok(Counters {
            processes: u64::try_from(processes::of(self.id).len()).ok(),
            out_of_memory_kills: u64::from(self.has(Leak::CrashesAreOutOfMemory)),
            memory_peak_bytes: self.has(Leak::PeakMadeUp).then_some(1),
            ..Counters::default()
        })
    }

    async fn posture(&self) -> Result<Posture> {
        Ok(Posture { facts: Vec::new() })
    }

    async fn posture_again(&self) -> Result<Posture> {
        self.posture().await
    }

    async fn watch(&self, places: &[WatchedPlace]) -> Result<Box<dyn TripwireWatch>> {
        Ok(Box::new(Blind(places.len())))
    }

    async fn observe(&self) -> Result<Box<dyn Observer>> {
        Ok(match self.leak {
            Leak::SightingsMadeUp => Box::new(SeesThings),
            _ => Box::new(SeesNothing::default()),
        })
    }

    fn loss(&self) -> Option<Loss> {
        None
    }

    async fn destroy(self: Box<Self>) -> Result<()> {
        self.end_all();
        Ok(())
    }
}

impl Drop for LeakySandbox {
    fn drop(&mut self) {
        self.end_all();
    }
}

/// Sees nothing of so many places.
struct Blind(usize);

impl TripwireWatch for Blind {
    fn touched(&mut self) -> Vec<Option<Touched>> {
        vec![None; self.0]
    }
}

struct LeakyProcess {
    child: Option<Running>,
    leak: Leak,
    sandbox: SandboxId,
}

#[async_trait]
impl ProcessHandle for LeakyProcess {
    async fn wait(&mut self) -> Result<ExitStatus> {
        let child = match self.leak {
            Leak::WaitsLost => self.child.take(),
            _ => self.child.clone(),
        };
        let Some(child) = child else { return Ok(ExitStatus::SandboxLost) };
        let status = child.lock().await.wait().await.map_err(|error| failed("wait", error))?;
        while self.leak == Leak::ChildrenWaitedFor && !processes::of(self.sandbox).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(match (status.code(), status.signal(), self.leak) {
            (Some(code), _, Leak::ExitCodesChanged) => ExitStatus::Exited(code + 1),
            (Some(code), ..) => ExitStatus::Exited(code),
            (None, Some(signal), Leak::SignalsHidden) => ExitStatus::Exited(128 + signal),
            (None, Some(signal), _) => ExitStatus::Signaled(signal),
            (None, None, _) => ExitStatus::SandboxLost,
        })
    }

    fn control(&self) -> Arc<dyn CommandControl> {
        match self.leak {
            Leak::LivePretended => Arc::new(Pretending),
            _ => Arc::new(Uncontrolled),
        }
    }
}

/// Says that everything was done.
struct Pretending;

#[async_trait]
impl CommandControl for Pretending {
    async fn signal(&self, _signal: Signal) -> Result<()> {
        Ok(())
    }

    async fn end_tree(&self) -> Result<()> {
        Ok(())
    }

    async fn resize(&self, _size: TerminalSize) -> Result<()> {
        Ok(())
    }
}

/// Tells of something that nobody did.
struct SeesThings;

#[async_trait]
impl Observer for SeesThings {
    async fn next(&mut self) -> Observation {
        std::future::pending().await
    }

    fn monitoring(&self) -> &Monitoring {
        static NOTHING: Monitoring = Monitoring::new();
        &NOTHING
    }

    fn seen(&mut self) -> Vec<Observed> {
        let (kind, name, source) = (BehaviorKind::SyscallDenied, "ptrace".to_owned(), Source::Host);
        vec![Observed { first: Observation { kind, name, source, at: std::time::Instant::now() }, count: 1 }]
    }
}
