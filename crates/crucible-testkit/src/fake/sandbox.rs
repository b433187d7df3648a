//! A fake sandbox and its scripted guest.

use super::ledger::Ledger;
use super::observer::{FakeObserver, Sight};
use super::script::{FakeFile, Fault, Script, Step};
use super::switches::Switches;
use async_trait::async_trait;
use crucible_core::{
    Capabilities, Command, Counters, Error, ErrorKind, Execution, ExitStatus, FileContent, FileEntry, FileKind,
    GuestPath, Layers, LiveFeature, Loss, Monitoring, Observation, Observer, Posture, PostureFact, PostureState,
    ProcessHandle, Readiness, Result, Sandbox, SandboxId, SandboxRequest, Stream, Touched, TripwireWatch, WatchedPlace,
};
use std::collections::{BTreeMap, BTreeSet};
use std::future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PIPE: usize = 64 << 10;

#[derive(Default)]
struct State {
    counters: Counters,
    burning: Option<(Instant, u32)>,
    lost: Option<Loss>,
    watched: Vec<(WatchedPlace, Option<Touched>)>,
    held: Vec<DuplexStream>,
    leaked: Vec<DuplexStream>,
    guests: Vec<JoinHandle<()>>,
    ends: Vec<watch::Sender<Option<ExitStatus>>>,
}

impl State {
    /// Processor time that a burning process used until now is booked.
    fn book_cpu(&mut self) {
        if let Some((since, processors)) = self.burning {
            let now = Instant::now();
            self.counters.cpu += (now - since) * processors;
            self.burning = Some((now, processors));
        }
    }

    fn living(&self) -> usize {
        self.held.len() + self.ends.iter().filter(|end| end.borrow().is_none()).count()
    }

    /// Every process is dead, by signal 9 if it was alive.
    fn end_all(&mut self) {
        self.book_cpu();
        self.burning = None;
        self.guests.drain(..).for_each(|guest| guest.abort());
        for end in self.ends.drain(..) {
            end.send_if_modified(|status| status.is_none() && status.replace(ExitStatus::Signaled(9)).is_none());
        }
    }
}

/// A sandbox in memory.
pub(super) struct FakeSandbox {
    id: SandboxId,
    layers: Layers,
    interpreter: Option<String>,
    script: Script,
    left: BTreeMap<Vec<u8>, FakeFile>,
    ledger: Arc<Ledger>,
    state: Arc<Mutex<State>>,
    sight: Arc<Sight>,
    monitoring: Monitoring,
    features: BTreeSet<LiveFeature>,
    readiness: Readiness,
    switches: Arc<Switches>,
    former_runs: u32,
    destroyed: bool,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failure(what: &'static str) -> Error {
    Error::new(ErrorKind::Infrastructure, what, format!("the fake could not {what}"))
}

impl FakeSandbox {
    pub(super) fn new(
        request: &SandboxRequest,
        can: &Capabilities,
        layers: Layers,
        script: Script,
        ledger: Arc<Ledger>,
        switches: Arc<Switches>,
    ) -> Self {
        let state = State { counters: script.counters.clone(), ..State::default() };
        let interpreter = request.language.as_ref().map(|_| "/usr/bin/fake".to_owned());
        let state = Arc::new(Mutex::new(state));
        let readiness = if request.readiness == script.readiness { script.readiness } else { Readiness::Bare };
        let left = script.files.iter().cloned().collect();
        Self {
            id: request.id,
            layers,
            interpreter,
            script,
            left,
            ledger,
            state,
            sight: Arc::default(),
            monitoring: can.monitoring.clone(),
            features: can.live.clone(),
            readiness,
            switches,
            former_runs: 0,
            destroyed: false,
        }
    }

    /// What the guest left, before what was put in.
    fn file(&self, path: &[u8]) -> Option<FakeFile> {
        self.left.get(path).cloned().or_else(|| {
            let path = GuestPath::parse(std::str::from_utf8(path).ok()?).ok()?;
            self.ledger.entries().written.get(&path).map(|(bytes, _)| FakeFile::Regular(bytes.clone()))
        })
    }

    fn files(&self) -> BTreeMap<Vec<u8>, FakeFile> {
        let written = self.ledger.entries().written.clone();
        let written =
            written.into_iter().map(|(path, (bytes, _))| (path.as_str().as_bytes().to_vec(), FakeFile::Regular(bytes)));
        written.chain(self.left.clone()).collect()
    }

