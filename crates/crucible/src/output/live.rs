//! The program's output on its way to ours, as it comes.
//!
//! Invariant: a reader who is slow slows the program down and nothing else; one who went away ends it. Writes happen on
//! another thread, so that a full pipe holds up no clock.

use super::terminal::TerminalFilter;
use crate::arguments::Controls;
use async_trait::async_trait;
use crucible_core::{Error, ErrorKind, EvaluationId, Event, EventSink, Result, Stream};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Our own two output streams, taking what the program writes.
pub(crate) struct LiveOutput {
    streams: Mutex<Streams>,
    /// Ends the program.
    cancel: CancellationToken,
}

/// How the writing ended.
pub(crate) struct Finished {
    /// Why something couldn't be written.
    pub(crate) failure: Option<io::Error>,
    /// Whether the last line on a terminal has no end, so that what is said next would follow it.
    pub(crate) within_line: bool,
}

struct Streams {
    stdout: Channel,
    stderr: Channel,
    /// Why nothing is written any more.
    failure: Option<io::Error>,
}

struct Channel {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    filter: Option<TerminalFilter>,
    is_terminal: bool,
    within_line: bool,
}

impl Channel {
    fn new(writer: impl AsyncWrite + Send + Unpin + 'static, is_terminal: bool, controls: Controls) -> Self {
        let filter = (is_terminal && controls == Controls::Neutralised).then(TerminalFilter::default);
        Self { writer: Box::new(writer), filter, is_terminal, within_line: false }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.within_line = *last != b'\n';
        }
        match &mut self.filter {
            Some(filter) => self.writer.write_all(&filter.filter(bytes)).await?,
            None => self.writer.write_all(bytes).await?,
        }
        self.writer.flush().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        if let Some(filter) = &mut self.filter {
            self.writer.write_all(&filter.finish()).await?;
        }
        self.writer.flush().await
    }
}

impl LiveOutput {
    /// Our own streams. `cancel` is cancelled when a reader went away, and ends waiting for one when it is cancelled.
    ///
    /// # Errors
    /// `Unavailable` without descriptors to spare.
    pub(crate) fn new(controls: Controls, cancel: CancellationToken) -> Result<Self> {
        let stdout = Channel::new(unbuffered(&io::stdout())?, io::stdout().is_terminal(), controls);
        let stderr = Channel::new(unbuffered(&io::stderr())?, io::stderr().is_terminal(), controls);
        Ok(Self { streams: Mutex::new(Streams { stdout, stderr, failure: None }), cancel })
    }

    /// Writes what was held back, and says how far it came.
    pub(crate) async fn finish(self) -> Finished {
        let Streams { mut stdout, mut stderr, mut failure } = self.streams.into_inner();
        if failure.is_none() && !self.cancel.is_cancelled() {
            failure = stdout.finish().await.and(stderr.finish().await).err();
        }
        let within_line = [&stdout, &stderr].into_iter().any(|channel| channel.is_terminal && channel.within_line);
        Finished { failure, within_line }
    }
}

/// Writes one document to our standard output.
///
/// # Errors
/// `Unavailable` without descriptors to spare. That it can't be written is told in what is returned.
pub(crate) async fn write_document(text: &[u8]) -> Result<Finished> {
    let mut channel = Channel::new(unbuffered(&io::stdout())?, false, Controls::Passed);
    Ok(Finished { failure: channel.write(text).await.err(), within_line: false })
}

/// A way to one of our streams without a buffer, which the standard library would empty at the end of the process and
/// wait for a reader who doesn't read.
fn unbuffered(stream: &impl AsFd) -> Result<tokio::fs::File> {
    let copy = stream.as_fd().try_clone_to_owned().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "open the output", "can't open another descriptor").with_source(error)
    })?;
    Ok(tokio::fs::File::from_std(copy.into()))
}

#[async_trait]
impl EventSink for LiveOutput {
    async fn publish(&self, _evaluation: EvaluationId, event: Event) {
        let Event::OutputProduced { stream, bytes } = event else {
            return;
        };
        let mut streams = self.streams.lock().await;
        if streams.failure.is_some() {
            return;
        }
        let channel = match stream {
            Stream::Stdout => &mut streams.stdout,
            Stream::Stderr => &mut streams.stderr,
        };
        let written = tokio::select! {
            written = channel.write(&bytes) => written,
            () = self.cancel.cancelled() => Ok(()),
        };
        if let Err(error) = written {
            streams.failure = Some(error);
            self.cancel.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    /// Takes nothing, either forever or with an error.
    struct Stuck(Option<io::ErrorKind>);

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.0.map_or(Poll::Pending, |kind| Poll::Ready(Err(kind.into())))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn output(stdout: Stuck, cancel: CancellationToken) -> LiveOutput {
        let channel = |stuck| Channel::new(stuck, false, Controls::Neutralised);
        let streams = Streams { stdout: channel(stdout), stderr: channel(Stuck(None)), failure: None };
        LiveOutput { streams: Mutex::new(streams), cancel }
    }

    fn event() -> Event {
        Event::OutputProduced { stream: Stream::Stdout, bytes: b"hello".to_vec() }
    }

    #[tokio::test]
    async fn a_reader_who_went_away_ends_the_program() {
        let cancel = CancellationToken::new();
        let output = output(Stuck(Some(io::ErrorKind::BrokenPipe)), cancel.clone());
        output.publish(EvaluationId::generate(), event()).await;
        assert!(cancel.is_cancelled());
        output.publish(EvaluationId::generate(), event()).await;
        assert_eq!(output.finish().await.failure.unwrap().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_reader_who_does_not_read_is_not_waited_for_after_a_cancellation() {
        let cancel = CancellationToken::new();
        let output = Arc::new(output(Stuck(None), cancel.clone()));
        let publishing = tokio::spawn({
            let output = Arc::clone(&output);
            async move { output.publish(EvaluationId::generate(), event()).await }
        });
        tokio::task::yield_now().await;
        assert!(!publishing.is_finished());
        cancel.cancel();
        publishing.await.unwrap();
        assert!(Arc::into_inner(output).unwrap().finish().await.failure.is_none());
    }
}
