//! A conversation with a command over a WebSocket: standard input as it comes, signals, the terminal's size.
//!
//! Text messages are [`ExecControl`] from the caller, of which `start` comes first, and [`ExecEvent`] to it. Binary messages
//! are standard input from the caller, and output to it, with the stream's tag as the first byte. Where the caller goes away,
//! the command is ended.

use crate::exec::{PIECE, input, last_event, pump, spec};
use crate::path::Id;
use crate::problem::Problem;
use crate::{Caller, SandboxService};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use crucible_api::v1::{ExecControl, ExecEvent, OutputStream, ProblemDetail};
use crucible_core::{Error, ErrorKind, Result, Role, Signal};
use crucible_engine::{CommandHandle, RunningCommand, Session};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

/// The longest message from a caller.
const LONGEST_MESSAGE: usize = crate::MOST_BODY;
/// Pieces of input that may wait for the command. Beyond them nothing is heard of the caller until the command has read some.
const PLACES: usize = 8;
/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// Talk with a command in a sandbox, over a WebSocket
///
/// Text messages are `ExecControl` to it and `ExecEvent` from it; binary ones are its streams.
#[utoipa::path(get, path = "/v1/sandboxes/{id}/exec", tag = "sandboxes", params(("id" = String, Path, description = "Its id")),
    responses((status = 101, description = "The conversation begins")))]
pub(crate) async fn converse(
    State(service): State<SandboxService>,
    caller: Caller,
    Id(id): Id,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> std::result::Result<Response, Problem> {
    caller.needs(Role::Submitter)?;
    let session = service.find(&caller, &id)?;
    let upgrade = upgrade.map_err(|rejection| {
        Error::new(ErrorKind::InvalidInput, "begin the conversation", rejection.to_string())
            .with_hint("POST runs a command without a conversation")
    })?;
    let upgrade = upgrade.max_message_size(LONGEST_MESSAGE).max_frame_size(LONGEST_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| talk(socket, session)))
}

/// The whole conversation.
async fn talk(mut socket: WebSocket, session: Arc<Session>) {
    let running = match begin(&mut socket, &session).await {
        Ok(Some(running)) => running,
        // Gone before it said anything.
        Ok(None) => return,
        Err(error) => return finish(socket, &ExecEvent::Failed { error: ProblemDetail::from(&error) }).await,
    };
    if let Some(last) = go_on(&mut socket, running).await {
        finish(socket, &last).await;
    }
}

/// Says the last word and closes.
async fn finish(mut socket: WebSocket, event: &ExecEvent) {
    let close = CloseFrame { code: close_code::NORMAL, reason: "".into() };
    if say(&mut socket, event).await && socket.send(Message::Close(Some(close))).await.is_ok() {
        // Until the caller has closed, too: what is still on its way to it would be lost otherwise.
        let _ = tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
    }
}

/// Says something. False where the caller is gone.
async fn say(socket: &mut WebSocket, event: &ExecEvent) -> bool {
    let text = serde_json::to_string(event).unwrap_or_default();
    socket.send(Message::Text(text.into())).await.is_ok()
}

/// Hears what is to be run, and starts it.
async fn begin(socket: &mut WebSocket, session: &Arc<Session>) -> Result<Option<(RunningCommand, Vec<u8>)>> {
    let refuse = |message: String| Error::new(ErrorKind::InvalidInput, "begin the conversation", message);
    let first = tokio::time::timeout(PATIENCE, socket.recv()).await;
    let text = match first.map_err(|_| refuse("nothing was said".to_owned()))? {
        Some(Ok(Message::Text(text))) => text,
        None | Some(Err(_) | Ok(Message::Close(_))) => return Ok(None),
        Some(Ok(_)) => return Err(refuse("the first message is no text".to_owned())),
    };
    let request = match serde_json::from_str(&text) {
        Ok(ExecControl::Start(request)) => request,
        Ok(_) => return Err(refuse("the first message doesn't start a command".to_owned())),
        Err(error) => return Err(refuse(format!("the first message: {error}"))),
    };
    let first_input = input(&request)?;
    let running = session.exec(spec(request)?).await?;
    Ok(Some((running, first_input)))
}

/// From the command's start to its end, with the last word; nothing where the caller went away.
async fn go_on(socket: &mut WebSocket, (mut running, first_input): (RunningCommand, Vec<u8>)) -> Option<ExecEvent> {
    if !say(socket, &ExecEvent::Started).await {
        return None;
    }
    let (keys, typed) = mpsc::channel(PLACES);
    if !first_input.is_empty() {
        keys.send(first_input).await.ok()?;
    }
    let mut keys = Some(keys);
    let handle = running.end.handle();
    let feeding = running.stdin.take().map(|stdin| tokio::spawn(feed(stdin, typed)));
    let (pieces, mut taken) = mpsc::channel(PLACES);
    let RunningCommand { stdout, stderr, mut end, .. } = running;
    let pumps = [
        tokio::spawn(pump(stdout, OutputStream::Stdout, pieces.clone())),
        tokio::spawn(pump(stderr, OutputStream::Stderr, pieces)),
    ];
    let last = loop {
        // With nowhere to put it, what the caller says next isn't heard yet.
        let has_room = keys.as_ref().is_none_or(|keys| keys.capacity() > 0);
        tokio::select! {
            biased;
            piece = taken.recv() => match piece {
                Some((stream, bytes)) => {
                    let message = [&[stream.tag()], bytes.as_slice()].concat();
                    if socket.send(Message::Binary(message.into())).await.is_err() {
                        break None;
                    }
                }
                // Both streams have ended.
                None => break Some(last_event(end.wait().await)),
            },
            said = socket.recv(), if has_room => {
                if !heed(said, &mut keys, &handle).await {
                    break None;
                }
            }
            () = async { match &keys {
                Some(keys) => drop(keys.reserve().await),
                None => std::future::pending().await,
            } }, if !has_room => {}
        }
    };
    pumps.iter().chain(&feeding).for_each(tokio::task::JoinHandle::abort);
    last
}

/// Does what the caller says. False where it is gone.
async fn heed(
    said: Option<std::result::Result<Message, axum::Error>>,
    keys: &mut Option<mpsc::Sender<Vec<u8>>>,
    handle: &CommandHandle,
) -> bool {
    match said {
        Some(Ok(Message::Binary(bytes))) => {
            if let Some(keys) = keys {
                // A command that has closed its input is within its rights.
                let _ = keys.try_send(bytes.to_vec());
            }
            true
        }
        Some(Ok(Message::Text(text))) => {
            match serde_json::from_str(&text) {
                // What comes too late, or can't be done, changes nothing about the conversation.
                Ok(ExecControl::Resize(size)) => drop(handle.resize(size.into()).await),
                Ok(ExecControl::Signal { signal }) => {
                    if let Ok(signal) = signal.parse::<Signal>() {
                        drop(handle.signal(signal).await);
                    }
                }
                Ok(ExecControl::EndOfInput) => *keys = None,
                Ok(ExecControl::Start(_)) | Err(_) => return false,
            }
            true
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => true,
        Some(Ok(Message::Close(_)) | Err(_)) | None => false,
    }
}

/// Gives a command its input until that ends.
async fn feed(mut stdin: Box<dyn AsyncWrite + Send + Unpin>, mut typed: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = typed.recv().await {
        for piece in bytes.chunks(PIECE) {
            if stdin.write_all(piece).await.is_err() {
                return;
            }
        }
    }
    let _ = stdin.shutdown().await;
}
