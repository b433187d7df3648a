//! The typed client of the HTTP interface, over a Unix socket or TCP.
//!
//! Invariant: what a service answers is read within bounds, and a problem document becomes the error that it tells of. A file's
//! bytes are handed on as they come. Each request has a connection of its own.

mod conversation;
mod evaluations;
mod events;
mod transport;

pub use conversation::{Conversation, Heard, Listener, Speaker};
pub use evaluations::ListQuery;
pub use events::Events;

use crate::v1::{CreateSandbox, ExecRequest, FileList, HttpProblem, Sandbox, SandboxList};
use crucible_core::{Error, ErrorKind, Result};
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, BodyStream, Empty, Full, Limited, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};
use transport::Transport;

/// The most bytes of an answer that isn't a file.
const LONGEST_ANSWER: usize = 64 << 20;
/// How many bytes of a file are sent at a time.
const PIECE: usize = 64 << 10;

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host and a port.
    Tcp(String),
}

impl std::str::FromStr for Address {
    type Err = Error;

    /// Reads `unix:/path/to/socket` or `http://host:port`.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || {
            Error::new(
                ErrorKind::InvalidInput,
                "read the service's address",
                format!("{text:?} is no address of a service"),
            )
            .with_hint("unix:/path/to/socket, or http://host:port")
        };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(refuse()) };
        }
        let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).ok_or_else(refuse)?;
        let is_sound = !authority.is_empty() && !authority.contains(['/', '?', '#', '@']);
        if !is_sound {
            return Err(refuse());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Self::Tcp(if has_port { authority.to_owned() } else { format!("{authority}:80") }))
    }
}

/// A service.
#[derive(Clone)]
pub struct Client {
    address: Address,
    key: Option<String>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What lies at a path of a sandbox.
pub enum Found {
    /// A file, with its bytes as they come.
    File(Box<dyn AsyncRead + Send + Unpin>),
    /// A folder.
    Folder(FileList),
}

/// A file on its way into a sandbox.
pub struct Upload {
    /// Its bytes.
    pub content: Box<dyn AsyncRead + Send + Unpin>,
    /// How many there are, where that is known beforehand.
    pub length: Option<u64>,
    /// Whether it may be executed.
    pub executable: bool,
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

impl Client {
    /// The service at an address. Nothing is asked of it yet.
    #[must_use]
    pub const fn new(address: Address) -> Self {
        Self { address, key: None }
    }

