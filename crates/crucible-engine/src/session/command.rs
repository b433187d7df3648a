//! Commands in a session: several at once, each with a task of its own that waits for its end and ends it in time.
//!
//! Invariant: a command that nobody holds any more is ended, with everything that came of it and nothing else.

use super::streams::CommandOutput;
use super::{Busy, EndReason, Session, gone};
use crate::admission::environment;
use crate::languages;
use crate::patience::{LAST_WORD, SET_UP, TEAR_DOWN, within};
use crucible_core::{
    Command, CommandControl, Counters, Error, ErrorKind, Event, Execution, ExitStatus, GuestPath, LimitKind,
    LiveFeature, Output, ProcessHandle, Result, Signal, Status, TerminalSize, TimeSpan, Tree,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The most commands and file transfers at one time.
pub(super) const MOST_AT_ONCE: usize = 256;

/// How much of an output stream is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputBound {
    /// All: the caller keeps none of it, or bounds it itself.
    Unbounded,
    /// So many bytes of each stream. One more ends the command.
    Bytes(u64),
}

/// A command to run in a session.
#[derive(Clone, Debug)]
pub struct ExecSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables in addition to the session's.
    pub env: BTreeMap<String, String>,
    /// Where it starts.
    pub directory: GuestPath,
    /// The user inside that it runs as, where the backend can.
    pub user: Option<String>,
    /// How large its terminal is, if it has one.
    pub terminal: Option<TerminalSize>,
    /// How long it may take; `None` for what the session says.
    pub timeout: Option<TimeSpan>,
    /// How much of its output is taken.
    pub output: OutputBound,
}

