//! Connections that a guest makes to the socket on which its agent listens.
//!
//! Invariant: a connection comes only by a number that was given for it, one number at a time, and never more are open than
//! [`MOST_CONNECTIONS`]: one counts until the agent says that it is over, even if nobody holds it here any more.

use super::client::Shared;
use super::error::AgentError;
use super::state::MOST_OPEN;
use super::streams::{Input, Output};
use crate::protocol::{Failure, MOST_CONNECTIONS, OutputStream, Request};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, oneshot};

/// Where connections come in. Dropping it has the agent listen no more; connections that were taken go on.
pub struct Door {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    expected: Option<Expected>,
}

/// A connection that was asked for.
struct Expected {
    connection: Connection,
    started: oneshot::Receiver<Result<(), Failure>>,
}

/// A connection, as bytes both ways. Hostile. Shutting it down says the end to the guest, which may go on sending.
pub struct Connection {
    input: Input,
    out: Output,
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let most = usize::try_from(MOST_CONNECTIONS).unwrap_or(usize::MAX);
        Self { shared, room: Arc::new(Semaphore::new(most)), expected: None }
    }

    /// Waits for the next connection, and before that for one to be over where as many are open as may be. Cancel-safe.
    ///
    /// # Errors
    /// `NotStarted` where the agent takes none any more, or listens nowhere; `Lost`.
    pub async fn accept(&mut self) -> Result<Connection, AgentError> {
        let expected = match self.expected.take() {
            Some(expected) => expected,
            None => self.expect().await?,
        };
        // It stays expected should the caller not wait for it.
        let expected = self.expected.insert(expected);
        let started = (&mut expected.started).await;
        let connection = self.expected.take().map(|expected| expected.connection);
        match (started, connection) {
            (Ok(Ok(())), Some(connection)) => Ok(connection),
            (Ok(Err(failure)), _) => Err(AgentError::NotStarted(failure)),
            (Err(_), _) | (_, None) => Err(self.shared.lost()),
        }
    }

    async fn expect(&self) -> Result<Expected, AgentError> {
        let place = tokio::select! {
            place = Arc::clone(&self.room).acquire_owned() => place,
            () = self.shared.until_lost() => return Err(self.shared.lost()),
        };
        let place = place.map_err(|_| self.shared.lost())?;
        let (number, started) = {
            let mut state = self.shared.living()?;
            let number = state.next_number().ok_or(AgentError::TooMany(MOST_OPEN))?;
            (number, state.expect_connection(number, place))
        };
        if let Err(error) = self.shared.send(&Request::Accept { number }) {
            self.shared.state().commands.remove(&number);
            return Err(error);
        }
        let connection = Connection {
            input: Input::new(Arc::clone(&self.shared), number),
            out: Output::new(Arc::clone(&self.shared), number, OutputStream::Out),
        };
        Ok(Expected { connection, started })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Before what is expected is given up: so the agent has taken it, and hears the end of its streams, or never will.
        // One that is lost listens no more.
        let _ = self.shared.send(&Request::StopListening).is_ok();
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.out).poll_read(context, room)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
