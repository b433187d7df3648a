//! What the backends with a guest agent have in common: the command and file calls of a sandbox, made of the agent's client.
//! How a sandbox is made, counted, looked at and destroyed is each backend's own business.
//!
//! Invariant: what an agent says decides nothing that the host's own evidence could decide, and an agent that breaks its word
//! loses the sandbox.

mod copy;
mod door;
mod error;
mod filter;
mod waiting;

pub(crate) use door::door_address;
pub(crate) use error::{greeting_error, translate};
pub(crate) use filter::filter;

use crate::users;
use async_trait::async_trait;
use crucible_agent::host::{
    self, AgentClient, AgentError, AgentLoss, Command as AgentCommand, Ended, Ending, EntryKind, ProcessLimit,
    Recipients, Running, Usage,
};
use crucible_core::{
    Command, CommandControl, Door, Error, ErrorKind, Execution, ExitStatus, FileContent, FileEntry, FileKind,
    GuestPath, Language, Limits, LiveFeature, Loss, NetworkKind, Policy, ProcessHandle, Readiness, Result, Signal,
    TerminalSize,
};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt};
use waiting::Waiting;

/// The folders that a guest may write to, and in which files are read and written.
pub(crate) const WRITABLE: [&str; 3] = ["/work", "/tmp", "/dev/shm"];
/// How many bytes are moved at a time.
const PIECE: usize = 128 << 10;

/// What a sandbox with an agent can do while it stays open, whoever is inside.
pub(crate) fn live_features() -> BTreeSet<LiveFeature> {
    [LiveFeature::Terminals, LiveFeature::Signals, LiveFeature::CommandTrees].into()
}

/// The guest's side of a sandbox, by its agent.
pub(crate) struct AgentSide {
    client: AgentClient,
    features: BTreeSet<LiveFeature>,
    /// Whether there is a way out that nobody took.
    has_door: AtomicBool,
    /// `NAME=value` that every command gets unless it says otherwise.
    env: Vec<(String, String)>,
    limits: Vec<(ProcessLimit, u64)>,
    /// What became ready before there was a program.
    waiting: Mutex<Option<Waiting>>,
}

impl AgentSide {
    /// That of a sandbox of such a policy, which can do that while it is open, with an interpreter in it or without.
    pub(crate) fn new(
        client: AgentClient,
        policy: &Policy,
        features: BTreeSet<LiveFeature>,
        interpreter: Option<&str>,
        limits: Vec<(ProcessLimit, u64)>,
    ) -> Self {
        let has_door = AtomicBool::new(policy.network.kind() == NetworkKind::AllowList);
        let env = users::environment(interpreter, policy.users);
        Self { client, features, has_door, env, limits, waiting: Mutex::new(None) }
    }

    /// Has a language's interpreter wait for its program, if it has one that can.
    ///
    /// # Errors
    /// Why it can't. The sandbox isn't as new any more then.
    pub(crate) async fn have_one_wait(&self, language: &Language, interpreter: Option<&str>) -> Result<()> {
        let Some(interpreter) = interpreter else { return Ok(()) };
        let waiting = Waiting::start(&self.client, language, interpreter, &self.env, self.limits.clone()).await?;
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
        Ok(())
    }

    /// As [`crucible_core::Sandbox::readiness`].
    pub(crate) fn readiness(&self) -> Readiness {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_mut().is_some_and(Waiting::waits) { Readiness::Interpreter } else { Readiness::Bare }
    }

