//! A client that costs little: one connection, one request after the other, nothing read that isn't looked at.

use super::failed;
use crucible_core::{Error, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The most bytes of an answer that are held.
const MOST: usize = 1 << 20;

pub(super) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
}

fn broken(error: std::io::Error) -> Error {
    failed("ask the service", "the connection is broken").with_source(error)
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        Ok(Self { stream, address, buffer: Vec::new() })
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        self.ask(&request).await.map(drop)
    }

    pub(super) async fn post(&mut self, path: &str, body: &str) -> Result<serde_json::Value> {
        let head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n", self.address);
        let answer = self.ask(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await?;
        serde_json::from_slice(&answer).map_err(|error| failed("read the answer", "it isn't JSON").with_source(error))
    }

    async fn more(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.map_err(broken)?;
        if read == 0 || self.buffer.len() > MOST {
            return Err(failed("ask the service", "the answer is cut off, or without end"));
        }
        Ok(())
    }

    /// Takes the head of an answer, and gives the length of its body where it says that.
    async fn head(&mut self) -> Result<Option<usize>> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = String::from_utf8_lossy(self.buffer.get(..end).unwrap_or_default()).to_ascii_lowercase();
                self.buffer.drain(..end + 4);
                if !head.starts_with("http/1.1 2") {
                    let first = head.lines().next().unwrap_or_default().to_owned();
                    return Err(failed("ask the service", &format!("it answers {first}")));
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                return Ok(length.and_then(|length| length.trim().parse().ok()));
            }
            self.more().await?;
        }
    }

    async fn ask(&mut self, request: &str) -> Result<Vec<u8>> {
        self.stream.write_all(request.as_bytes()).await.map_err(broken)?;
        let length = self.head().await?.ok_or_else(|| failed("ask the service", "the answer has no length"))?;
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Begins to follow events.
    pub(super) async fn follow(&mut self, path: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n\r\n", self.address);
        self.stream.write_all(request.as_bytes()).await.map_err(broken)?;
        self.head().await.map(drop)
    }

    /// Waits for some events, and says how many came.
    pub(super) async fn hear(&mut self) -> Result<u64> {
        self.more().await?;
        // An event's end and the next one's beginning may be in two pieces: what isn't over stays.
        let end = memchr::memmem::rfind(&self.buffer, b"\n\n").map_or(0, |end| end + 2);
        let heard = memchr::memmem::find_iter(self.buffer.get(..end).unwrap_or_default(), b"\ndata: ").count();
        self.buffer.drain(..end);
        Ok(u64::try_from(heard).unwrap_or(u64::MAX))
    }
}
