//! Copies all files of one sandbox into another: the agent's program runs as a command in both, and what one writes the other reads.
//!
//! Invariant: what goes between them is carried and not read here. Each is under its guest's own confinement. Neither is waited for
//! or left behind once the other has ended.

use super::client::{AgentClient, CommandControl, Ending, Running};
use super::error::{AgentError, AgentLoss};
use super::streams::Output;
use crate::protocol::{Command, Ended, Failure, PIECE, ProcessLimit, RESTORE, SAVE};
use crucible_inside::copy::{HAND_OVER, MOST_DESCRIPTORS};
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt, BufReader};

/// The longest description of a failure.
const LONGEST_FAILURE: u64 = 4096;
/// How long one side may take to say why it ended once the other has.
const MOMENT: Duration = Duration::from_secs(1);
/// A broken pipe, as an errno and as a signal; and what kills.
const BROKEN: i32 = 32;
const BROKEN_SIGNAL: i32 = 13;
const KILL: i32 = 9;

/// What files are copied by, and which.
#[derive(Clone, Copy, Debug)]
pub struct Copying<'a> {
    /// Where the agent's program is inside.
    pub program: &'a str,
    /// The folders: absolute paths, without links on the way.
    pub folders: &'a [&'a str],
    /// The limits of commands there.
    pub limits: &'a [(ProcessLimit, u64)],
}

impl Copying<'_> {
    /// Copies all of it. What processes of the first one do to files meanwhile may be in the copy or not. Where it fails, or is
    /// given up, some of it may be there.
    ///
    /// # Errors
    /// `NotStarted` with the step that failed; `NotCopied`; `Lost`.
    pub async fn copy(self, from: &AgentClient, into: &AgentClient) -> Result<(), AgentError> {
        let (saving, restoring) = (from.start(self.command(SAVE)), into.start(self.command(RESTORE)));
        let (saving, restoring) = tokio::try_join!(saving, restoring)?;
        let Running { input: none, out, error, ending, control } = saving;
        let _saver = EndedWithThis(control);
        let saved = end(from, error, ending);
        let Running { mut input, out: nothing, error, ending, control } = restoring;
        let _restorer = EndedWithThis(control);
        let restored = end(into, error, ending);
        drop((none, nothing));
        let carried = async move {
            let mut out = BufReader::with_capacity(PIECE, out);
            let _carried = tokio::io::copy_buf(&mut out, &mut input).await.is_ok();
            // Where one side breaks off, the other hears it.
            drop((out, input));
            std::future::pending::<Infallible>().await
        };
        let restored = tokio::select! {
            restored = restored => restored,
            never = carried => match never {},
        };
        // All that there was has come.
        let Err(restored) = restored else { return Ok(()) };
        let Ok(saved) = tokio::time::timeout(MOMENT, saved).await else { return Err(restored) };
        Err(match saved {
            // What the other side's end brought about is no reason of its own.
            Err(AgentError::NotStarted(failure)) if failure.errno == BROKEN && failure.step == HAND_OVER => restored,
            Err(AgentError::NotCopied(Ended::Signaled(BROKEN_SIGNAL))) | Ok(()) => restored,
            Err(saved) => saved,
        })
    }

    fn command(&self, word: &str) -> Command {
        let words = [self.program, word].into_iter().chain(self.folders.iter().copied());
        let limits = self.limits.iter().filter_map(|(limit, value)| match limit {
            // Each level of folders takes some, and commands may have few.
            ProcessLimit::OpenFiles => Some((*limit, (*value).max(u64::from(MOST_DESCRIPTORS)))),
            // What the supervisor has put there may be larger.
            ProcessLimit::FileSize => None,
            _ => Some((*limit, *value)),
        });
        Command {
            argv: words.map(str::to_owned).collect(),
            directory: "/".to_owned(),
            limits: limits.collect(),
            ..Command::default()
        }
    }
}

/// One side, which is killed when this is dropped, if it lives.
struct EndedWithThis(CommandControl);

impl Drop for EndedWithThis {
    fn drop(&mut self) {
        // One that has ended needs nothing.
        let _sent = self.0.send(KILL).is_ok();
    }
}

/// Waits for the end of one side.
async fn end(agent: &AgentClient, error: Output, mut ending: Ending) -> Result<(), AgentError> {
    let mut failure = Vec::new();
    let mut error = error.take(LONGEST_FAILURE);
    let ended = {
        let mut heard = pin!(error.read_to_end(&mut failure));
        tokio::select! {
            ended = ending.wait() => {
                // Somebody else inside may hold it open.
                let _heard = tokio::time::timeout(MOMENT, heard).await.is_ok();
                ended
            }
            _ = &mut heard => ending.wait().await,
        }
    };
    match ended {
        Some(Ended::Exited(0)) => Ok(()),
        Some(ended) => Err(match postcard::from_bytes::<Failure>(&failure) {
            Ok(failure) => AgentError::NotStarted(failure),
            Err(_) => AgentError::NotCopied(ended),
        }),
        None => Err(agent.loss().unwrap_or(AgentLoss::Ended).into()),
    }
}
