//! Code in contexts: Python keeps its variables from cell to cell and tells results as they can be shown; other languages run anew
//! each time.
//!
//! Invariants: cells of one context run one after the other; a cell that nobody listens to any more is interrupted, and where it
//! doesn't heed that, its context is ended. What a context says is the guest's own word: it is bounded, and passed on as it came.

use crate::E2b;
use crate::opened::{Opened, Unreachable};
use crate::process::place;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_core::{EvaluationId, GuestPath, Result, Signal, Status};
use crucible_engine::{CommandEnd, CommandOutput, ExecSpec, RunningCommand};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

/// Runs cells, inside a sandbox.
const DRIVER: &str = include_str!("driver.py");
/// The longest line that a context may say.
const LONGEST_LINE: u64 = 16 << 20;
/// How long a context may take to be ready, and to heed an interruption.
const PATIENCE: Duration = Duration::from_secs(20);
const HEEDED_WITHIN: Duration = Duration::from_secs(5);
/// Contexts of one sandbox.
const MOST_CONTEXTS: usize = 32;
/// Lines that may wait for whoever listens.
const PLACES: usize = 64;
/// The most bytes of output in one line of a language that runs anew each time.
const PIECE: usize = 32 << 10;

const PYTHON: &str = "python";

/// What runs a language, before the code; `None` for what isn't here.
fn runner(language: &str) -> Option<&'static [&'static str]> {
    match language {
        PYTHON | "python3" => Some(&["python3", "-u", "-c", DRIVER]),
        "bash" | "sh" => Some(&["bash", "-c"]),
        "javascript" | "js" => Some(&["node", "-e"]),
        _ => None,
    }
}

fn is_python(language: &str) -> bool {
    matches!(language, PYTHON | "python3")
}

/// The contexts of a sandbox.
#[derive(Default)]
pub(crate) struct Contexts(Mutex<BTreeMap<String, Arc<Context>>>);

struct Context {
    id: String,
    language: String,
    folder: GuestPath,
    /// The interpreter, once a cell was run in it.
    kernel: tokio::sync::Mutex<Option<Kernel>>,
}

impl Context {
    fn new(language: &str, folder: GuestPath) -> Self {
        let id = EvaluationId::generate().to_string();
        Self { id, language: language.to_owned(), folder, kernel: tokio::sync::Mutex::new(None) }
    }

    fn document(&self) -> Value {
        json!({"id": self.id, "language": self.language, "cwd": self.folder.as_str()})
    }
}

impl Contexts {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Context>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, context: Context) -> std::result::Result<Arc<Context>, Wrong> {
        let mut known = self.known();
        if known.len() >= MOST_CONTEXTS {
            return Err(Wrong(StatusCode::TOO_MANY_REQUESTS, format!("there are {MOST_CONTEXTS} contexts already")));
        }
        let context = Arc::new(context);
        known.insert(context.id.clone(), Arc::clone(&context));
        Ok(context)
    }

    fn find(&self, id: &str) -> std::result::Result<Arc<Context>, Wrong> {
        let shown: String = id.chars().take(64).collect();
        self.known().get(id).cloned().ok_or_else(|| Wrong(StatusCode::NOT_FOUND, format!("Context {shown} not found")))
    }

    /// The one that cells in a language run in which name none: the first one in the work folder.
    fn usual(&self, language: &str) -> std::result::Result<Arc<Context>, Wrong> {
        let is_usual = |context: &&Arc<Context>| context.language == language && context.folder == GuestPath::work();
        let found = self.known().values().find(is_usual).cloned();
        found.map_or_else(|| self.add(Context::new(language, GuestPath::work())), Ok)
    }
}

