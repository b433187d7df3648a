//! Commands: started, followed by any number of listeners, written to, and ended.
//!
//! Invariant: a command lives on when nobody listens to it; what nobody listens to is kept nowhere; whoever listens and reads slowly
//! slows the command down, and nothing else.

use crate::E2b;
use crate::connect::{Failure, PLACES, Piece, read, read_enveloped, stream, timeout};
use crate::opened::Opened;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_core::{GuestPath, Signal, Status, TerminalSize};
use crucible_engine::{CommandEnded, CommandHandle, CommandOutput, ExecSpec, RunningCommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// The most bytes of output in one message.
const PIECE: usize = 32 << 10;
/// The user that the SDK runs as where nobody says otherwise: a sandbox's own, here.
const USUAL_USER: &str = "user";

/// The commands of a sandbox that were started by this interface, by numbers of its own: a sandbox's own numbers aren't known outside.
#[derive(Default)]
pub(crate) struct Processes {
    running: Mutex<BTreeMap<u32, Arc<Process>>>,
    last: AtomicU32,
}

impl Processes {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Process>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, selector: Option<&Selector>) -> Result<Arc<Process>, Failure> {
        let running = self.running();
        let found = match selector {
            Some(Selector { pid: Some(pid), .. }) => running.get(pid),
            Some(Selector { tag: Some(tag), .. }) => running.values().find(|process| process.tag.as_ref() == Some(tag)),
            _ => return Err(Failure::invalid("process: neither pid nor tag is there")),
        };
        found.cloned().ok_or_else(|| Failure::new("not_found", "there is no such process"))
    }
}

struct Process {
    pid: u32,
    config: Config,
    tag: Option<String>,
    handle: CommandHandle,
    stdin: tokio::sync::Mutex<Option<Box<dyn AsyncWrite + Send + Unpin>>>,
    /// `None` once it has ended.
    listeners: Mutex<Option<Vec<mpsc::Sender<Piece>>>>,
}

impl Process {
    fn listeners(&self) -> MutexGuard<'_, Option<Vec<mpsc::Sender<Piece>>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who listens.
    async fn tell(&self, event: Value) {
        let listeners = self.listeners().clone().unwrap_or_default();
        for listener in listeners {
            // Whoever went away hears nothing more.
            let _told = listener.send(Piece::Message(json!({"event": event}))).await.is_ok();
        }
        if let Some(listeners) = self.listeners().as_mut() {
            listeners.retain(|listener| !listener.is_closed());
        }
    }

