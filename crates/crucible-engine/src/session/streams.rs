//! The output of a command in a sandbox that goes on living.
//!
//! Invariant: nothing is kept here, so that a caller who reads slowly slows the command down and nothing else. A stream ends
//! with its command, although what the command left running may still have it open.

use crate::patience::DRAIN;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long nothing may come of a command that has ended before its stream counts as read to the end.
const QUIET: Duration = Duration::from_millis(100);

/// One output stream of a command.
pub struct CommandOutput {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    /// Told when the command has ended.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    after: Option<After>,
    /// How many bytes may still come.
    left: Option<u64>,
    /// Told when more would come.
    over: CancellationToken,
    is_at_end: bool,
}

/// What is left to wait once the command has ended.
struct After {
    quiet: Pin<Box<Sleep>>,
    last: Instant,
}

impl CommandOutput {
    pub(super) fn new(
        reader: Box<dyn AsyncRead + Send + Unpin>,
        ended: &CancellationToken,
        most: Option<u64>,
        over: &CancellationToken,
    ) -> Self {
        Self {
            reader,
            ended: Box::pin(ended.clone().cancelled_owned()),
            after: None,
            left: most,
            over: over.clone(),
            is_at_end: false,
        }
    }
}

impl AsyncRead for CommandOutput {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_at_end {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.reader).poll_read(context, buffer) {
            read?;
            let read = buffer.filled().len() - before;
            if read == 0 {
                self.is_at_end = true;
            }
            if let Some(left) = self.left {
                let came = u64::try_from(read).unwrap_or(u64::MAX);
                if came > left {
                    buffer.set_filled(before + usize::try_from(left).unwrap_or(0));
                    self.over.cancel();
                    self.is_at_end = true;
                }
                self.left = Some(left.saturating_sub(came));
            }
            if let Some(after) = &mut self.after {
                let next = (Instant::now() + QUIET).min(after.last);
                after.quiet.as_mut().reset(next);
            }
            return Poll::Ready(Ok(()));
        }
        if self.after.is_none() && self.ended.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let quiet = Box::pin(tokio::time::sleep_until(now + QUIET));
            self.after = Some(After { quiet, last: now + DRAIN });
        }
        let is_quiet = self.after.as_mut().is_some_and(|after| after.quiet.as_mut().poll(context).is_ready());
        self.is_at_end = is_quiet;
        if is_quiet { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_held_open_ends_soon_after_its_command() {
        let (reader, mut held) = duplex(64);
        let (ended, over) = (CancellationToken::new(), CancellationToken::new());
        let mut output = CommandOutput::new(Box::new(reader), &ended, None, &over);
        held.write_all(b"last words").await.unwrap();
        ended.cancel();
        let (began, mut all) = (Instant::now(), Vec::new());
        output.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"last words");
        assert!(began.elapsed() >= QUIET && began.elapsed() < DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_background_process_that_writes_on_does_not_keep_a_stream_going() {
        let (reader, mut held) = duplex(64);
        let (ended, over) = (CancellationToken::new(), CancellationToken::new());
        let mut output = CommandOutput::new(Box::new(reader), &ended, None, &over);
        let writing = tokio::spawn(async move {
            while held.write_all(b"x").await.is_ok() {
                tokio::time::sleep(QUIET / 2).await;
            }
        });
        ended.cancel();
        let began = Instant::now();
        output.read_to_end(&mut Vec::new()).await.unwrap();
        assert!(began.elapsed() <= DRAIN + QUIET);
        writing.abort();
    }

    #[tokio::test]
    async fn no_byte_beyond_the_bound_is_given_and_the_first_one_is_told() {
        for (bytes, most, expected) in [(b"abc", 3, "abc"), (b"abc", 2, "ab"), (b"abc", 0, "")] {
            let (ended, over) = (CancellationToken::new(), CancellationToken::new());
            let mut output = CommandOutput::new(Box::new(&bytes[..]), &ended, Some(most), &over);
            let mut all = String::new();
            output.read_to_string(&mut all).await.unwrap();
            assert_eq!((all.as_str(), over.is_cancelled()), (expected, most < 3));
        }
    }
}