impl ExecSpec {
    /// A command in the work folder, with nothing out of the ordinary.
    #[must_use]
    pub fn new(argv: Vec<String>) -> Self {
        Self {
            argv,
            env: BTreeMap::new(),
            directory: GuestPath::work(),
            user: None,
            terminal: None,
            timeout: None,
            output: OutputBound::Unbounded,
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandEnded {
    /// How, and why.
    pub status: Status,
    /// Its own exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// From its start to its end.
    pub wall: Duration,
    /// Limits that the host saw the sandbox run into while the command ran.
    pub limits_observed: BTreeSet<LimitKind>,
    /// Whether others of the sandbox's processes had to be ended with it, because its backend can't tell which are its own.
    pub others_ended: bool,
}

/// A command that was run to its end, with what it wrote.
#[derive(Debug)]
pub struct CommandFinished {
    /// How it ended.
    pub ended: CommandEnded,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

/// What can be done to a running command. Doesn't keep it running.
#[derive(Clone)]
pub struct CommandHandle {
    control: Arc<dyn CommandControl>,
    features: BTreeSet<LiveFeature>,
}

impl CommandHandle {
    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// `Refused` where the backend can't; `NotFound` where it has ended.
    pub async fn signal(&self, signal: Signal) -> Result<()> {
        if !self.features.contains(&LiveFeature::Signals) {
            return Err(LiveFeature::Signals.refusal("send the signal"));
        }
        within(SET_UP, "send the signal", self.control.signal(signal)).await
    }

    /// Says how large its terminal is.
    ///
    /// # Errors
    /// `Refused` where it has none.
    pub async fn resize(&self, size: TerminalSize) -> Result<()> {
        within(SET_UP, "resize the terminal", self.control.resize(size)).await
    }
}

/// A running command. It is ended where its `end` is dropped.
pub struct RunningCommand {
    /// Its standard input, or what is typed at its terminal; to be taken, and dropped for its end.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its standard output, or all that its terminal shows.
    pub stdout: CommandOutput,
    /// Its standard error.
    pub stderr: CommandOutput,
    /// Its end.
    pub end: CommandEnd,
}

/// The end of a running command, which is brought about where this is dropped.
pub struct CommandEnd {
    handle: CommandHandle,
    ended: oneshot::Receiver<Result<CommandEnded>>,
    _held: DropGuard,
}

impl CommandEnd {
    /// What can be done to it beside whoever reads from it.
    #[must_use]
    pub fn handle(&self) -> CommandHandle {
        self.handle.clone()
    }

    /// Waits for it. What the command wrote last may still have to be read. To be asked once. Cancel-safe.
    ///
    /// # Errors
    /// `Infrastructure` where the sandbox was lost.
    pub async fn wait(&mut self) -> Result<CommandEnded> {
        (&mut self.ended).await.unwrap_or_else(|_| Err(gone(None)))
    }
}

/// How a command came to its end.
enum Cause {
    ByItself(Result<ExitStatus>),
    TimedOut,
    OutputLimit,
    /// Nobody holds it any more.
    LetGo,
    /// Its sandbox is ended.
    Closing,
}

/// What the task of a command works with.
struct Task {
    session: Arc<Session>,
    process: Box<dyn ProcessHandle>,
    control: Arc<dyn CommandControl>,
    tree: Tree,
    began: Instant,
    clock: Option<Instant>,
    before: Counters,
    let_go: CancellationToken,
    over: CancellationToken,
    told_end: CancellationToken,
    _busy: Busy,
}

impl Session {
    /// Starts a command. Where this is dropped meanwhile, the command is ended at once.
    ///
    /// # Errors
    /// `InvalidInput` or `NotFound` where it can't be executed; `Refused` for what the backend can't do; `NotFound` where the
    /// sandbox is no more.
    pub async fn exec(self: &Arc<Self>, spec: ExecSpec) -> Result<RunningCommand> {
        let busy = self.busy()?;
        let (sender, started) = oneshot::channel();
        // A task of its own, so that a caller who goes away leaves no command half-started.
        let session = Arc::clone(self);
        tokio::spawn(async move {
            match session.start(spec, busy).await {
                Ok((running, task, ended)) => {
                    // Whoever doesn't take it drops it, which ends it.
                    drop(sender.send(Ok(running)));
                    drop(ended.send(task.see_to_its_end().await));
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        });
        started.await.unwrap_or_else(|_| Err(gone(self.end_reason().as_ref())))
    }

    /// Runs a command to its end and keeps what it writes, up to the output limit.
    ///
    /// # Errors
    /// As [`Session::exec`] and [`CommandEnd::wait`].
    pub async fn run(
        self: &Arc<Self>,
        mut spec: ExecSpec,
        input: Box<dyn AsyncRead + Send + Unpin>,
    ) -> Result<CommandFinished> {
        if spec.output == OutputBound::Unbounded {
            spec.output = OutputBound::Bytes(self.limits().output.get());
        }
        let mut running = self.exec(spec).await?;
        let guest_stdin = running.stdin.take();
        let give = async move {
            if let Some(stdin) = guest_stdin {
                crate::streams::feed(input, stdin).await;
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let take = async {
            let RunningCommand { stdout: out, stderr: err, end, .. } = &mut running;
            let read = async { tokio::join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr)) };
            tokio::join!(read, end.wait()).1
        };
        let ended = tokio::select! {
            biased;
            ended = take => ended?,
            never = give => match never {},
        };
        let is_over = ended.status == Status::LimitExceeded { limit: LimitKind::Output };
        let cut = |bytes: Vec<u8>| {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let truncated = is_over && length >= self.limits().output.get();
            Output { bytes, truncated }
        };
        Ok(CommandFinished { ended, stdout: cut(stdout), stderr: cut(stderr) })
    }

    async fn start(
        self: Arc<Self>,
        spec: ExecSpec,
        busy: Busy,
    ) -> Result<(RunningCommand, Task, oneshot::Sender<Result<CommandEnded>>)> {
        let ExecSpec { argv, env, directory, user, terminal, timeout, output } = spec;
        let language = self.language.as_ref().map(|(_, language)| language.as_ref());
        let mut all = environment(&self.evaluation, language, |template| {
            languages::fill(template, self.interpreter.as_deref(), "")
        })?;
        all.extend(env);
        for (name, value) in &self.way_out {
            all.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self.check_texts(&argv, &all)?;
        let timeout = self.timeout_of(timeout)?;
        let features = self.features().clone();
        let tree = if features.contains(&LiveFeature::CommandTrees) { Tree::Own } else { Tree::OfSandbox };
        let command = Command { argv, env: all, directory, user, terminal, tree };
        command.check(&features)?;
        let (before, execution, began) = {
            let guard = self.sandbox().await?;
            let sandbox = guard.as_ref().ok_or_else(|| gone(self.end_reason().as_ref()))?;
            let before = within(SET_UP, "read the counters", sandbox.counters()).await?;
            let began = Instant::now();
            let starting = within(SET_UP, "start the command", sandbox.exec(command));
            (before, self.unless_closing(starting).await?, began)
        };
        self.activity().commands_started += 1;
        self.tell(Event::CommandStarted).await;
        let Execution { stdin, stdout, stderr, process, readiness: _ } = execution;
        let control = process.control();
        let (let_go, over, told_end) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let most = match output {
            OutputBound::Unbounded => None,
            OutputBound::Bytes(most) => Some(most),
        };
        let (sender, ended) = oneshot::channel();
        let running = RunningCommand {
            stdin: Some(stdin),
            stdout: CommandOutput::new(stdout, &told_end, most, &over),
            stderr: CommandOutput::new(stderr, &told_end, most, &over),
            end: CommandEnd {
                handle: CommandHandle { control: Arc::clone(&control), features },
                ended,
                _held: let_go.clone().drop_guard(),
            },
        };
        let clock = timeout.map(|timeout| began + timeout.get());
        let session = self;
        let task = Task { session, process, control, tree, began, clock, before, let_go, over, told_end, _busy: busy };
        Ok((running, task, sender))
    }

    /// How long a command may take: what is asked for, or what the session says, and no longer than its policy lets anything.
    fn timeout_of(&self, asked: Option<TimeSpan>) -> Result<Option<TimeSpan>> {
        if let Some(asked) = asked {
            let least = crucible_core::Limits::minimum().timeout;
            if asked < least || asked > self.maximum.timeout {
                let message = format!("timeout of {asked} is outside {least} to {}", self.maximum.timeout);
                return Err(Error::new(ErrorKind::InvalidInput, "check the limits", message));
            }
        }
        let most = self.spec.policy.limits.as_ref().map(|limits| limits.timeout);
        let asked = asked.or(self.spec.command_timeout);
        Ok(asked.map_or(most, |asked| Some(most.map_or(asked, |most| asked.min(most)))))
    }
}

impl Task {
    /// Waits for the command's end, or brings it about.
    async fn see_to_its_end(mut self) -> Result<CommandEnded> {
        let cause = {
            let clock = async {
                match self.clock {
                    Some(clock) => sleep_until(clock).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                status = self.process.wait() => Cause::ByItself(status),
                () = self.session.closing.cancelled() => Cause::Closing,
                () = self.let_go.cancelled() => Cause::LetGo,
                () = self.over.cancelled() => Cause::OutputLimit,
                () = clock => Cause::TimedOut,
            }
        };
        let wall = self.began.elapsed();
        let (others_ended, main) = match &cause {
            Cause::ByItself(Ok(status)) => (false, Some(*status)),
            Cause::ByItself(Err(_)) => (false, None),
            // All of the sandbox ends with it.
            Cause::Closing => (false, None),
            Cause::LetGo | Cause::OutputLimit | Cause::TimedOut => {
                let others_ended = self.end().await?;
                (others_ended, timeout(LAST_WORD, self.process.wait()).await.ok().and_then(Result::ok))
            }
        };
        // From here on its streams end.
        self.told_end.cancel();
        let ended = self.judge(cause, main, wall, others_ended).await?;
        self.session.tell(Event::CommandEnded { status: ended.status }).await;
        Ok(ended)
    }

    /// Ends the command and what came of it. Where the backend can't tell what that is, everything in the sandbox is ended, and
    /// that is said: a command must not outlive its time.
    async fn end(&mut self) -> Result<bool> {
        if self.tree == Tree::Own {
            match within(TEAR_DOWN, "end the command", self.control.end_tree()).await {
                Ok(()) => return Ok(false),
                Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Refused) => {}
                Err(error) => return Err(error),
            }
        }
        let guard = self.session.sandbox().await?;
        let sandbox = guard.as_ref().ok_or_else(|| gone(self.session.end_reason().as_ref()))?;
        within(TEAR_DOWN, "end the processes", sandbox.end_processes()).await?;
        Ok(true)
    }

    async fn judge(
        &mut self,
        cause: Cause,
        main: Option<ExitStatus>,
        wall: Duration,
        others_ended: bool,
    ) -> Result<CommandEnded> {
        let (mut limits_observed, mut lost_to_memory) = (BTreeSet::new(), false);
        if !matches!(cause, Cause::Closing)
            && let Ok(guard) = self.session.sandbox().await
            && let Some(sandbox) = guard.as_ref()
        {
            let after = within(SET_UP, "read the counters", sandbox.counters()).await?;
            lost_to_memory = after.out_of_memory_kills > self.before.out_of_memory_kills;
            limits_observed.extend(after.refused.difference(&self.before.refused));
        }
        let (exit_code, signal) = match main {
            Some(ExitStatus::Exited(code)) => (Some(code), None),
            Some(ExitStatus::Signaled(signal)) => (None, Some(signal)),
            Some(ExitStatus::SandboxLost) | None => (None, None),
        };
        let status = match cause {
            Cause::TimedOut => Status::TimedOut,
            Cause::OutputLimit => Status::LimitExceeded { limit: LimitKind::Output },
            Cause::LetGo => Status::Cancelled,
            Cause::Closing => match self.session.end_reason() {
                Some(reason @ EndReason::Lost(_)) => return Err(gone(Some(&reason))),
                Some(EndReason::Forbidden { .. }) => Status::Denied,
                _ => Status::Cancelled,
            },
            Cause::ByItself(Err(error)) => return Err(error),
            Cause::ByItself(Ok(ExitStatus::SandboxLost)) => {
                let reason = self.loss().await;
                return Err(gone(reason.as_ref()));
            }
            // Which process the kernel chose isn't known; but it ends none by this signal otherwise, and neither did we.
            Cause::ByItself(Ok(ExitStatus::Signaled(9))) if lost_to_memory => Status::OutOfMemory,
            Cause::ByItself(Ok(ExitStatus::Signaled(signal))) => Status::Signaled { signal },
            Cause::ByItself(Ok(ExitStatus::Exited(code))) => Status::Exited { code },
        };
        if lost_to_memory && status != Status::OutOfMemory {
            limits_observed.insert(LimitKind::Memory);
        }
        Ok(CommandEnded { status, exit_code, signal, wall, limits_observed, others_ended })
    }

    /// Why the sandbox is lost. It is never used again.
    async fn loss(&mut self) -> Option<EndReason> {
        if let Some(reason) = self.session.end_reason() {
            return Some(reason);
        }
        let guard = self.session.sandbox().await.ok()?;
        let reason = guard.as_ref()?.loss().map(EndReason::Lost)?;
        drop(guard);
        self.session.close(reason.clone());
        Some(reason)
    }
}
