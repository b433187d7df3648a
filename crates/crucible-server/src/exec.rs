//! Runs a command in a sandbox: the answer waits for its end, or comes line by line while it runs.

use crate::path::Id;
use crate::problem::Problem;
use crate::{Caller, SandboxService};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_api::v1::{
    self, ExecEnded, ExecEvent, ExecOutcome, ExecRequest, Object, OutputStream, ProblemDetail, milliseconds,
};
use crucible_core::{Error, ErrorKind, GuestPath, Result, Role, Status, TimeSpan};
use crucible_engine::{CommandEnded, CommandOutput, ExecSpec, OutputBound, RunningCommand, Session};
use futures_util::StreamExt as _;
use serde::Deserialize;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// The most bytes of output in one event.
pub(crate) const PIECE: usize = 32 << 10;
/// Events that may wait for the caller.
const PLACES: usize = 4;

/// How the answer is to come.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Manner {
    /// Whether it comes line by line.
    #[serde(default)]
    stream: bool,
}

/// Run a command in a sandbox
///
/// The answer waits for its end, or comes line by line as `ExecEvent`s with `stream=true`.
#[utoipa::path(post, path = "/v1/sandboxes/{id}/exec", tag = "sandboxes", params(("id" = String, Path, description = "Its id"), Manner), request_body = ExecRequest,
    responses((status = 200, description = "How it ended", content((ExecOutcome = "application/json"), (String = "application/x-ndjson")))))]
pub(crate) async fn exec(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
    manner: std::result::Result<Query<Manner>, QueryRejection>,
    request: std::result::Result<Json<Object<ExecRequest>>, JsonRejection>,
) -> std::result::Result<Response, Problem> {
    let Query(Manner { stream }) = manner?;
    let Json(Object(request)) = request?;
    caller.needs(Role::Submitter)?;
    let session = service.find(&caller, &id)?;
    let input = input(&request)?;
    let spec = spec(request)?;
    if stream {
        let running = session.exec(spec).await?;
        let lines = stream_lines(running, input);
        return Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response());
    }
    Ok(Json(run(&session, spec, input).await?).into_response())
}

async fn run(session: &Arc<Session>, spec: ExecSpec, input: Vec<u8>) -> Result<ExecOutcome> {
    let finished = session.run(spec, Box::new(std::io::Cursor::new(input))).await?;
    Ok(ExecOutcome::new(ended(&finished.ended), finished.stdout, finished.stderr))
}

/// What is to be run.
///
/// # Errors
/// `InvalidInput`, naming the part that is wrong.
pub(crate) fn spec(request: ExecRequest) -> Result<ExecSpec> {
    let ExecRequest { command, env, directory, user, terminal, timeout, .. } = request;
    let timeout = timeout.map(|text| time(&text, "timeout")).transpose()?;
    let directory = directory.map_or_else(|| Ok(GuestPath::work()), |directory| GuestPath::parse(&directory))?;
    let terminal = terminal.map(Into::into);
    Ok(ExecSpec { argv: command, env, directory, user, terminal, timeout, output: OutputBound::Unbounded })
}

fn time(text: &str, what: &str) -> Result<TimeSpan> {
    text.parse::<TimeSpan>()
        .map_err(|error| Error::new(ErrorKind::InvalidInput, "read the request", format!("{what}: {error}")))
}

/// The standard input that a request holds.
pub(crate) fn input(request: &ExecRequest) -> Result<Vec<u8>> {
    let refuse = |message: &str| Err(Error::new(ErrorKind::InvalidInput, "read the request", message));
    match (&request.stdin, &request.stdin_base64) {
        (Some(_), Some(_)) => refuse("there are both stdin and stdin_base64"),
        (Some(text), None) => Ok(text.as_bytes().to_vec()),
        (None, Some(text)) => STANDARD.decode(text).or_else(|_| refuse("stdin_base64 isn't base64")),
        (None, None) => Ok(Vec::new()),
    }
}