    fn facts(&self, differs: Fault) -> Posture {
        let state = if self.script.has(differs) { PostureState::Differs } else { PostureState::AsPlanned };
        let mut facts =
            vec![PostureFact::new("fake", "yes", PostureState::AsPlanned), PostureFact::new("wall", "seen", state)];
        if self.script.has(Fault::PostureHidden) {
            facts.push(PostureFact::new("cellar", "can't be seen", PostureState::NotVisible));
        }
        Posture { facts }
    }

    fn look(&self) -> Result<()> {
        let state = locked(&self.state);
        if state.living() > 0 {
            self.ledger.entries().read_beside_living = true;
        }
        if state.lost.is_some() || self.script.has(Fault::Read) {
            return Err(failure("read a file"));
        }
        Ok(())
    }
}

#[async_trait]
impl Sandbox for FakeSandbox {
    fn id(&self) -> SandboxId {
        self.id
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn interpreter(&self) -> Option<&str> {
        self.interpreter.as_deref()
    }

    fn readiness(&self) -> Readiness {
        self.readiness
    }

    async fn exec(&self, command: Command) -> Result<Execution> {
        if self.script.has(Fault::ExecHangs) {
            future::pending::<()>().await;
        }
        if self.script.has(Fault::Exec) {
            return Err(failure("start the command"));
        }
        command.check(&self.features)?;
        let env = command.env.clone();
        let mut entries = self.ledger.entries();
        entries.commands.push(command);
        entries.used.push(self.id);
        drop(entries);
        let (host_stdin, stdin) = duplex(PIPE);
        let (host_stdout, stdout) = duplex(PIPE);
        let (host_stderr, stderr) = duplex(PIPE);
        let (end, ended) = watch::channel(None);
        let guest = Guest {
            stdin: Some(stdin),
            stdout: Some(stdout),
            stderr: Some(stderr),
            state: Arc::clone(&self.state),
            ledger: Arc::clone(&self.ledger),
            sight: Arc::clone(&self.sight),
            end: end.clone(),
            env,
        };
        let mut state = locked(&self.state);
        state.ends.push(end);
        state.guests.push(tokio::spawn(guest.act(self.script.clone())));
        let stdout: Box<dyn AsyncRead + Send + Unpin> = match self.script.has(Fault::StdoutBreaks) {
            true => Box::new(Broken),
            false => Box::new(host_stdout),
        };
        let process = Box::new(FakeProcess { ended, broken: self.script.has(Fault::Wait) });
        Ok(Execution {
            stdin: Box::new(host_stdin),
            stdout,
            stderr: Box::new(host_stderr),
            process,
            readiness: self.readiness,
        })
    }

    async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        if self.script.has(Fault::Write) {
            return Err(Error::new(ErrorKind::Refused, "write a file", "the fake's disk is full"));
        }
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await.map_err(|error| failure("write a file").with_source(error))?;
        self.ledger.entries().written.insert(path.clone(), (bytes, executable));
        Ok(())
    }

    async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        self.look()?;
        let refuse = || Err(Error::new(ErrorKind::Refused, "open a file", format!("{path} is not a regular file")));
        match self.file(path.as_str().as_bytes()) {
            Some(FakeFile::Regular(bytes)) => {
                let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let bytes: Box<dyn AsyncRead + Send + Unpin> = match self.script.has(Fault::ReadHangs) {
                    true => Box::new(Stuck),
                    false => Box::new(std::io::Cursor::new(bytes)),
                };
                Ok(FileContent { size, bytes })
            }
            Some(FakeFile::Growing { claimed }) => {
                Ok(FileContent { size: claimed, bytes: Box::new(tokio::io::repeat(b'x')) })
            }
            Some(FakeFile::Directory | FakeFile::Other) => refuse(),
            None if self.list_files(path).await.is_ok() => refuse(),
            None => Err(Error::new(ErrorKind::NotFound, "open a file", format!("there is no {path}"))),
        }
    }

