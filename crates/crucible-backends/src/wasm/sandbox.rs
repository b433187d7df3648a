//! A sandbox whose commands are WebAssembly: the jail's, with a worker around every command. One worker may wait for the
//! first command before that is known.

use super::backend::WORKER;
use super::config::WorkerProgram;
use super::program::{self, MountedRuntime};
use super::protocol::{Code, Imports, LONGEST_REFUSAL, Order, READY, REFUSED, Refusal, Setting, Start, Task, Why};
use super::waiting::Waiting;
use crate::native::Baseline;
use crate::native::NativeSandbox;
use async_trait::async_trait;
use crucible_core::{
    Command, Counters, Error, ErrorKind, Execution, ExitStatus, FileContent, FileEntry, GuestPath, Layers, Limits,
    LiveFeature, Loss, Observer, Posture, Readiness, Result, Sandbox, SandboxId, Tree, TripwireWatch, WatchedPlace,
};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

const START: &str = "start the command";
/// How long a worker may take to compile and link what the guest brought. Its processor time is limited, too.
const PATIENCE: Duration = Duration::from_secs(50);
/// What the kernel ends a process with that has used up its processor time.
const SIGXCPU: i32 = 24;

/// What every program finds in its environment, unless it is given something else.
const VARIABLES: [(&str, &str); 4] =
    [("HOME", GuestPath::WORK), ("TMPDIR", GuestPath::WORK), ("USER", "guest"), ("LANG", "C.UTF-8")];

/// A sandbox whose commands are WebAssembly.
pub(super) struct WasmSandbox {
    pub(super) place: NativeSandbox,
    pub(super) layers: Layers,
    pub(super) interpreter: Option<String>,
    pub(super) runtimes: Vec<MountedRuntime>,
    pub(super) worker: WorkerProgram,
    pub(super) limits: Limits,
    pub(super) memory: MemoryHeldBy,
    pub(super) imports: Imports,
    pub(super) features: BTreeSet<LiveFeature>,
    /// The worker that waits for the first command.
    pub(super) waiting: Mutex<Option<Waiting>>,
    /// What that has used before it had its order.
    pub(super) baseline: Mutex<Baseline>,
}

/// What the process around a command starts with.
struct Setup {
    directory: GuestPath,
    tree: Tree,
}

/// Who holds the limit on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MemoryHeldBy {
    /// A control group: what goes beyond it is ended, and told by the kernel.
    Kernel,
    /// The worker, and the kernel for each process: what goes beyond it is refused, and the guest sees that.
    Worker,
}

/// What starts the worker for a task, with variables and arguments of the guest's.
pub(super) fn worker_command(
    worker: &WorkerProgram,
    task: &Task,
    variables: &[(String, String)],
    arguments: &[String],
) -> Result<Command> {
    let task = serde_json::to_string(task).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, START, "the worker's task can't be written").with_source(error)
    })?;
    let argv = std::iter::once(WORKER.to_owned())
        .chain(worker.arguments.iter().cloned())
        .chain([task, variables.len().to_string()])
        .chain(variables.iter().map(|(name, value)| format!("{name}={value}")))
        .chain(arguments.iter().cloned())
        .collect();
    // None of the guest's variables is one of the worker's own.
    Ok(Command { argv, ..Command::default() })
}

impl WasmSandbox {
    fn setting(&self, code: Code) -> Setting {
        Setting {
            code,
            stack: self.limits.stack.get(),
            memory: (self.memory == MemoryHeldBy::Worker).then(|| self.limits.memory.get()),
            imports: self.imports,
        }
    }

