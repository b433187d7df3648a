//! An interpreter that is started in a sandbox before its program is there, as a command like any other, and becomes the
//! program by an order on its standard input. So everything that holds for a command holds for it: limits, filter, streams,
//! signals, its tree, its end.
//!
//! Invariant: nothing of a guest's has run in the sandbox before it waits, and what it says by then decides no more than
//! whether it is used. It runs one program, and is dead before any other command starts.

use super::translate;
use crate::native::{AheadCommand, program_alone};
use async_trait::async_trait;
use crucible_agent::host::{
    AgentClient, AgentError, Command as AgentCommand, ProcessLimit, Recipients, Running, WINDOW,
};
use crucible_core::{Error, ErrorKind, Language, Readiness, Result, Sandbox, SandboxRequest, Signal, Users};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What its interpreter does in the place of a zygote.
const ALONE: &str = include_str!("waiting.py");
/// What it says first.
const READY: &[u8] = b"waiting\n";
/// How long it may take to be initialised, with what it preloads.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to be dead once it was killed.
const DYING: Duration = Duration::from_secs(10);
/// How long one that couldn't be made isn't tried again.
const PAUSE: Duration = Duration::from_secs(60);
/// The most that is told of what it said.
const MOST_SAID: u64 = 600;
/// Where it starts, as programs do that don't say where.
const FOLDER: &str = "/work";
const OPERATION: &str = "make an interpreter ready";

/// An interpreter that waits.
pub(super) struct Waiting {
    command: AheadCommand,
    running: Running,
}

impl Waiting {
    /// Starts that of a language, in a sandbox whose commands get those variables, and returns when it waits; `None` for a
    /// language that has none.
    ///
    /// # Errors
    /// Why it can't. The sandbox isn't as new any more then.
    pub(super) async fn start(
        client: &AgentClient,
        language: &Language,
        interpreter: &str,
        env: &[(String, String)],
        limits: Vec<(ProcessLimit, u64)>,
    ) -> Result<Option<Self>> {
        let Some(command) = AheadCommand::of(language, interpreter, env) else { return Ok(None) };
        let Some(program) = program_alone(language, ALONE)? else { return Ok(None) };
        let waits = async {
            let path = format!("{FOLDER}/{}", command.file_name);
            let mut file = client.create_file(&path, 0o644)?;
            file.write(program.as_bytes()).await?;
            file.finish().await?;
            let started = AgentCommand {
                argv: command.argv(),
                env: command.env.clone(),
                directory: FOLDER.to_owned(),
                limits,
                ..AgentCommand::default()
            };
            client.start(started).await
        };
        let mut running = waits.await.map_err(|error| translate(OPERATION, error))?;
        let mut said = [0; READY.len()];
        let heard = tokio::time::timeout(PATIENCE, running.out.read_exact(&mut said)).await;
        if heard.as_ref().is_ok_and(std::result::Result::is_ok) && said == READY {
            return Ok(Some(Self { command, running }));
        }
        let mut why = Vec::new();
        if heard.is_ok() {
            let mut error = (&mut running.error).take(MOST_SAID);
            let _told = tokio::time::timeout(Duration::from_secs(1), error.read_to_end(&mut why)).await.is_ok();
        }
        let why: String = String::from_utf8_lossy(&why)
            .lines()
            .last()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        let message = match (heard.is_ok(), why.as_str()) {
            (false, _) => format!("it wasn't initialised within {} seconds", PATIENCE.as_secs()),
            (true, "") => "it doesn't wait for a program".to_owned(),
            (true, why) => format!("the interpreter ended with: {why}"),
        };
        Err(Error::new(ErrorKind::Unavailable, OPERATION, message))
    }

    /// Whether it still waits, as far as was heard.
    pub(super) fn waits(&mut self) -> bool {
        !self.running.ending.has_come()
    }