/// A request that can't be done, as the SDK reads it: the text is the message.
pub(crate) struct Wrong(StatusCode, String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

fn known_language(language: &str) -> std::result::Result<String, Wrong> {
    let language = language.to_ascii_lowercase();
    if runner(&language).is_some() {
        return Ok(if is_python(&language) { PYTHON.to_owned() } else { language });
    }
    let shown: String = language.chars().take(32).collect();
    Err(Wrong(StatusCode::BAD_REQUEST, format!("language {shown:?} isn't here: there are python, javascript and bash")))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Cell {
    code: String,
    context_id: Option<String>,
    language: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NewContext {
    language: Option<String>,
    cwd: Option<String>,
}

/// Runs a cell, and tells what it does line by line.
pub(crate) async fn execute(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    request: std::result::Result<Json<Cell>, JsonRejection>,
) -> std::result::Result<Response, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    let context = || {
        let Json(cell) = request.map_err(|rejection| Wrong(rejection.status(), rejection.body_text()))?;
        let context = match &cell.context_id {
            Some(id) => opened.contexts.find(id)?,
            None => opened.contexts.usual(&known_language(cell.language.as_deref().unwrap_or(PYTHON))?)?,
        };
        Ok::<_, Wrong>((context, cell))
    };
    let (context, cell) = match context() {
        Ok(found) => found,
        Err(wrong) => return Ok(wrong.into_response()),
    };
    let (lines, told) = mpsc::channel(PLACES);
    // A task of its own, so that a cell whose listener goes away is interrupted and not forgotten.
    tokio::spawn(async move {
        let done = if is_python(&context.language) {
            run_in_kernel(&opened, &context, cell, &lines).await
        } else {
            run_anew(&opened, &context, cell, &lines).await
        };
        if let Err(error) = done {
            tell(&lines, &failed("SandboxError", &error.to_string())).await;
        }
        tell(&lines, &json!({"type": "end_of_execution"})).await;
    });
    let body = futures_util::stream::unfold(told, |mut told| async move {
        told.recv().await.map(|line| (Ok::<_, std::convert::Infallible>(line), told))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response())
}

fn failed(name: &str, value: &str) -> Value {
    json!({"type": "error", "name": name, "value": value, "traceback": value})
}

async fn tell(lines: &mpsc::Sender<Bytes>, line: &Value) -> bool {
    lines.send(Bytes::from(format!("{line}\n"))).await.is_ok()
}

/// An interpreter that keeps its variables.
struct Kernel {
    stdin: Box<dyn AsyncWrite + Send + Unpin>,
    stdout: BufReader<CommandOutput>,
    end: CommandEnd,
    /// What has come of a line that isn't whole.
    line: Vec<u8>,
}

impl Kernel {
    async fn start(opened: &Opened, folder: GuestPath) -> Result<Option<Self>> {
        let argv = runner(PYTHON).unwrap_or_default().iter().map(|&word| word.to_owned()).collect();
        let spec = ExecSpec { directory: folder, ..ExecSpec::new(argv) };
        let RunningCommand { stdin, stdout, stderr: _, end } = opened.session.exec(spec).await?;
        let Some(stdin) = stdin else { return Ok(None) };
        let mut kernel = Self { stdin, stdout: BufReader::new(stdout), end, line: Vec::new() };
        let ready = tokio::time::timeout(PATIENCE, kernel.next()).await.ok().flatten();
        Ok(ready.filter(|line| line["type"] == "ready").map(|_| kernel))
    }

    /// The next thing that it says; `None` where it says nothing sensible any more. Cancel-safe.
    async fn next(&mut self) -> Option<Value> {
        let left = LONGEST_LINE.saturating_sub(u64::try_from(self.line.len()).unwrap_or(u64::MAX));
        (&mut self.stdout).take(left).read_until(b'\n', &mut self.line).await.ok()?;
        let line = std::mem::take(&mut self.line);
        line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok()).flatten()
    }
}

async fn run_in_kernel(opened: &Opened, context: &Context, cell: Cell, lines: &mpsc::Sender<Bytes>) -> Result<()> {
    let mut place = context.kernel.lock().await;
    if lines.is_closed() {
        return Ok(());
    }
    if place.is_none() {
        *place = Kernel::start(opened, context.folder.clone()).await?;
    }
    let Some(kernel) = place.as_mut() else {
        tell(lines, &failed("KernelError", "Python doesn't start in this sandbox")).await;
        return Ok(());
    };
    let request = json!({"code": cell.code, "env": cell.env_vars.unwrap_or_default()});
    let asked = async {
        kernel.stdin.write_all(format!("{request}\n").as_bytes()).await?;
        kernel.stdin.flush().await
    };
    let mut lives = asked.await.is_ok();
    let mut interrupted = None;
    while lives {
        let late = async {
            match interrupted {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let line = tokio::select! {
            line = kernel.next() => line,
            () = lines.closed(), if interrupted.is_none() => {
                let _sent = kernel.end.handle().signal(Signal::INTERRUPT).await.is_ok();
                interrupted = Some(tokio::time::Instant::now() + HEEDED_WITHIN);
                continue;
            }
            () = late => None,
        };
        match line {
            Some(line) if line["type"] == "end_of_execution" => return Ok(()),
            // Nobody may be there to hear it.
            Some(line) => drop(tell(lines, &line).await),
            None => lives = false,
        }
    }
    // Letting go of it ends it; the next cell has a new one.
    *place = None;
    tell(lines, &failed("KernelDied", "the interpreter ended, and its variables are lost")).await;
    Ok(())
}

async fn run_anew(opened: &Opened, context: &Context, cell: Cell, lines: &mpsc::Sender<Bytes>) -> Result<()> {
    let runner = runner(&context.language).unwrap_or_default();
    let argv = runner.iter().map(|&word| word.to_owned()).chain([cell.code]).collect();
    let env = cell.env_vars.unwrap_or_default();
    let spec = ExecSpec { directory: context.folder.clone(), env, ..ExecSpec::new(argv) };
    let RunningCommand { stdin, stdout, stderr, mut end } = opened.session.exec(spec).await?;
    drop(stdin);
    let work = async { tokio::join!(pump(stdout, "stdout", lines), pump(stderr, "stderr", lines), end.wait()).2 };
    let ended = tokio::select! {
        ended = work => ended?,
        // Letting go of the command ends it.
        () = lines.closed() => return Ok(()),
    };
    let how = match ended.status {
        Status::Exited { code: 0 } => None,
        Status::Exited { code } => Some(format!("exit status {code}")),
        Status::Signaled { signal } => Some(format!("signal {signal}")),
        Status::OutOfMemory => Some("the memory limit was reached".to_owned()),
        other => Some(format!("{other:?}")),
    };
    if let Some(how) = how {
        tell(lines, &failed("ExitError", &how)).await;
    }
    Ok(())
}

async fn pump(mut output: CommandOutput, stream: &str, lines: &mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; PIECE];
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let text = String::from_utf8_lossy(buffer.get(..read).unwrap_or_default());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        if !tell(lines, &json!({"type": stream, "text": text, "timestamp": now})).await {
            return;
        }
    }
}

/// Makes a context.
pub(crate) async fn create(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    request: std::result::Result<Json<NewContext>, JsonRejection>,
) -> std::result::Result<Response, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    let make = || {
        let Json(NewContext { language, cwd }) =
            request.map_err(|rejection| Wrong(rejection.status(), rejection.body_text()))?;
        let language = known_language(language.as_deref().unwrap_or(PYTHON))?;
        let folder = match cwd {
            None => GuestPath::work(),
            Some(cwd) => place(&cwd).map_err(|_| Wrong(StatusCode::BAD_REQUEST, "cwd: it is no folder".to_owned()))?,
        };
        opened.contexts.add(Context::new(&language, folder))
    };
    Ok(match make() {
        Ok(context) => Json(context.document()).into_response(),
        Err(wrong) => wrong.into_response(),
    })
}

/// Lists the contexts.
pub(crate) async fn list(State(e2b): State<E2b>, headers: HeaderMap) -> std::result::Result<Json<Value>, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    let contexts = opened.contexts.known().values().map(|context| context.document()).collect();
    Ok(Json(contexts))
}

/// Ends a context with what runs in it.
pub(crate) async fn remove(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> std::result::Result<Response, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    Ok(match opened.contexts.find(&id) {
        Ok(context) => {
            opened.contexts.known().remove(&id);
            // A cell that runs holds its interpreter; it ends with it.
            drop(context.kernel.try_lock().map(|mut kernel| kernel.take()));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(wrong) => wrong.into_response(),
    })
}

/// Ends a context's interpreter, so that the next cell has a new one.
pub(crate) async fn restart(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> std::result::Result<Response, Unreachable> {
    let opened = e2b.reached(&headers).await?;
    Ok(match opened.contexts.find(&id) {
        Ok(context) => {
            drop(context.kernel.lock().await.take());
            StatusCode::NO_CONTENT.into_response()
        }
        Err(wrong) => wrong.into_response(),
    })
}