    /// The same, with a key that it shows.
    ///
    /// # Errors
    /// `InvalidInput` for what can't be in a request's head.
    pub fn with_key(mut self, key: String) -> Result<Self> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "read the key",
                "it isn't what a service's key looks like",
            ));
        }
        self.key = Some(key);
        Ok(self)
    }

    /// Makes a sandbox.
    ///
    /// # Errors
    /// What the service answers; `Unavailable` where none does.
    pub async fn create_sandbox(&self, request: &CreateSandbox) -> Result<Sandbox> {
        self.ask(Method::POST, "/v1/sandboxes", json(request)?).await
    }

    /// Every sandbox of the service.
    ///
    /// # Errors
    /// As [`Client::create_sandbox`].
    pub async fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: SandboxList = self.ask(Method::GET, &format!("/v1/sandboxes{cursor}"), nothing()).await?;
            all.extend(page.sandboxes);
            match page.cursor {
                Some(next) => cursor = format!("?cursor={}", escape(&next)),
                None => return Ok(all),
            }
        }
    }

    /// One sandbox.
    ///
    /// # Errors
    /// As [`Client::create_sandbox`]; `NotFound` where there is none of that id.
    pub async fn sandbox(&self, id: &str) -> Result<Sandbox> {
        self.ask(Method::GET, &sandbox_path(id), nothing()).await
    }

    /// Removes a sandbox.
    ///
    /// # Errors
    /// As [`Client::sandbox`]; `Infrastructure` where something was left.
    pub async fn destroy_sandbox(&self, id: &str) -> Result<()> {
        self.request(Method::DELETE, &sandbox_path(id), nothing(), None).await.map(drop)
    }

    /// Makes another sandbox with the same files.
    ///
    /// # Errors
    /// As [`Client::sandbox`]; `Refused` where its backend can't.
    pub async fn fork_sandbox(&self, id: &str) -> Result<Sandbox> {
        self.ask(Method::POST, &format!("{}/fork", sandbox_path(id)), nothing()).await
    }

    /// Starts a command, to talk with it.
    ///
    /// # Errors
    /// As [`Client::sandbox`]. That the command can't be started is told by [`Listener::next`].
    pub async fn exec(&self, id: &str, request: ExecRequest) -> Result<Conversation> {
        let stream = transport::connect(&self.address).await?;
        let path = format!("{}/exec", sandbox_path(id));
        match conversation::begin(stream, self.host(), self.key.as_deref(), &path, request).await {
            Ok(conversation) => Ok(conversation),
            // Why it was refused the service says in an answer of the ordinary kind.
            Err(error) => {
                self.sandbox(id).await?;
                Err(error)
            }
        }
    }

    /// What lies at a path.
    ///
    /// # Errors
    /// As [`Client::sandbox`]; `Refused` for what is neither file nor folder.
    pub async fn read_file(&self, id: &str, path: &str) -> Result<Found> {
        let answer = self.request(Method::GET, &file_path(id, path), nothing(), None).await?;
        let is_json = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        if is_json {
            return read(answer).await.map(Found::Folder);
        }
        let pieces = BodyStream::new(answer.into_body())
            .try_filter_map(|frame| std::future::ready(Ok(frame.into_data().ok())))
            .map_err(io::Error::other);
        Ok(Found::File(Box::new(StreamReader::new(Box::pin(pieces)))))
    }

    /// Puts a file in.
    ///
    /// # Errors
    /// As [`Client::sandbox`]; `InvalidInput` or `Refused` where it can't be put there; `Io` where its bytes can't be read.
    pub async fn write_file(&self, id: &str, path: &str, upload: Upload) -> Result<()> {
        let Upload { content, length, executable } = upload;
        let executable = if executable { "&executable=true" } else { "" };
        let pieces = ReaderStream::with_capacity(content, PIECE).map_ok(Frame::data);
        let body = StreamBody::new(pieces).boxed_unsync();
        let path = format!("{}{executable}", file_path(id, path));
        self.request(Method::PUT, &path, body, length).await.map(drop)
    }

    /// Removes a file, a link or an empty folder.
    ///
    /// # Errors
    /// As [`Client::sandbox`]; `Refused` where it can't be removed.
    pub async fn remove_file(&self, id: &str, path: &str) -> Result<()> {
        self.request(Method::DELETE, &file_path(id, path), nothing(), None).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Body) -> Result<T> {
        read(self.request(method, path, body, None).await?).await
    }

    async fn request(&self, method: Method, path: &str, body: Body, length: Option<u64>) -> Result<Response<Incoming>> {
        let stream = transport::connect(&self.address).await?;
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.host());
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(length) = length {
            request = request.header(header::CONTENT_LENGTH, length);
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(body).map_err(|error| failed("the request can't be made").with_source(error))?;
        let answer = transport::send(Transport::new(stream), request).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(problem(answer).await) }
    }

    fn host(&self) -> &str {
        match &self.address {
            Address::Unix(_) => "crucible",
            Address::Tcp(authority) => authority,
        }
    }
}

fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Infrastructure, "ask the service", message)
}

fn nothing() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn json(value: &impl Serialize) -> Result<Body> {
    let text = serde_json::to_vec(value).map_err(|error| failed("the request can't be written").with_source(error))?;
    Ok(Full::from(text).map_err(|never| match never {}).boxed_unsync())
}

async fn read<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T> {
    let bytes = collect(answer).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| failed("the service's answer can't be understood").with_source(error))
}

async fn collect(answer: Response<Incoming>) -> Result<Bytes> {
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error| failed("the service's answer can't be read").with_source(error))
}

/// The error that an answer tells of.
async fn problem(answer: Response<Incoming>) -> Error {
    let status = answer.status();
    match read::<HttpProblem>(answer).await {
        Ok(problem) => problem.error.to_error("ask the service"),
        Err(_) if status == StatusCode::NOT_FOUND => {
            Error::new(ErrorKind::NotFound, "ask the service", "the service doesn't know this")
        }
        Err(_) => failed(format!("the service answers {status}")),
    }
}

fn sandbox_path(id: &str) -> String {
    format!("/v1/sandboxes/{}", escape(id))
}

fn file_path(id: &str, path: &str) -> String {
    format!("{}/files?path={}", sandbox_path(id), escape(path))
}

/// A text as a part of a URL.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a text never fails.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_is_refused() {
        assert_eq!("unix:/run/x".parse::<Address>().unwrap(), Address::Unix("/run/x".into()));
        for (text, authority) in
            [("http://host:1/", "host:1"), ("http://host", "host:80"), ("http://[::1]:8080", "[::1]:8080")]
        {
            assert_eq!(text.parse::<Address>().unwrap(), Address::Tcp(authority.to_owned()));
        }
        for text in ["", "host", "https://host", "unix:x", "http://", "http://a/b", "http://u@h"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_byte_of_a_path_is_taken_for_a_part_of_the_url() {
        assert_eq!(escape("/work/a b&c=?#é"), "%2Fwork%2Fa%20b%26c%3D%3F%23%C3%A9");
    }
}
