//! Standard streams with something wrong.

use super::Leak;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStdin, ChildStdout};

/// Standard input of a guest.
pub(super) struct Input {
    pub(super) pipe: ChildStdin,
    pub(super) leak: Leak,
    pub(super) passed: usize,
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        const MOST: usize = 64 << 10;
        let room = if self.leak == Leak::InputCut { MOST - self.passed } else { bytes.len() };
        if room == 0 {
            return Poll::Ready(Ok(bytes.len()));
        }
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.pipe).poll_write(context, bytes));
        match written {
            Err(_) if self.leak == Leak::InputHangs => Poll::Pending,
            Ok(count) => {
                self.passed += count;
                Poll::Ready(Ok(count))
            }
            broken => Poll::Ready(broken),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

/// Standard output of a guest that is given only when it is complete.
pub(super) struct HeldBack {
    pub(super) pipe: ChildStdout,
    pub(super) kept: Vec<u8>,
    pub(super) given: Option<usize>,
}

impl AsyncRead for HeldBack {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.given.is_none() {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut this.pipe).poll_read(context, &mut buffer))?;
            match buffer.filled() {
                [] => this.given = Some(0),
                bytes => this.kept.extend_from_slice(bytes),
            }
        }
        let rest = this.kept.get(this.given.unwrap_or_default()..).unwrap_or_default();
        let count = rest.len().min(out.remaining());
        out.put_slice(rest.get(..count).unwrap_or_default());
        this.given = this.given.map(|given| given + count);
        Poll::Ready(Ok(()))
    }
}
