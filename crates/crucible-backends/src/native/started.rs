//! An interpreter that was started in a native sandbox before its program came, as a command like any other.

use super::{NativeSandbox, translate};
use crate::ahead::{AheadCommand, DYING, FOLDER, HasOneWait, MAKE_READY, hear, program_alone};
use async_trait::async_trait;
use crucible_core::{Counters, Error, ErrorKind, Language, Result, Signal};
use crucible_jail::host::{self, Running};
use crucible_jail::plan::{Ended, Orphans};
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot::error::TryRecvError;

/// The most bytes of an order.
const MOST: usize = 256 << 10;
const END: &str = "end the interpreter that waits";

/// The interpreter.
pub(super) struct StartedAhead {
    command: AheadCommand,
    running: Running,
}

impl StartedAhead {
    pub(super) const fn new(command: AheadCommand, running: Running) -> Self {
        Self { command, running }
    }

    /// Whether it still waits.
    pub(super) fn waits(&mut self) -> bool {
        matches!(self.running.ended.try_recv(), Err(TryRecvError::Empty))
    }

    /// The order to become a command; `None` where it can't.
    pub(super) fn order(&self, argv: &[String], env: &[String], directory: &str) -> Option<Vec<u8>> {
        self.command.order(argv, env, directory, MOST)
    }

    /// Gives it the order: from then on it is the command. One that has ended meanwhile shows as that command's end.
    pub(super) async fn become_it(mut self, order: &[u8]) -> Running {
        let stdin = &mut self.running.stdin;
        let _taken = stdin.write_all(order).await.is_ok() && stdin.flush().await.is_ok();
        self.running
    }

    /// Ends it, and returns when it is dead: it might be the only process that the limits leave room for.
    ///
    /// # Errors
    /// `Infrastructure` where it can't be told whether it is.
    pub(super) async fn end(mut self) -> Result<()> {
        if !self.waits() {
            return Ok(());
        }
        let signalled = self.running.control.signal(Signal::KILL.number()).await;
        // By itself, in that moment.
        if !self.waits() {
            return Ok(());
        }
        signalled.map_err(|error| translate(END, error))?;
        match tokio::time::timeout(DYING, &mut self.running.ended).await {
            Ok(Ok(Ended::Exited(_) | Ended::Signaled(_))) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::new(ErrorKind::Infrastructure, END, "it doesn't end")),
        }
    }
}

impl NativeSandbox {
    pub(super) fn take_ahead(&self) -> Option<StartedAhead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn baseline(&self) -> MutexGuard<'_, Baseline> {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the interpreter that waits become a command, if there is one and it can. If it can't, it is ended.
    pub(super) async fn interpret(&self, command: &host::Command) -> Result<Option<Running>> {
        let Some(mut ahead) = self.take_ahead() else { return Ok(None) };
        let is_plain = command.terminal.is_none() && command.user.is_none() && command.orphans == Orphans::ToInit;
        let order = ahead.order(&command.argv, &command.env, &command.directory).filter(|_| is_plain);
        if let Some(order) = order
            && ahead.waits()
        {
            return Ok(Some(ahead.become_it(&order).await));
        }
        ahead.end().await?;
        let counters = self.counted()?;
        *self.baseline() = Baseline::of(&counters);
        Ok(None)
    }
}

#[async_trait]
impl HasOneWait for NativeSandbox {
    async fn have_one_wait(&mut self, language: &Language) -> Result<()> {
        let Some(interpreter) = &self.parts.interpreter else { return Ok(()) };
        let Some(command) = AheadCommand::of(language, interpreter, &self.parts.env) else { return Ok(()) };
        let Some(program) = program_alone(language)? else { return Ok(()) };
        let failed = |error| translate(MAKE_READY, error);
        let sandbox = &self.parts.started.sandbox;
        let mut file = sandbox.create_file(&format!("{FOLDER}/{}", command.file_name), 0o644).await.map_err(failed)?;
        file.write_all(program.as_bytes()).map_err(|error| {
            Error::new(ErrorKind::Unavailable, MAKE_READY, "its file can't be written").with_source(error)
        })?;
        drop(file);
        let started = host::Command {
            argv: command.argv(),
            env: command.env.clone(),
            user: None,
            directory: FOLDER.to_owned(),
            limits: self.parts.limits.clone(),
            reopens: true,
            terminal: None,
            orphans: Orphans::ToInit,
        };
        let mut running = sandbox.exec(started).await.map_err(failed)?;
        hear(&mut running.stdout, &mut running.stderr).await?;
        self.ahead = Mutex::new(Some(StartedAhead::new(command, running)));
        self.baseline = Mutex::new(Baseline::of(&self.counted()?));
        Ok(())
    }
}

/// What was counted before there was a program. What a whole sandbox has at most at one time can't be told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    cpu: Duration,
    read_bytes: u64,
    written_bytes: u64,
    pub(crate) out_of_memory_kills: u64,
}

impl Baseline {
    pub(crate) fn of(counters: &Counters) -> Self {
        Self {
            cpu: counters.cpu,
            read_bytes: counters.read_bytes.unwrap_or_default(),
            written_bytes: counters.written_bytes.unwrap_or_default(),
            out_of_memory_kills: counters.out_of_memory_kills,
        }
    }

    /// What was counted since then.
    pub(crate) fn apart_from(&self, counters: Counters) -> Counters {
        let since = |now: Option<u64>, before: u64| now.map(|now| now.saturating_sub(before));
        Counters {
            cpu: counters.cpu.saturating_sub(self.cpu),
            read_bytes: since(counters.read_bytes, self.read_bytes),
            written_bytes: since(counters.written_bytes, self.written_bytes),
            out_of_memory_kills: counters.out_of_memory_kills.saturating_sub(self.out_of_memory_kills),
            ..counters
        }
    }
}