    async fn pump(&self, mut output: CommandOutput, stream: &'static str) {
        let mut buffer = vec![0; PIECE];
        while let Ok(read @ 1..) = output.read(&mut buffer).await {
            let piece = STANDARD.encode(buffer.get(..read).unwrap_or_default());
            self.tell(json!({"data": {stream: piece}})).await;
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Config {
    cmd: String,
    args: Vec<String>,
    envs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Selector {
    pid: Option<u32>,
    tag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pty {
    size: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Size {
    cols: u32,
    rows: u32,
}

impl Pty {
    fn size(&self) -> Result<TerminalSize, Failure> {
        let size = self.size.as_ref().ok_or_else(|| Failure::invalid("pty: it has no size"))?;
        let number = |number| u16::try_from(number).map_err(|_| Failure::invalid("pty: it is too large"));
        Ok(TerminalSize { rows: number(size.rows)?, columns: number(size.cols)? })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StartRequest {
    process: Config,
    pty: Option<Pty>,
    tag: Option<String>,
    stdin: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OfProcess {
    process: Option<Selector>,
    input: Option<Input>,
    signal: Value,
    pty: Option<Pty>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Input {
    stdin: Option<String>,
    pty: Option<String>,
}

/// As which user a command is to run; `None` for the sandbox's own.
pub(crate) fn user(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(basic) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let wrong = || Failure::invalid("Authorization names no user");
    let encoded = basic.to_str().ok().and_then(|basic| basic.strip_prefix("Basic ")).ok_or_else(wrong)?;
    let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let name = decoded.split(':').next().unwrap_or_default();
    Ok(Some(name).filter(|name| !name.is_empty() && *name != USUAL_USER).map(str::to_owned))
}

/// A folder of the sandbox: what begins with no slash lies in the work folder.
pub(crate) fn place(path: &str) -> Result<GuestPath, Failure> {
    let path = path.strip_prefix("~/").unwrap_or(path);
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    if path.is_empty() || path == "~" {
        return Ok(GuestPath::work());
    }
    GuestPath::parse(path).map_err(Failure::from)
}

/// Starts a command, and tells what it does until it ends or nobody listens any more.
pub(crate) async fn start(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Response {
    let opened = match e2b.reached(&headers).await {
        Ok(opened) => opened,
        Err(unreachable) => return unreachable.into_response(),
    };
    answer(begin(&opened, &headers, &body).await).await
}

/// A stream, or the failure with which it ends at once.
async fn answer(begun: Result<mpsc::Receiver<Piece>, Failure>) -> Response {
    let pieces = match begun {
        Ok(pieces) => pieces,
        Err(failure) => {
            let (sender, pieces) = mpsc::channel(1);
            let _told = sender.send(Piece::End(Err(failure))).await.is_ok();
            pieces
        }
    };
    stream(pieces)
}

async fn begin(opened: &Arc<Opened>, headers: &HeaderMap, body: &Bytes) -> Result<mpsc::Receiver<Piece>, Failure> {
    let StartRequest { process: config, pty, tag, stdin } = read_enveloped(body)?;
    if config.cmd.is_empty() {
        return Err(Failure::invalid("process.cmd: it is missing"));
    }
    let terminal = pty.as_ref().map(Pty::size).transpose()?;
    let spec = ExecSpec {
        env: config.envs.clone(),
        directory: config.cwd.as_deref().map_or_else(|| Ok(GuestPath::work()), place)?,
        user: user(headers)?,
        terminal,
        timeout: timeout(headers)?,
        ..ExecSpec::new(std::iter::once(config.cmd.clone()).chain(config.args.clone()).collect())
    };
    let RunningCommand { stdin: input, stdout, stderr, mut end } = opened.session.exec(spec).await?;
    let keeps_input = stdin.unwrap_or(false) || terminal.is_some();
    let (sender, pieces) = mpsc::channel(PLACES);
    let pid = opened.processes.last.fetch_add(1, Ordering::Relaxed) + 1;
    let _told = sender.send(Piece::Message(json!({"event": {"start": {"pid": pid}}}))).await.is_ok();
    let process = Arc::new(Process {
        pid,
        config,
        tag,
        handle: end.handle(),
        stdin: tokio::sync::Mutex::new(input.filter(|_| keeps_input)),
        listeners: Mutex::new(Some(vec![sender])),
    });
    opened.processes.running().insert(pid, Arc::clone(&process));
    let opened = Arc::clone(opened);
    tokio::spawn(async move {
        let stream = if terminal.is_some() { "pty" } else { "stdout" };
        let output = async { tokio::join!(process.pump(stdout, stream), process.pump(stderr, "stderr")) };
        let (_, ended) = tokio::join!(output, end.wait());
        opened.processes.running().remove(&pid);
        let listeners = process.listeners().take().unwrap_or_default();
        for listener in listeners {
            let (event, last) = last_words(&ended);
            if let Some(event) = event {
                let _told = listener.send(Piece::Message(json!({"event": {"end": event}}))).await.is_ok();
            }
            let _told = listener.send(Piece::End(last)).await.is_ok();
        }
    });
    Ok(pieces)
}

/// How a command ended: as an event where it did, and as the stream's end.
fn last_words(ended: &crucible_core::Result<CommandEnded>) -> (Option<Value>, Result<(), Failure>) {
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return (None, Err(Failure::new("unavailable", error.to_string()))),
    };
    let by = |what: String| json!({"exitCode": -1, "exited": false, "status": what, "error": what});
    let event = match ended.status {
        Status::Exited { code } => json!({"exitCode": code, "exited": true, "status": format!("exit status {code}")}),
        Status::Signaled { signal } => by(format!("signal: {signal}")),
        Status::OutOfMemory => by("the memory limit was reached".to_owned()),
        Status::LimitExceeded { limit } => by(format!("the {limit} limit was reached")),
        Status::Denied => by("the policy ends the sandbox on what it did".to_owned()),
        Status::TimedOut => return (None, Err(Failure::new("deadline_exceeded", "the command's time was over"))),
        Status::Cancelled => return (None, Err(Failure::new("unavailable", "the sandbox was ended"))),
    };
    (Some(event), Ok(()))
}

/// Follows a command that runs already.
pub(crate) async fn connect(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Response {
    let opened = match e2b.reached(&headers).await {
        Ok(opened) => opened,
        Err(unreachable) => return unreachable.into_response(),
    };
    let follow = async {
        let request: OfProcess = read_enveloped(&body)?;
        let process = opened.processes.find(request.process.as_ref())?;
        let (sender, pieces) = mpsc::channel(PLACES);
        let _told = sender.send(Piece::Message(json!({"event": {"start": {"pid": process.pid}}}))).await.is_ok();
        match process.listeners().as_mut() {
            Some(listeners) => listeners.push(sender),
            None => return Err(Failure::new("not_found", "the process has ended")),
        }
        Ok(pieces)
    };
    answer(follow.await).await
}

/// The process that a request means, with what else it says.
async fn of_process(
    e2b: &E2b,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Result<(Arc<Process>, OfProcess), Failure>, Response> {
    let opened = e2b.reached(headers).await.map_err(IntoResponse::into_response)?;
    let read = || {
        let request: OfProcess = read(body)?;
        Ok((opened.processes.find(request.process.as_ref())?, request))
    };
    Ok(read())
}

/// Does something to a process, whose answer is empty.
async fn to_process(
    e2b: &E2b,
    headers: &HeaderMap,
    body: &Bytes,
    work: impl AsyncFnOnce(&Process, OfProcess) -> Result<(), Failure>,
) -> Response {
    let found = match of_process(e2b, headers, body).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let done = match found {
        Ok((process, request)) => work(&process, request).await,
        Err(failure) => Err(failure),
    };
    match done {
        Ok(()) => Json(json!({})).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// Lists the commands that run.
pub(crate) async fn list(State(e2b): State<E2b>, headers: HeaderMap) -> Response {
    match e2b.reached(&headers).await {
        Ok(opened) => {
            let tell =
                |process: &Arc<Process>| json!({"config": process.config, "pid": process.pid, "tag": process.tag});
            let processes: Vec<_> = opened.processes.running().values().map(tell).collect();
            Json(json!({"processes": processes})).into_response()
        }
        Err(unreachable) => unreachable.into_response(),
    }
}

/// Writes to a command's standard input, or types at its terminal.
pub(crate) async fn send_input(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Response {
    to_process(&e2b, &headers, &body, async |process, request| {
        let input = request.input.unwrap_or_default();
        let text = input.stdin.or(input.pty).ok_or_else(|| Failure::invalid("input: it is missing"))?;
        let bytes = STANDARD.decode(text).map_err(|_| Failure::invalid("input: it isn't base64"))?;
        let mut stdin = process.stdin.lock().await;
        let stdin = stdin
            .as_mut()
            .ok_or_else(|| Failure::new("failed_precondition", "the process has no open standard input"))?;
        let written = async {
            stdin.write_all(&bytes).await?;
            stdin.flush().await
        };
        written.await.map_err(|_| Failure::new("failed_precondition", "the process reads no input any more"))
    })
    .await
}

/// Ends a command's standard input.
pub(crate) async fn close_stdin(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Response {
    to_process(&e2b, &headers, &body, async |process, _| {
        drop(process.stdin.lock().await.take());
        Ok(())
    })
    .await
}

/// Sends a signal.
pub(crate) async fn send_signal(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Response {
    to_process(&e2b, &headers, &body, async |process, request| {
        let signal = match (request.signal.as_str(), request.signal.as_i64()) {
            (Some("SIGNAL_SIGKILL"), _) | (_, Some(9)) => Signal::KILL,
            (Some("SIGNAL_SIGTERM"), _) | (_, Some(15)) => Signal::TERMINATE,
            _ => return Err(Failure::invalid("signal: it is neither SIGNAL_SIGKILL nor SIGNAL_SIGTERM")),
        };
        Ok(process.handle.signal(signal).await?)
    })
    .await
}

/// Says how large a terminal is.
pub(crate) async fn update(State(e2b): State<E2b>, headers: HeaderMap, body: Bytes) -> Response {
    to_process(&e2b, &headers, &body, async |process, request| {
        let size = request.pty.ok_or_else(|| Failure::invalid("pty: it is missing"))?.size()?;
        Ok(process.handle.resize(size).await?)
    })
    .await
}