/// How a command ended, as it is told.
#[must_use]
pub fn ended(ended: &CommandEnded) -> ExecEnded {
    let (status, limit) = match ended.status {
        Status::Exited { .. } => (v1::Status::Exited, None),
        Status::Signaled { .. } => (v1::Status::Signaled, None),
        Status::TimedOut => (v1::Status::TimedOut, None),
        Status::OutOfMemory => (v1::Status::OutOfMemory, None),
        Status::LimitExceeded { limit } => (v1::Status::LimitExceeded, Some(limit.as_str().to_owned())),
        Status::Denied => (v1::Status::Denied, None),
        Status::Cancelled => (v1::Status::Cancelled, None),
    };
    ExecEnded {
        status,
        exit_code: ended.exit_code,
        signal: ended.signal,
        limit,
        wall_ms: milliseconds(ended.wall),
        limits_observed: ended.limits_observed.iter().map(|limit| limit.as_str().to_owned()).collect(),
        others_ended: ended.others_ended,
    }
}

/// The last word on a command.
pub(crate) fn last_event(result: Result<CommandEnded>) -> ExecEvent {
    match result {
        Ok(command) => ExecEvent::Ended(ended(&command)),
        Err(error) => ExecEvent::Failed { error: ProblemDetail::from(&error) },
    }
}

/// Gives all that a stream holds, piece by piece, to where it goes. Ends early where nobody takes it.
pub(crate) async fn pump(
    mut output: CommandOutput,
    stream: OutputStream,
    pieces: mpsc::Sender<(OutputStream, Vec<u8>)>,
) {
    let mut buffer = vec![0; PIECE];
    // A stream that can't be read any more has ended, as far as anybody can tell.
    while let Ok(read @ 1..) = output.read(&mut buffer).await {
        let piece = buffer.get(..read).unwrap_or_default().to_vec();
        if pieces.send((stream, piece)).await.is_err() {
            return;
        }
    }
}

type Line = std::result::Result<Bytes, std::convert::Infallible>;

/// The lines of a streamed answer. Where the caller goes away they are dropped, and with them the command.
fn stream_lines(mut running: RunningCommand, input: Vec<u8>) -> impl futures_util::Stream<Item = Line> {
    let (pieces, mut taken) = mpsc::channel(PLACES);
    let (sender, lines) = mpsc::channel::<Line>(PLACES);
    let stdin = running.stdin.take();
    let work = async move {
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A command that doesn't want its input is within its rights.
                let _ = stdin.write_all(&input).await;
                let _ = stdin.shutdown().await;
            }
        };
        let RunningCommand { stdout, stderr, mut end, .. } = running;
        let told = async {
            if sender.send(line(&ExecEvent::Started)).await.is_err() {
                return;
            }
            while let Some((stream, bytes)) = taken.recv().await {
                let event = ExecEvent::Output { stream, base64: STANDARD.encode(bytes) };
                if sender.send(line(&event)).await.is_err() {
                    return;
                }
            }
            drop(sender.send(line(&last_event(end.wait().await))).await);
        };
        let err = pieces.clone();
        let all = async {
            tokio::join!(pump(stdout, OutputStream::Stdout, pieces), pump(stderr, OutputStream::Stderr, err), told)
        };
        tokio::select! {
            biased;
            _ = all => {}
            () = async { feed.await; std::future::pending().await } => {}
        }
    };
    let working = tokio::spawn(work);
    let guard = AbortOnDrop(working);
    // What compresses it asks once more after its end.
    futures_util::stream::unfold((lines, guard), |(mut lines, guard)| async move {
        lines.recv().await.map(|line| (line, (lines, guard)))
    })
    .fuse()
}

/// Ends a task that nobody wants any more.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn line(event: &ExecEvent) -> Line {
    let mut text = serde_json::to_vec(event).unwrap_or_default();
    text.push(b'\n');
    Ok(Bytes::from(text))
}
