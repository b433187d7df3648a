//! The protocol over a pair of pipes: a host starts this process and talks to it by its standard streams.
//!
//! Invariant: when the host closes its end, every call is ended at once, although the protocol's library would give calls some
//! time to finish: nobody is left to read what they would say.

use crate::server::Mcp;
use crucible_core::{Error, ErrorKind, Result};
use rmcp::service::{QuitReason, ServerInitializeError, serve_server_with_ct};
use rmcp::transport::stdio_pipes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

/// Serves the host that started this process, as [`serve`] does.
///
/// # Errors
/// As [`serve`].
pub async fn serve_host(mcp: Mcp, stop: CancellationToken) -> Result<()> {
    serve(mcp, stdio_pipes(), stop).await
}

/// Serves one host until it closes its end or `stop` is cancelled. Whoever calls this shuts the server down afterwards.
///
/// # Errors
/// `InvalidInput` where what comes isn't the protocol's; `Io` where nothing can be written.
pub async fn serve<R, W>(mcp: Mcp, (reader, writer): (R, W), stop: CancellationToken) -> Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let reader = UntilClosed { reader, closed: mcp.closing().clone() };
    // The calls are ended first, so that they can still be answered.
    let (closing, ending) = (mcp.closing().clone(), CancellationToken::new());
    let passing_on = tokio::spawn({
        let ending = ending.clone();
        async move {
            stop.cancelled().await;
            closing.cancel();
            ending.cancel();
        }
    });
    let served = match serve_server_with_ct(mcp, (reader, writer), ending).await {
        Ok(service) => match service.waiting().await {
            Ok(QuitReason::JoinError(error)) | Err(error) => Err(broken(error.to_string())),
            Ok(_) => Ok(()),
        },
        // A host that went away before it said anything, and one that is told to stop.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
        Err(error @ ServerInitializeError::TransportError { .. }) => Err(broken(error.to_string())),
        Err(error) => {
            let message = format!("what came isn't the beginning of a conversation: {}", brief(&error.to_string()));
            Err(Error::new(ErrorKind::InvalidInput, "begin the conversation", message)
                .with_hint("a host of the Model Context Protocol starts this; docs/mcp.md says how"))
        }
    };
    passing_on.abort();
    served
}

fn broken(message: String) -> Error {
    Error::new(ErrorKind::Io, "serve the protocol", brief(&message))
}

fn brief(message: &str) -> String {
    message.chars().take(200).collect()
}

/// A reader that tells when there is nothing more to come.
struct UntilClosed<R> {
    reader: R,
    closed: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for UntilClosed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.reader).poll_read(context, buffer);
        let is_over = match &read {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if is_over {
            self.closed.cancel();
        }
        read
    }
}
