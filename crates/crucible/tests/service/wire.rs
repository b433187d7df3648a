//! HTTP as bytes on a connection, so that a test sees what really comes, and can send what no client would.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// No answer of these tests may take longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Demands this status, and gives the JSON.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Demands a problem document of this status that says all of `parts`, and nothing of this machine.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, parts: &[&str]) {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{text}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{text}");
        assert!(problem["type"].as_str().unwrap().starts_with("urn:crucible:problem:"), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        assert!(!text.contains("/home") && !text.contains(".rs:"), "{text}");
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A connection on which one request was sent.
pub(crate) struct Connection {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    reader: BufReader<TcpStream>,
}

impl Connection {
    /// Sends a head, and then a body as far as it is taken.
    pub(crate) fn send(address: &str, head: &str, body: &[u8]) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(head.as_bytes())?;
        // It may be refused before it is read.
        let _ = stream.write_all(body);
        let mut reader = BufReader::new(stream);
        let broken = |what: &str| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what.to_owned());
        let first = line(&mut reader)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| broken(&format!("no status: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut reader)?;
            if line.is_empty() {
                return Ok(Self { status, headers, reader });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The whole answer.
    pub(crate) fn answer(mut self) -> std::io::Result<Answer> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") == Some("chunked") {
            while let Some(piece) = self.piece()? {
                body.extend(piece);
            }
        } else if let Some(length) = self.header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            // An answer to HEAD, and one that nothing has changed, have no body.
            if self.reader.fill_buf()?.is_empty() {
                body.clear();
            } else {
                self.reader.read_exact(&mut body)?;
            }
        }
        Ok(Answer { status: self.status, headers: self.headers, body })
    }

    /// The next piece of an answer that comes in pieces; nothing after the last.
    pub(crate) fn piece(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let length = line(&mut self.reader)?;
        let length = usize::from_str_radix(&length, 16)
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, format!("no length: {length:?}")))?;
        let mut piece = vec![0; length];
        self.reader.read_exact(&mut piece)?;
        line(&mut self.reader)?;
        Ok((length > 0).then_some(piece))
    }

    /// Sends a text message over a WebSocket, masked with nothing.
    pub(crate) fn say(&mut self, opcode: u8) {
        self.reader.get_mut().write_all(&[0x80 | opcode, 0x80, 0, 0, 0, 0]).unwrap();
    }

    /// The next message of a WebSocket: its opcode and its content.
    pub(crate) fn message(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.reader.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.reader.read_exact(&mut length).unwrap();
                u64::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.reader.read_exact(&mut length).unwrap();
                u64::from_be_bytes(length)
            }
            short => short.into(),
        };
        let mut content = vec![0; usize::try_from(length).unwrap()];
        self.reader.read_exact(&mut content).unwrap();
        (head[0] & 0xf, content)
    }
}

fn line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Server-sent events as they come.
pub(crate) struct Events {
    connection: Connection,
    text: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: u64,
    pub(crate) kind: String,
    pub(crate) data: Value,
}

impl Events {
    #[track_caller]
    pub(crate) fn of(connection: Connection) -> Self {
        assert_eq!((connection.status, connection.header("content-type")), (200, Some("text/event-stream")));
        Self { connection, text: String::new() }
    }
}

impl Iterator for Events {
    type Item = Told;

    fn next(&mut self) -> Option<Told> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let told = field("id: ").map(|id| Told {
                    id: id.parse().unwrap(),
                    kind: field("event: ").unwrap(),
                    data: serde_json::from_str(&field("data: ").unwrap()).unwrap(),
                });
                self.text = rest.to_owned();
                if told.is_some() {
                    return told;
                }
            }
            let piece = self.connection.piece().unwrap()?;
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}
