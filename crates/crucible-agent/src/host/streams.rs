//! A command's standard streams, and a connection's two, as the supervisor has them.

use super::client::Shared;
use crate::protocol::{OutputStream, PIECE, Request};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A command's standard input. Dropping it, or shutting it down, ends it; what was written before still arrives.
pub struct Input {
    shared: Arc<Shared>,
    number: u32,
}

impl Input {
    pub(super) const fn new(shared: Arc<Shared>, number: u32) -> Self {
        Self { shared, number }
    }

    fn end(&self) {
        let mut state = self.shared.state();
        let Some(command) = state.commands.get_mut(&self.number) else { return };
        if command.input.is_closed || std::mem::replace(&mut command.input.is_ending, true) {
            return;
        }
        drop(state);
        // An agent that is lost has ended it already.
        let _ = self.shared.send(&Request::InputEnd { number: self.number }).is_ok();
    }
}

impl AsyncWrite for Input {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.state();
        let Some(command) = state.commands.get_mut(&self.number) else {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        };
        let input = &mut command.input;
        if input.is_closed || input.is_ending {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if input.credit == 0 {
            input.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let most = usize::try_from(input.credit).unwrap_or(usize::MAX).min(PIECE);
        let bytes = bytes.get(..most).unwrap_or(bytes);
        input.credit = input.credit.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        drop(state);
        match self.shared.send(&Request::Input { number: self.number, bytes }) {
            Ok(()) => Poll::Ready(Ok(bytes.len())),
            Err(_) => Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.end();
    }
}

/// A command's output. It ends with the command's stream, or with the agent. Dropping it breaks the stream.
pub struct Output {
    shared: Arc<Shared>,
    number: u32,
    stream: OutputStream,
}

impl Output {
    pub(super) const fn new(shared: Arc<Shared>, number: u32, stream: OutputStream) -> Self {
        Self { shared, number, stream }
    }
}

impl AsyncRead for Output {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state();
        // One that nobody knows any more has been read to its end.
        let Some(command) = state.commands.get_mut(&self.number) else { return Poll::Ready(Ok(())) };
        let output = command.output(self.stream);
        let (first, _) = output.bytes.as_slices();
        if first.is_empty() {
            if output.has_ended || room.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            output.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = first.len().min(room.remaining());
        room.put_slice(first.get(..count).unwrap_or_default());
        output.bytes.drain(..count);
        output.taken = output.taken.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let granted = output.grant_anew();
        state.forget_if_over(self.number);
        drop(state);
        if let Some(bytes) = granted {
            let credit = Request::OutputCredit { number: self.number, stream: self.stream, bytes };
            // An agent that is lost sends nothing more.
            let _ = self.shared.send(&credit).is_ok();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let Some(command) = state.commands.get_mut(&self.number) else { return };
        let output = command.output(self.stream);
        output.is_unwanted = true;
        output.bytes.clear();
        let has_ended = output.has_ended;
        state.forget_if_over(self.number);
        drop(state);
        if !has_ended {
            let unwanted = Request::OutputUnwanted { number: self.number, stream: self.stream };
            let _ = self.shared.send(&unwanted).is_ok();
        }
    }
}