    fn order(&self, command: Command) -> (Setup, Order) {
        let Command { argv, mut env, directory, tree, user: _, terminal: _ } = command;
        for (name, value) in VARIABLES {
            env.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let start = Start {
            directory: directory.as_str().to_owned(),
            cpu_milliseconds: u64::try_from(self.limits.cpu_time.get().as_millis()).unwrap_or(u64::MAX),
        };
        (Setup { directory, tree }, Order { start, variables: env.into_iter().collect(), arguments: argv })
    }

    /// Starts the worker that waits for the first command. Where that can't be, the sandbox is as it would be without.
    ///
    /// # Errors
    /// `Infrastructure` where the sandbox is lost.
    pub(super) async fn make_ready(&mut self) -> Result<()> {
        let Some(runtime) = self.runtimes.first() else { return Ok(()) };
        let setting = self.setting(runtime.likely());
        let command = worker_command(&self.worker, &Task::Wait(setting.clone()), &[], &[])?;
        let waiting = Waiting::begin(self.place.exec(command).await?, setting).await;
        self.baseline = Mutex::new(Baseline::of(&self.place.counters().await?));
        self.waiting = Mutex::new(waiting);
        Ok(())
    }

    fn take_waiting(&self) -> Option<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn baseline(&self) -> Baseline {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the worker's first word, which it says before the guest's first instruction.
    async fn hear_of_start(&self, mut execution: Execution, kills_before: u64) -> Result<Execution> {
        let mut word = [0];
        let heard = tokio::time::timeout(PATIENCE, execution.stdout.read(&mut word)).await;
        match heard {
            Ok(Ok(1..)) if word == [READY] => Ok(execution),
            Ok(Ok(1..)) if word == [REFUSED] => Err(refused(&mut execution.stdout).await),
            Err(_) => {
                let message = format!("the program was not compiled and linked within {} seconds", PATIENCE.as_secs());
                Err(Error::new(ErrorKind::InvalidInput, START, message)
                    .with_hint("give a smaller program, or one that was built with less inlining"))
            }
            Ok(Ok(_) | Err(_)) => {
                let status = execution.process.wait().await?;
                let kills = self.place.counters().await?.out_of_memory_kills;
                // The guest's limits were too little for its own program: that is its end, which the counters explain.
                if kills > kills_before || status == ExitStatus::Signaled(SIGXCPU) {
                    return Ok(execution);
                }
                if status == ExitStatus::SandboxLost {
                    return Ok(execution);
                }
                let words = said(&mut execution.stderr).await;
                let message = format!("the worker ended before it started the program: {status:?} {words}");
                Err(Error::new(ErrorKind::Infrastructure, START, message)
                    .with_hint("`crucible self-test` says whether workers can run here at all"))
            }
        }
    }
}

/// What a worker says when it won't start a program.
async fn refused(stdout: &mut (dyn AsyncRead + Send + Unpin)) -> Error {
    let mut text = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stdout.take(LONGEST_REFUSAL).read_to_end(&mut text)).await;
    let refusal = read.ok().and_then(std::result::Result::ok).and_then(|_| serde_json::from_slice(&text).ok());
    let Some(Refusal { why, message, hint }) = refusal else {
        return Error::new(ErrorKind::Infrastructure, START, "the worker gave an answer that can't be read");
    };
    let kind = match why {
        Why::Program => ErrorKind::InvalidInput,
        Why::Missing => ErrorKind::NotFound,
        Why::Worker => ErrorKind::Infrastructure,
    };
    let error = Error::new(kind, START, message);
    if hint.is_empty() { error } else { error.with_hint(hint) }
}

async fn said(stderr: &mut (dyn AsyncRead + Send + Unpin)) -> String {
    let mut words = Vec::new();
    let mut stderr = stderr.take(LONGEST_REFUSAL);
    let _in_time = tokio::time::timeout(Duration::from_secs(1), stderr.read_to_end(&mut words)).await.is_ok();
    String::from_utf8_lossy(&words).chars().filter(|char| !char.is_control()).take(300).collect()
}

#[async_trait]
impl Sandbox for WasmSandbox {
    fn id(&self) -> SandboxId {
        self.place.id()
    }

    fn layers(&self) -> &Layers {
        &self.layers
    }

    fn interpreter(&self) -> Option<&str> {
        self.interpreter.as_deref()
    }

    fn readiness(&self) -> Readiness {
        let waits = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if waits { Readiness::Interpreter } else { Readiness::Bare }
    }

    async fn exec(&self, command: Command) -> Result<Execution> {
        command.check(&self.features)?;
        let (Setup { directory, tree }, order) = self.order(command);
        let setting = self.setting(program::find(&self.runtimes, &order.arguments, &order.variables, &directory)?);
        if let Some(waiting) = self.take_waiting() {
            let is_ordinary = directory == GuestPath::default() && tree == Tree::default();
            if is_ordinary && waiting.setting == setting {
                let execution = waiting.order(&order).await?;
                return self.hear_of_start(execution, self.baseline().out_of_memory_kills).await;
            }
            waiting.end().await?;
            let counters = self.place.counters().await?;
            *self.baseline.lock().unwrap_or_else(PoisonError::into_inner) = Baseline::of(&counters);
        }
        let Order { start, variables, arguments } = order;
        let worker = worker_command(&self.worker, &Task::Run(setting, start), &variables, &arguments)?;
        let kills = self.place.counters().await?.out_of_memory_kills;
        let execution = self.place.exec(Command { directory, tree, ..worker }).await?;
        self.hear_of_start(execution, kills).await
    }

    async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        self.place.write_file(path, content, executable).await
    }

    async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        self.place.read_file(path).await
    }

    async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        self.place.list_files(path).await
    }

    async fn stat(&self, path: &GuestPath) -> Result<FileEntry> {
        self.place.stat(path).await
    }

    async fn remove(&self, path: &GuestPath) -> Result<()> {
        self.place.remove(path).await
    }

    async fn end_processes(&self) -> Result<()> {
        drop(self.take_waiting());
        self.place.end_processes().await
    }

    async fn counters(&self) -> Result<Counters> {
        Ok(self.baseline().apart_from(self.place.counters().await?))
    }

    async fn posture(&self) -> Result<Posture> {
        self.place.posture().await
    }

    async fn posture_again(&self) -> Result<Posture> {
        self.place.posture_again().await
    }

    async fn watch(&self, places: &[WatchedPlace]) -> Result<Box<dyn TripwireWatch>> {
        if places.iter().any(|place| matches!(place, WatchedPlace::Listener(_))) {
            let message = "a program without sockets can't call a listener";
            return Err(Error::new(ErrorKind::Refused, "plant the tripwires", message).with_hint("use the jail"));
        }
        self.place.watch(places).await
    }

    async fn observe(&self) -> Result<Box<dyn Observer>> {
        self.place.observe().await
    }

    fn loss(&self) -> Option<Loss> {
        self.place.loss()
    }

    async fn destroy(self: Box<Self>) -> Result<()> {
        Box::new(self.place).destroy().await
    }
}
