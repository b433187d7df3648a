//! Copies all files of one sandbox into another: the agent's program runs as a command in both, and what one writes the other reads.
//!
//! Invariant: what goes between them is carried and not read here. Each is under its guest's own confinement.

use super::client::{AgentClient, Ending, Running};
use super::error::{AgentError, AgentLoss};
use super::streams::Output;
use crate::protocol::{Command, Ended, Failure, PIECE, ProcessLimit, RESTORE, SAVE};
use tokio::io::{AsyncReadExt, BufReader};

/// The longest description of a failure.
const LONGEST_FAILURE: u64 = 4096;

/// What files are copied by, and which.
#[derive(Clone, Copy, Debug)]
pub struct Copying<'a> {
    /// Where the agent's program is inside.
    pub program: &'a str,
    /// The folders: absolute paths, without links on the way.
    pub folders: &'a [&'a str],
    /// The limits of what copies. That on open files should leave room for one for each level of folders.
    pub limits: &'a [(ProcessLimit, u64)],
}

impl Copying<'_> {
    /// Copies all of it. What processes of the first one do to files meanwhile may be in the copy or not. Where it fails, or is
    /// given up, some of it may be there.
    ///
    /// # Errors
    /// `NotStarted` with the step that failed; `Lost`.
    pub async fn copy(self, from: &AgentClient, into: &AgentClient) -> Result<(), AgentError> {
        let (saving, restoring) = (from.start(self.command(SAVE)), into.start(self.command(RESTORE)));
        let (saving, restoring) = tokio::try_join!(saving, restoring)?;
        let Running { input: none, out, error, ending, control: _ } = saving;
        let mut out = BufReader::with_capacity(PIECE, out);
        let saved = end(error, ending);
        let Running { mut input, out: nothing, error, ending, control: _ } = restoring;
        let restored = end(error, ending);
        drop((none, nothing));
        let carried = async move {
            // Where one side breaks off, the other hears it.
            let _carried = tokio::io::copy_buf(&mut out, &mut input).await.is_ok();
            drop((out, input));
        };
        let ((), saved, restored) = tokio::join!(carried, saved, restored);
        match (saved, restored) {
            (Ok(()), Ok(())) => Ok(()),
            // Where one fails, the other finds the pipe broken or dies of that, which is no reason of its own.
            (Err(error @ AgentError::NotStarted(_)), _) | (_, Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }

    fn command(&self, word: &str) -> Command {
        let words = [self.program, word].into_iter().chain(self.folders.iter().copied());
        Command {
            argv: words.map(str::to_owned).collect(),
            directory: "/".to_owned(),
            limits: self.limits.to_vec(),
            ..Command::default()
        }
    }
}

/// Waits for the end of one side.
async fn end(error: Output, mut ending: Ending) -> Result<(), AgentError> {
    let mut failure = Vec::new();
    let _heard = error.take(LONGEST_FAILURE).read_to_end(&mut failure).await.is_ok();
    match ending.wait().await {
        Some(Ended::Exited(0)) => Ok(()),
        Some(ended) => Err(match postcard::from_bytes::<Failure>(&failure) {
            Ok(failure) => AgentError::NotStarted(failure),
            Err(_) => AgentError::NotCopied(ended),
        }),
        None => Err(AgentLoss::Ended.into()),
    }
}
