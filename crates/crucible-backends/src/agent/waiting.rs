//! An interpreter that is started in a sandbox before its program is there, as a command like any other, and becomes the
//! program by an order on its standard input. So everything that holds for a command holds for it: limits, filter, streams,
//! signals, its tree, its end.
//!
//! Invariant: nothing of a guest's has run in the sandbox before it waits, and what it says by then decides no more than
//! whether it is used. It runs one program, and is dead before any other command starts.

use super::translate;
use crate::ahead::{AheadCommand, DYING, FOLDER, MAKE_READY, hear, program_alone};
use crucible_agent::host::{
    AgentClient, AgentError, Command as AgentCommand, ProcessLimit, Recipients, Running, WINDOW,
};
use crucible_core::{Error, ErrorKind, Language, Result, Signal};
use tokio::io::AsyncWriteExt;

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
        let Some(program) = program_alone(language)? else { return Ok(None) };
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
        let mut running = waits.await.map_err(|error| translate(MAKE_READY, error))?;
        hear(&mut running.out, &mut running.error).await?;
        Ok(Some(Self { command, running }))
    }

    /// Whether it still waits, as far as was heard.
    pub(super) fn waits(&mut self) -> bool {
        !self.running.ending.has_come()
    }

    /// The order to become a command; `None` where it can't.
    pub(super) fn order(&self, argv: &[String], env: &[String], directory: &str) -> Option<Vec<u8>> {
        // What is within the first window is sent without waiting for anybody.
        self.command.order(argv, env, directory, usize::try_from(WINDOW).ok()?)
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
