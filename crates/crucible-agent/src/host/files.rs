//! Files on their way in and out, a piece at a time.

use super::client::Shared;
use super::error::AgentError;
use super::state::TransferState;
use crate::protocol::{PIECE, Placed, Refusal, Request, What};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{mpsc, oneshot};

/// How many pieces may be on their way without an answer.
const MOST_OUTSTANDING: u32 = 4;

/// A file that is being written. It isn't whole before [`FileWriter::finish`].
pub struct FileWriter {
    shared: Arc<Shared>,
    number: u32,
    answers: mpsc::UnboundedReceiver<Result<(), Refusal>>,
    outstanding: u32,
}

impl FileWriter {
    pub(super) const fn new(
        shared: Arc<Shared>,
        number: u32,
        answers: mpsc::UnboundedReceiver<Result<(), Refusal>>,
    ) -> Self {
        Self { shared, number, answers, outstanding: 0 }
    }

    pub(super) fn begin(mut self, path: &str, mode: u32) -> Result<Self, AgentError> {
        self.send(&Request::CreateFile { number: self.number, path: path.to_owned(), mode })?;
        Ok(self)
    }

    fn send(&mut self, request: &Request<'_>) -> Result<(), AgentError> {
        if let Some(TransferState::Writing { outstanding, .. }) = self.shared.state().transfers.get_mut(&self.number) {
            *outstanding += 1;
        }
        self.outstanding += 1;
        self.shared.send(request)
    }

    async fn answer(&mut self) -> Result<(), AgentError> {
        match self.answers.recv().await {
            Some(result) => {
                self.outstanding -= 1;
                result.map_err(AgentError::Refused)
            }
            None => Err(self.shared.lost()),
        }
    }

    /// Writes more bytes. Not cancel-safe.
    ///
    /// # Errors
    /// `Refused`, perhaps for what was written before; `Lost`.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AgentError> {
        for bytes in bytes.chunks(PIECE) {
            while self.outstanding >= MOST_OUTSTANDING {
                self.answer().await?;
            }
            self.send(&Request::WriteFile { number: self.number, bytes })?;
        }
        Ok(())
    }

    /// Waits until all of it is written.
    ///
    /// # Errors
    /// `Refused`, `Lost`.
    pub async fn finish(mut self) -> Result<(), AgentError> {
        while self.outstanding > 0 {
            self.answer().await?;
        }
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        close(&self.shared, self.number);
    }
}

/// Puts things in place, many with one request.
pub(super) struct Putter<'a> {
    writer: FileWriter,
    waiting: Vec<Placed<'a>>,
    bytes: usize,
}

impl<'a> Putter<'a> {
    pub(super) const fn new(writer: FileWriter) -> Self {
        Self { writer, waiting: Vec::new(), bytes: 0 }
    }

    pub(super) async fn put(&mut self, placed: Placed<'a>) -> Result<(), AgentError> {
        let What::File(content) = placed.what else { return self.add(placed, 0).await };
        let (first, rest) = content.split_at(content.len().min(PIECE));
        self.add(Placed { what: What::File(first), ..placed }, first.len()).await?;
        for more in rest.chunks(PIECE) {
            self.add(Placed { what: What::More(more), ..placed }, more.len()).await?;
        }
        Ok(())
    }

    async fn add(&mut self, placed: Placed<'a>, bytes: usize) -> Result<(), AgentError> {
        self.waiting.push(placed);
        // What the path and the rest take, too.
        self.bytes += bytes + placed.path.len() + 64;
        if self.bytes >= PIECE { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), AgentError> {
        while self.writer.outstanding >= MOST_OUTSTANDING {
            self.writer.answer().await?;
        }
        self.bytes = 0;
        let placed = std::mem::take(&mut self.waiting);
        let number = self.writer.number;
        if placed.is_empty() { Ok(()) } else { self.writer.send(&Request::Put { number, placed }) }
    }

    pub(super) async fn finish(mut self) -> Result<(), AgentError> {
        self.send().await?;
        self.writer.finish().await
    }
}

/// Says that a transfer is over. What is on its way still finds its place, which the agent's answer takes away.
fn close(shared: &Shared, number: u32) {
    // An agent that is lost has nothing open.
    let _ = shared.send(&Request::CloseFile { number }).is_ok();
}

type Piece = oneshot::Receiver<Result<Vec<u8>, Refusal>>;

/// A file that is being read.
pub struct FileReader {
    shared: Arc<Shared>,
    number: u32,
    /// Its size when it was opened.
    pub(super) size: u64,
    coming: Option<Piece>,
    piece: Vec<u8>,
    start: usize,
    has_ended: bool,
}

impl FileReader {
    pub(super) const fn new(shared: Arc<Shared>, number: u32) -> Self {
        Self { shared, number, size: 0, coming: None, piece: Vec::new(), start: 0, has_ended: false }
    }

    /// Its size when it was opened, by the agent's word.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn ask(&mut self) -> io::Result<()> {
        let (came, coming) = oneshot::channel();
        let mut state = self.shared.state();
        // Whoever asks an agent that is lost hears so from the answer that never comes.
        if let Some(TransferState::Reading(waiting)) = state.transfers.get_mut(&self.number) {
            *waiting = Some(came);
        }
        drop(state);
        self.coming = Some(coming);
        self.shared.send(&Request::ReadFile { number: self.number }).map_err(io::Error::other)
    }
}

impl AsyncRead for FileReader {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let rest = self.piece.get(self.start..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(room.remaining());
                room.put_slice(rest.get(..count).unwrap_or_default());
                self.start += count;
                return Poll::Ready(Ok(()));
            }
            if self.has_ended || room.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let Some(coming) = &mut self.coming else {
                self.ask()?;
                continue;
            };
            let came = ready!(Pin::new(coming).poll(context));
            self.coming = None;
            match came {
                Ok(Ok(piece)) => {
                    self.has_ended = piece.is_empty();
                    (self.piece, self.start) = (piece, 0);
                }
                Ok(Err(refusal)) => return Poll::Ready(Err(io::Error::other(AgentError::Refused(refusal)))),
                Err(_) => return Poll::Ready(Err(io::Error::other(self.shared.lost()))),
            }
        }
    }
}

impl Drop for FileReader {
    fn drop(&mut self) {
        close(&self.shared, self.number);
    }
}
