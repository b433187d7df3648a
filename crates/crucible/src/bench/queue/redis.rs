//! Redis Streams, for comparison: a server of the benchmark's own on a private socket, and as much of its protocol as is needed.
//!
//! Invariant: the server lives in a temporary folder, listens on no network, and is ended with what started it. It syncs each
//! write before it answers (`appendfsync always`), as ours does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = "redis-server";
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
const STREAM: &str = "tasks";
const GROUP: &str = "workers";

/// A server, with one connection to it.
pub(super) struct Redis {
    server: Child,
    connection: BufReader<UnixStream>,
    /// Removed after the server's end.
    _folder: tempfile::TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that has ended already can't be ended again.
        let _ended = self.server.kill();
        let _reaped = self.server.wait();
    }
}

/// What the server answered.
#[derive(Debug)]
enum Reply {
    Text(Vec<u8>),
    Number(i64),
    Nothing,
    List(Vec<Reply>),
}

fn unexpected(what: impl std::fmt::Debug) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("Redis answered {what:?}"))
}

impl Redis {
    /// Starts a server; `None` where none is installed.
    pub(super) fn start() -> io::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("socket");
        let settings =
            ["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"];
        let started = Command::new(PROGRAM)
            .args(settings)
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut server = match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            started => started?,
        };
        let end = Instant::now() + PATIENCE;
        let connection = loop {
            match UnixStream::connect(&socket) {
                Ok(connection) => break connection,
                Err(_) if Instant::now() < end && server.try_wait()?.is_none() => std::thread::sleep(BETWEEN_TRIES),
                Err(error) => {
                    let _ended = server.kill();
                    let _reaped = server.wait();
                    return Err(error);
                }
            }
        };
        let mut redis = Self { server, connection: BufReader::with_capacity(1 << 16, connection), _folder: folder };
        redis.send(&command(&[b"XGROUP", b"CREATE", STREAM.as_bytes(), GROUP.as_bytes(), b"$", b"MKSTREAM"]))?;
        redis.receive()?;
        Ok(Some(redis))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.get_mut().write_all(bytes)
    }

    fn line(&mut self) -> io::Result<(u8, String)> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        let kind = *line.as_bytes().first().ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((kind, line.get(1..).unwrap_or_default().trim_end().to_owned()))
    }

    fn receive(&mut self) -> io::Result<Reply> {
        let (kind, line) = self.line()?;
        let number = || line.parse::<i64>().map_err(|_| unexpected(&line));
        match kind {
            b'+' => Ok(Reply::Text(line.into_bytes())),
            b':' => Ok(Reply::Number(number()?)),
            b'$' => {
                let Ok(length) = usize::try_from(number()?) else { return Ok(Reply::Nothing) };
                let mut text = vec![0; length + 2];
                self.connection.read_exact(&mut text)?;
                text.truncate(length);
                Ok(Reply::Text(text))
            }
            b'*' => {
                let Ok(length) = usize::try_from(number()?) else { return Ok(Reply::Nothing) };
                (0..length).map(|_| self.receive()).collect::<io::Result<_>>().map(Reply::List)
            }
            _ => Err(unexpected(&line)),
        }
    }

    /// Puts tasks in, reads them, acknowledges and removes them: all of one step in one pipeline.
    pub(super) fn pass(&mut self, ids: &[[u8; 16]]) -> io::Result<()> {
        let stream = STREAM.as_bytes();
        let mut bytes = Vec::new();
        for id in ids {
            bytes.extend(command(&[b"XADD", stream, b"*", b"id", id, b"project", b"default", b"priority", b"0"]));
        }
        self.send(&bytes)?;
        for _ in ids {
            self.receive()?;
        }
        let most = ids.len().to_string();
        let worker = b"worker-1";
        let (group, most) = (GROUP.as_bytes(), most.as_bytes());
        self.send(&command(&[b"XREADGROUP", b"GROUP", group, worker, b"COUNT", most, b"STREAMS", stream, b">"]))?;
        let entries = entries(self.receive()?)?;
        if entries.len() != ids.len() {
            return Err(unexpected(entries.len()));
        }
        let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
        let mut bytes = command(&[&[b"XACK".as_slice(), stream, group], entries.as_slice()].concat());
        bytes.extend(command(&[&[b"XDEL".as_slice(), stream], entries.as_slice()].concat()));
        self.send(&bytes)?;
        for _ in 0..2 {
            match self.receive()? {
                Reply::Number(number) if usize::try_from(number) == Ok(ids.len()) => {}
                other => return Err(unexpected(other)),
            }
        }
        Ok(())
    }
}

/// A command as the protocol has it.
fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The ids of the entries that XREADGROUP gave: one stream, of that its name and its entries, of each its id and its content.
fn entries(reply: Reply) -> io::Result<Vec<Vec<u8>>> {
    let second = |reply: Reply| match reply {
        Reply::List(mut list) => list.pop().ok_or_else(|| unexpected("an empty list")),
        other => Err(unexpected(other)),
    };
    let Reply::List(entries) = second(second(reply)?)? else { return Err(unexpected("no entries")) };
    let id = |entry| match entry {
        Reply::List(list) => match list.into_iter().next() {
            Some(Reply::Text(id)) => Ok(id),
            other => Err(unexpected(other)),
        },
        other => Err(unexpected(other)),
    };
    entries.into_iter().map(id).collect()
}
