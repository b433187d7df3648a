//! `crucible watch`: an evaluation's events as they happen.

use super::{client_of, exit};
use crate::arguments::{Controls, WatchArguments};
use crate::command::runtime;
use crate::exit::Exit;
use crate::output::{self, Format, LiveOutput};
use base64::Engine as _;
use crucible_api::client::Client;
use crucible_api::v1::EvaluationEvent;
use crucible_core::{ErrorKind, EvaluationId, Event, EventSink as _, Result, Stream};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is tried to follow on where the service was gone.
const TRIES: u32 = 30;
/// How long to wait in between.
const PAUSE: Duration = Duration::from_secs(1);

/// What becomes of following an evaluation that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhileHeld {
    /// It is followed on, once somebody has decided.
    Waits,
    /// It is over: nobody may be there who could decide.
    Ends,
}

/// Follows an evaluation to its end.
///
/// # Errors
/// What the service answers.
pub(crate) fn watch(arguments: &WatchArguments) -> Result<Exit> {
    let client = client_of(&arguments.server)?;
    let runtime = runtime()?;
    let watched = runtime.block_on(follow(&client, &arguments.id, arguments.server.format(), WhileHeld::Waits));
    runtime.shutdown_background();
    watched
}

/// Shows what an evaluation writes, or each of its events as JSON, and gives what the process ends with.
///
/// # Errors
/// What the service answers.
pub(super) async fn follow(client: &Client, id: &str, format: Format, held: WhileHeld) -> Result<Exit> {
    let gone = CancellationToken::new();
    let live = match format {
        Format::Text => Some(LiveOutput::new(Controls::Neutralised, gone.clone())?),
        Format::Json => None,
    };
    let (mut last, mut tries, mut is_held) = (0, 0, false);
    'following: loop {
        let followed = async {
            let mut events = client.events(id, last).await?;
            while let Some(event) = events.next().await? {
                last = event.number;
                tries = 0;
                match &live {
                    None => {
                        if output::json(&event)? != Exit::Success {
                            return Ok(());
                        }
                    }
                    Some(live) => show(live, &event).await,
                }
                is_held = event.kind == "held" && held == WhileHeld::Ends;
                // Or whoever reads our output went away.
                if is_held || gone.is_cancelled() {
                    return Ok(());
                }
            }
            Ok::<(), crucible_core::Error>(())
        };
        match followed.await {
            Ok(()) if gone.is_cancelled() => return Ok(Exit::Interrupted(crate::exit::SIGPIPE)),
            Ok(()) if is_held => break 'following,
            Ok(()) => {
                let state = client.evaluation(id, None).await.map(|evaluation| evaluation.state);
                if state.is_ok_and(|state| state.is_final()) {
                    break 'following;
                }
                // The service stops: it comes again.
            }
            Err(error) if last > 0 && tries < TRIES && !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Io) => {
            }
            Err(error) => return Err(error),
        }
        tries += 1;
        if tries > TRIES {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if let Some(live) = live {
        let finished = live.finish().await;
        if let Some(failure) = finished.failure {
            return output::unwritable(failure, "the program's output");
        }
    }
    exit(&client.evaluation(id, None).await?)
}

async fn show(live: &LiveOutput, event: &EvaluationEvent) {
    let text = |name: &str| event.data.get(name).and_then(serde_json::Value::as_str);
    match event.kind.as_str() {
        "output_produced" => {
            let bytes = match (text("text"), text("base64")) {
                (Some(text), _) => text.as_bytes().to_vec(),
                (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default(),
                (None, None) => return,
            };
            let stream = if text("stream") == Some("stderr") { Stream::Stderr } else { Stream::Stdout };
            live.publish(EvaluationId::generate(), Event::OutputProduced { stream, bytes }).await;
        }
        "retried" | "put_back" => {
            let reason = event.data.pointer("/error/message").and_then(serde_json::Value::as_str);
            output::note(&format!("it is tried again: {}", reason.unwrap_or("the service stops")), false);
        }
        "held" => output::note("the policy holds it until somebody has decided", false),
        _ => {}
    }
}