    /// Has the interpreter that waits become the command, if there is one and it can. If it can't, it is ended.
    async fn interpret(&self, command: &AgentCommand) -> Result<Option<Running>> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return Ok(None) };
        let is_plain = command.terminal.is_none() && command.user.is_none() && waiting.waits();
        let order = waiting.order(&command.argv, &command.env, &command.directory).filter(|_| is_plain);
        if let Some(order) = order
            && waiting.take(&order).await
        {
            return Ok(Some(waiting.become_it()));
        }
        waiting.end().await.map(|()| None)
    }

    /// As [`crucible_core::Sandbox::exec`].
    pub(crate) async fn exec(&self, command: Command) -> Result<Execution> {
        command.check(&self.features)?;
        // The agent can tell any command's tree.
        let Command { argv, env, directory, terminal, user, tree: _ } = command;
        let env = users::variables(&self.env, env.iter(), user.as_deref());
        let command = AgentCommand {
            argv,
            env,
            directory: directory.as_str().to_owned(),
            user: user.clone(),
            limits: self.limits.clone(),
            terminal: terminal.map(agent_size),
        };
        let (started, readiness) = match self.interpret(&command).await? {
            Some(running) => (Ok(running), Readiness::Interpreter),
            None => (self.client.start(command).await, Readiness::Bare),
        };
        let operation = "start the command";
        let started = started.map_err(|error| {
            let not_theirs = match (&error, &user) {
                (AgentError::NotStarted(failure), Some(user)) => users::not_theirs(operation, &failure.step, user),
                _ => None,
            };
            not_theirs.unwrap_or_else(|| translate(operation, error))
        })?;
        let Running { input, out, error, ending, control } = started;
        Ok(Execution {
            readiness,
            stdin: Box::new(input),
            stdout: Box::new(out),
            stderr: Box::new(error),
            process: Box::new(AgentProcess {
                ending,
                control: Arc::new(AgentControl { command: control, has_terminal: terminal.is_some() }),
            }),
        })
    }

    /// As [`crucible_core::Sandbox::write_file`].
    pub(crate) async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        let operation = "write a file into the sandbox";
        let refused = |error| match error::is_full(&error) {
            true => {
                Error::new(ErrorKind::Refused, operation, format!("{path} doesn't fit into the sandbox's disk limit"))
                    .with_hint("raise --disk")
            }
            false => translate(operation, error),
        };
        let mode = if executable { 0o755 } else { 0o644 };
        let mut file = self.client.create_file(path.as_str(), mode).map_err(refused)?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = content.read(&mut piece).await.map_err(|error| {
                Error::new(ErrorKind::Io, operation, "the content can't be read").with_source(error)
            })?;
            let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return file.finish().await.map_err(refused);
            };
            file.write(bytes).await.map_err(refused)?;
        }
    }

    /// As [`crucible_core::Sandbox::read_file`].
    pub(crate) async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        let file = self.client.open_file(path.as_str()).await;
        let file = file.map_err(|error| translate("read a file of the sandbox", error))?;
        Ok(FileContent { size: file.size(), bytes: Box::new(file) })
    }

    /// As [`crucible_core::Sandbox::list_files`].
    pub(crate) async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        let entries = self.client.list(path.as_str()).await;
        let entries = entries.map_err(|error| translate("list a folder of the sandbox", error))?;
        let kind = |kind| match kind {
            EntryKind::File => FileKind::File,
            EntryKind::Folder => FileKind::Directory,
            EntryKind::Other => FileKind::Other,
        };
        let entry = |entry: crucible_agent::host::Entry| FileEntry {
            name: entry.name,
            kind: kind(entry.kind),
            size: entry.size,
        };
        let mut entries: Vec<FileEntry> = entries.into_iter().map(entry).collect();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(entries)
    }

    /// As [`crucible_core::Sandbox::end_processes`].
    pub(crate) async fn end_processes(&self) -> Result<()> {
        self.client.end_processes().await.map_err(|error| translate("end the sandbox's processes", error))
    }

    /// As [`crucible_core::Sandbox::door`].
    pub(crate) fn door(&self) -> Result<Box<dyn Door>> {
        if self.has_door.swap(false, Ordering::Relaxed) {
            return Ok(Box::new(door::AgentDoor::new(self.client.door())));
        }
        let message = "the sandbox has none, or it is taken";
        Err(Error::new(ErrorKind::Refused, "open the way out of the sandbox", message))
    }

    /// What is used inside, by the agent's word alone; `None` where it is lost.
    pub(crate) async fn usage(&self) -> Option<Usage> {
        self.client.usage().await.ok()
    }

    /// Has the agent kill everything and end, without waiting for it.
    pub(crate) fn shut_down(&self) {
        self.client.shut_down();
    }

    /// Why the sandbox is lost by what is heard of its agent, if it is.
    pub(crate) fn loss(&self) -> Option<Loss> {
        match self.client.loss()? {
            AgentLoss::Ended => Some(Loss::RunnerEnded),
            AgentLoss::BrokeItsWord(_) => Some(Loss::RunnerBrokeItsWord),
        }
    }
}

/// The limits that hold for each process by itself.
pub(crate) fn process_limits(limits: &Limits) -> Vec<(ProcessLimit, u64)> {
    vec![
        (ProcessLimit::FileSize, limits.file_size.get()),
        (ProcessLimit::OpenFiles, u64::from(limits.open_files)),
        (ProcessLimit::Stack, limits.stack.get()),
        // Not 0, at which a core may still go to a helper of the host's.
        (ProcessLimit::Core, 1),
        (ProcessLimit::LockedMemory, 64 << 10),
        // Only in case the supervisor, which looks at all processes together, is late.
        (ProcessLimit::CpuSeconds, limits.cpu_time.get().as_secs().saturating_add(2)),
    ]
}

struct AgentProcess {
    ending: Ending,
    control: Arc<AgentControl>,
}

/// What can be done to a command by its agent.
struct AgentControl {
    command: host::CommandControl,
    has_terminal: bool,
}

const fn agent_size(TerminalSize { rows, columns }: TerminalSize) -> host::TerminalSize {
    host::TerminalSize { rows, columns }
}

#[async_trait]
impl CommandControl for AgentControl {
    async fn signal(&self, signal: Signal) -> Result<()> {
        let sent = self.command.signal(signal.number(), Recipients::Group).await;
        sent.map_err(|error| translate("send the signal", error))
    }

    async fn end_tree(&self) -> Result<()> {
        match self.command.signal(Signal::KILL.number(), Recipients::Tree).await {
            // It has ended already.
            Err(AgentError::NotSignalled(errno)) if errno == rustix::io::Errno::SRCH.raw_os_error() => Ok(()),
            ended => ended.map_err(|error| translate("end the command", error)),
        }
    }

    async fn resize(&self, size: TerminalSize) -> Result<()> {
        let operation = "resize the terminal";
        if !self.has_terminal {
            return Err(Error::new(ErrorKind::Refused, operation, "the command has no terminal"));
        }
        self.command.resize(agent_size(size)).map_err(|error| translate(operation, error))
    }
}

#[async_trait]
impl ProcessHandle for AgentProcess {
    async fn wait(&mut self) -> Result<ExitStatus> {
        Ok(match self.ending.wait().await {
            Some(Ended::Exited(code)) => ExitStatus::Exited(code),
            Some(Ended::Signaled(signal)) => ExitStatus::Signaled(signal),
            None => ExitStatus::SandboxLost,
        })
    }

    fn control(&self) -> Arc<dyn CommandControl> {
        Arc::clone(&self.control) as Arc<dyn CommandControl>
    }
}