    async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        self.look()?;
        let files = self.files();
        let folder = if path.as_str() == "/" { Vec::new() } else { path.as_str().as_bytes().to_vec() };
        let mut entries: BTreeMap<Vec<u8>, FileEntry> = BTreeMap::new();
        for (file_path, file) in &files {
            let Some(rest) = file_path.strip_prefix(folder.as_slice()).and_then(|rest| rest.strip_prefix(b"/")) else {
                continue;
            };
            let name = rest.split(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
            let (kind, size) = match file {
                _ if name.len() < rest.len() => (FileKind::Directory, 0),
                FakeFile::Regular(bytes) => (FileKind::File, u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
                FakeFile::Growing { claimed } => (FileKind::File, *claimed),
                FakeFile::Directory => (FileKind::Directory, 0),
                FakeFile::Other => (FileKind::Other, 0),
            };
            entries.insert(name.clone(), FileEntry { name, kind, size });
        }
        let exists = !entries.is_empty() || path.as_str() == GuestPath::WORK;
        match files.get(path.as_str().as_bytes()) {
            Some(FakeFile::Directory) => {}
            None if exists => {}
            None => return Err(Error::new(ErrorKind::NotFound, "list a folder", format!("there is no {path}"))),
            Some(_) => return Err(Error::new(ErrorKind::Refused, "list a folder", format!("{path} is no folder"))),
        }
        Ok(entries.into_values().collect())
    }

    async fn end_processes(&self) -> Result<()> {
        if self.script.has(Fault::EndProcessesHangs) {
            future::pending::<()>().await;
        }
        if self.script.has(Fault::EndProcesses) || locked(&self.state).lost.is_some() {
            return Err(failure("end the processes"));
        }
        let mut state = locked(&self.state);
        state.end_all();
        let held = std::mem::take(&mut state.held);
        if self.script.has(Fault::PipesStayOpen) {
            state.leaked = held;
        }
        Ok(())
    }

    async fn counters(&self) -> Result<Counters> {
        self.ledger.entries().counters_read += 1;
        if self.script.has(Fault::Counters) {
            return Err(failure("read the counters"));
        }
        let mut state = locked(&self.state);
        state.book_cpu();
        let mut counters = state.counters.clone();
        counters.processes = counters.processes.and(u64::try_from(state.living()).ok());
        Ok(counters)
    }

    async fn posture(&self) -> Result<Posture> {
        self.ledger.entries().looked_at += 1;
        if self.script.has(Fault::PostureUnreadable) {
            return Err(failure("look at the sandbox from outside"));
        }
        if self.script.has(Fault::PostureEmpty) {
            return Ok(Posture::default());
        }
        Ok(self.facts(Fault::PostureDiffers))
    }

    async fn posture_again(&self) -> Result<Posture> {
        if self.script.has(Fault::PostureUnreadableAfter) || locked(&self.state).lost.is_some() {
            return Err(failure("look at the sandbox from outside"));
        }
        Ok(self.facts(Fault::PostureDiffersAfter))
    }

    async fn watch(&self, places: &[WatchedPlace]) -> Result<Box<dyn TripwireWatch>> {
        if self.script.has(Fault::Watch) {
            return Err(failure("watch a place"));
        }
        locked(&self.state).watched = places.iter().map(|place| (place.clone(), None)).collect();
        Ok(Box::new(FakeWatch(Arc::clone(&self.state))))
    }

    async fn observe(&self) -> Result<Box<dyn Observer>> {
        if self.script.has(Fault::Observe) {
            return Err(failure("watch what the guest does"));
        }
        for observation in self.script.observations.clone() {
            self.sight.add(observation);
        }
        Ok(Box::new(FakeObserver::new(Arc::clone(&self.sight), self.monitoring.clone())))
    }

    fn loss(&self) -> Option<Loss> {
        locked(&self.state).lost.or_else(|| self.switches.loss_of(self.id))
    }

    fn former_runs(&self) -> u32 {
        self.former_runs
    }

    fn may_be_renewed(&self) -> bool {
        self.script.renews
    }

    async fn renew(mut self: Box<Self>, id: SandboxId) -> Result<Option<Box<dyn Sandbox>>> {
        if !self.script.renews || self.loss().is_some() {
            return self.destroy().await.map(|()| None);
        }
        self.id = id;
        self.former_runs += 1;
        *locked(&self.state) = State { counters: self.script.counters.clone(), ..State::default() };
        Ok(Some(self))
    }

    async fn destroy(mut self: Box<Self>) -> Result<()> {
        if self.script.has(Fault::DestroyHangs) {
            future::pending::<()>().await;
        }
        let done = self.switches.destroy().await;
        self.destroyed = true;
        self.ledger.entries().destroyed += 1;
        if self.script.has(Fault::Destroy) {
            return Err(failure("destroy the sandbox"));
        }
        done
    }
}

impl Drop for FakeSandbox {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        state.end_all();
        state.held.clear();
        state.leaked.clear();
        if !self.destroyed {
            self.ledger.entries().dropped += 1;
        }
    }
}

struct FakeWatch(Arc<Mutex<State>>);