    /// The order to become a command; `None` where it can't.
    pub(super) fn order(&self, argv: &[String], env: &[String], directory: &str) -> Option<Vec<u8>> {
        let program = self.command.program_of(argv, env).filter(|_| directory == FOLDER)?;
        let words: Vec<&str> = program.iter().chain(env).map(String::as_str).collect();
        if words.iter().any(|word| word.contains('\0')) {
            return None;
        }
        let mut order = u32::try_from(program.len()).ok()?.to_le_bytes().to_vec();
        order.extend(words.join("\0").bytes());
        let length = u32::try_from(order.len()).ok()?.to_le_bytes();
        // What is within the first window is sent without waiting for anybody.
        (order.len() + length.len() <= usize::try_from(WINDOW).ok()?).then(|| [&length, order.as_slice()].concat())
    }

    /// Gives it the order. Whether it was there to take it.
    pub(super) async fn take(&mut self, order: &[u8]) -> bool {
        self.running.input.write_all(order).await.is_ok()
    }

    /// The command that it is by its order.
    pub(super) fn become_it(self) -> Running {
        self.running
    }

    /// Ends it, and returns when it is dead and was collected: it might be the only process that the limits leave room for.
    pub(super) async fn end(mut self) -> Result<()> {
        match self.running.control.signal(Signal::KILL.number(), Recipients::Tree).await {
            // It has ended already.
            Ok(()) | Err(AgentError::NotSignalled(_)) => {}
            Err(error) => return Err(translate("end the interpreter that waits", error)),
        }
        match tokio::time::timeout(DYING, self.running.ending.wait()).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Infrastructure, "end the interpreter that waits", "it doesn't end")),
        }
    }
}

/// A sandbox in which an interpreter can wait.
#[async_trait]
pub(crate) trait HasOneWait: Sandbox {
    /// Has its language's interpreter wait in it, before it is used.
    ///
    /// # Errors
    /// Why that can't be. It isn't to be used then.
    async fn have_one_wait(&mut self, language: &Language) -> Result<()>;
}

/// The languages of a backend whose interpreters couldn't be made to wait, and why, for a minute each.
#[derive(Default)]
pub(crate) struct Unready(Mutex<BTreeMap<String, (Instant, String)>>);

impl Unready {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, String)>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (since, _)| since.elapsed() < PAUSE);
        known
    }

    /// Whether it is worth a try.
    fn may_be_tried(&self, language: &Language) -> bool {
        language.ready == Language::PYTHON && !self.known().contains_key(&key(language))
    }

    /// It couldn't.
    fn note(&self, language: &Language, why: &Error) {
        self.known().insert(key(language), (Instant::now(), format!("{}: {why}", language.title)));
    }

    /// Makes a sandbox as it is asked for: where an interpreter is to wait in it and can't, another one without. None waits where
    /// it would be root.
    ///
    /// # Errors
    /// As what makes them, and where one can't be removed.
    pub(crate) async fn make<S: HasOneWait + 'static, F: Future<Output = Result<S>> + Send>(
        &self,
        request: &SandboxRequest,
        language: &Language,
        make: impl Fn() -> F + Send + Sync,
    ) -> Result<Box<dyn Sandbox>> {
        let mut sandbox = make().await?;
        if request.readiness == Readiness::Interpreter
            && request.policy.users == Users::Guest
            && self.may_be_tried(language)
            && let Err(why) = sandbox.have_one_wait(language).await
        {
            self.note(language, &why);
            Box::new(sandbox).destroy().await?;
            sandbox = make().await?;
        }
        Ok(Box::new(sandbox))
    }

    /// Why, of each.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.known().values().map(|(_, why)| why.clone()).collect()
    }
}

/// What of a language decides whether its interpreter can wait.
fn key(language: &Language) -> String {
    let Language { interpreters, image, run, env, preload, .. } = language;
    format!("{interpreters:?} {image} {run:?} {env:?} {preload:?}")
}
