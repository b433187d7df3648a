//! Connections to a service.

use super::{Address, Body};
use crucible_core::{Error, ErrorKind, Result};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Something that bytes go through both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection.
pub(super) type Connection = Box<dyn Stream>;

/// A connection as hyper takes it.
pub(super) type Transport = TokioIo<Connection>;

/// Connects to a service.
pub(super) async fn connect(address: &Address) -> Result<Connection> {
    let (connected, shown) = match address {
        Address::Unix(path) => (UnixStream::connect(path).await.map(boxed), "the socket".to_owned()),
        Address::Tcp(authority) => (TcpStream::connect(authority).await.map(boxed), authority.clone()),
    };
    connected.map_err(|error| {
        let message = match error.kind() {
            io::ErrorKind::PermissionDenied => format!("this user may not talk to the service at {shown}"),
            _ => format!("no service answers at {shown}"),
        };
        Error::new(ErrorKind::Unavailable, "ask the service", message).with_source(error)
    })
}

fn boxed(stream: impl Stream + 'static) -> Connection {
    Box::new(stream)
}

/// Sends a request and gives the answer's beginning.
pub(super) async fn send(transport: Transport, request: Request<Body>) -> Result<Response<Incoming>> {
    let failed = |error: hyper::Error| {
        // Our own bytes that couldn't be read break the connection off, too.
        let is_ours = error.is_user();
        let kind = if is_ours { ErrorKind::Io } else { ErrorKind::Infrastructure };
        let message =
            if is_ours { "what was to be sent can't be read" } else { "the service broke off the connection" };
        Error::new(kind, "ask the service", message).with_source(error)
    };
    let (mut sender, connection) = http1::handshake(transport).await.map_err(failed)?;
    // It moves the bytes of both bodies, and ends when they have.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(failed)
}