impl TripwireWatch for FakeWatch {
    fn touched(&mut self) -> Vec<Option<Touched>> {
        locked(&self.0).watched.iter().map(|(_, touched)| *touched).collect()
    }
}

struct FakeProcess {
    ended: watch::Receiver<Option<ExitStatus>>,
    broken: bool,
}

#[async_trait]
impl ProcessHandle for FakeProcess {
    async fn wait(&mut self) -> Result<ExitStatus> {
        if self.broken {
            return Err(failure("wait for the process"));
        }
        let ended = self.ended.wait_for(Option::is_some).await.map_err(|_| failure("wait for the process"))?;
        ended.ok_or_else(|| failure("wait for the process"))
    }
}

/// The main process of a fake sandbox.
struct Guest {
    stdin: Option<DuplexStream>,
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
    state: Arc<Mutex<State>>,
    ledger: Arc<Ledger>,
    sight: Arc<Sight>,
    end: watch::Sender<Option<ExitStatus>>,
    env: BTreeMap<String, String>,
}

impl Guest {
    async fn act(mut self, script: Script) {
        let mut status = ExitStatus::Exited(0);
        for step in script.steps {
            match step {
                Step::Write(stream, bytes) => self.write(stream, &bytes).await,
                Step::Flood(stream) => loop {
                    self.write(stream, &[b'y'; 4096]).await;
                    self.ledger.entries().flooded += 4096;
                },
                Step::ReadStdin => {
                    let bytes = self.read_stdin().await;
                    self.ledger.entries().stdin.extend(bytes);
                }
                Step::EchoStdin => {
                    let bytes = self.read_stdin().await;
                    self.write(Stream::Stdout, &bytes).await;
                }
                Step::UseCpu(time) => locked(&self.state).counters.cpu += time,
                Step::BurnCpu(processors) => {
                    let mut state = locked(&self.state);
                    state.book_cpu();
                    state.burning = Some((Instant::now(), processors));
                }
                Step::HoldOpen(stream) => {
                    let held = match stream {
                        Stream::Stdout => self.stdout.take(),
                        Stream::Stderr => self.stderr.take(),
                    };
                    locked(&self.state).held.extend(held);
                }
                Step::MeetLimit(limit) => {
                    locked(&self.state).counters.refused.insert(limit);
                }
                Step::LoseProcessToMemory => locked(&self.state).counters.out_of_memory_kills += 1,
                Step::CloseStdin => self.stdin = None,
                Step::WaitForever => future::pending().await,
                Step::Exit(code) => {
                    status = ExitStatus::Exited(code);
                    break;
                }
                Step::Signal(signal) => {
                    status = ExitStatus::Signaled(signal);
                    break;
                }
                Step::Touch(path, how) => {
                    let mut state = locked(&self.state);
                    let is_it = |place: &WatchedPlace| match place {
                        WatchedPlace::File(watched) | WatchedPlace::Listener(watched) => *watched == path,
                    };
                    for (_, touched) in state.watched.iter_mut().filter(|(place, _)| is_it(place)) {
                        touched.get_or_insert(Touched { how, at: std::time::Instant::now() });
                    }
                }
                Step::Behave(kind, source, name) => {
                    self.sight.add(Observation { kind, name, source, at: std::time::Instant::now() });
                }
                Step::WriteVariable(stream, name) => {
                    let value = self.env.get(&name).cloned().unwrap_or_default();
                    self.write(stream, value.as_bytes()).await;
                }
                Step::KeepVariable(name, path) => {
                    let value = self.env.get(&name).cloned().unwrap_or_default();
                    self.ledger.entries().written.insert(path, (value.into_bytes(), false));
                }
                Step::LoseSandbox(loss) => {
                    locked(&self.state).lost = Some(loss);
                    status = ExitStatus::SandboxLost;
                    break;
                }
            }
        }
        let mut state = locked(&self.state);
        state.book_cpu();
        state.burning = None;
        drop(state);
        self.end.send_replace(Some(status));
    }

    async fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let pipe = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if let Some(pipe) = pipe {
            // A reader that went away is the caller's right; the script goes on.
            let _ = pipe.write_all(bytes).await;
        }
    }

    async fn read_stdin(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(stdin) = &mut self.stdin {
            // What came until the pipe broke is what was read.
            let _ = stdin.read_to_end(&mut bytes).await;
        }
        bytes
    }
}

/// A reader that fails.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()))
    }
}

/// A reader that never gives anything.
struct Stuck;

impl AsyncRead for Stuck {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}
