//! Events as they happen: of one evaluation, or of all, as server-sent events or over a WebSocket.
//!
//! Invariant: whoever follows gets every event once, in order, from where they left off. What the bus can't deliver to a slow
//! one is read in the store.

use crate::api::Api;
use crate::caller::Caller;
use crate::evaluations::evaluation_id;
use crate::path::Id;
use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use crucible_core::{
    Delivery, Error, ErrorKind, EvaluationId, EventFilter, GlobalNumber, ProjectId, Result, StoredEvent, Subscription,
    rfc3339,
};
use crucible_engine::kind;
use serde::Deserialize;
use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;

/// How many events are read in the store at a time.
const PAGE: usize = 500;
/// How often something is said where nothing happens, so that nobody on the way takes the line for dead.
const QUIET: Duration = Duration::from_secs(15);

/// From where.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct From {
    /// The number of the last event that is known; a `Last-Event-ID` counts more.
    after: Option<u64>,
}

/// Which of all events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Kinds, with commas between them: `finished,failed`.
    kind: Option<String>,
    /// Of this evaluation alone.
    evaluation: Option<String>,
    /// The number of the last event that is known; without it, and without a `Last-Event-ID`, what comes from now on.
    after: Option<u64>,
}

/// What is followed.
enum Scope {
    Evaluation(EvaluationId),
    Everything(EventFilter),
}

/// Follows events.
struct Feed {
    api: Api,
    sees: Option<ProjectId>,
    scope: Scope,
    live: Box<dyn Subscription>,
    /// The number of the last event that was given: the evaluation's own, or among all.
    last: u64,
    /// Whether there may be some in the store that come before what is live.
    is_behind: bool,
    is_over: bool,
    ready: VecDeque<Arc<StoredEvent>>,
}

impl Feed {
    fn new(api: Api, caller: &Caller, scope: Scope, last: u64) -> Self {
        let filter = match &scope {
            Scope::Evaluation(id) => EventFilter { evaluation: Some(*id), ..EventFilter::default() },
            Scope::Everything(filter) => filter.clone(),
        };
        let live = api.service.parts().bus.subscribe(filter);
        let sees = caller.sees().cloned();
        Self { api, sees, scope, live, last, is_behind: true, is_over: false, ready: VecDeque::new() }
    }

    fn number(&self, event: &StoredEvent) -> u64 {
        match self.scope {
            Scope::Evaluation(_) => event.number,
            Scope::Everything(_) => event.global.0,
        }
    }

    fn take(&mut self, event: Arc<StoredEvent>) {
        let number = self.number(&event);
        if number <= self.last {
            return;
        }
        self.last = number;
        match &self.scope {
            Scope::Evaluation(_) => self.is_over |= kind::is_last(&event.kind),
            Scope::Everything(filter) if !filter.wants(&event) => return,
            Scope::Everything(_) => {}
        }
        self.ready.push_back(event);
    }

    async fn read_behind(&mut self) -> Result<()> {
        let store = &self.api.service.parts().store;
        let sees = self.sees.as_ref();
        let (events, is_final) = match self.scope {
            Scope::Evaluation(id) => {
                // Before its events: the last of them is committed together with the final state.
                let is_final = store.get(sees, id).await?.summary.state.is_final();
                (store.events(sees, id, self.last, PAGE).await?, is_final)
            }
            Scope::Everything(_) => (store.firehose(sees, GlobalNumber(self.last), PAGE).await?, false),
        };
        self.is_behind = events.len() == PAGE;
        for event in events {
            self.take(event);
        }
        // Whoever knows the last event already hears of none any more.
        self.is_over |= is_final && !self.is_behind;
        Ok(())
    }

    /// Waits for the next ones; `None` after the last.
    async fn next(&mut self) -> Option<Vec<Arc<StoredEvent>>> {
        loop {
            if !self.ready.is_empty() {
                return Some(self.ready.drain(..).collect());
            }
            if self.is_over {
                return None;
            }
            if self.is_behind {
                if let Err(error) = self.read_behind().await {
                    tracing::error!(%error, "events can't be read");
                    return None;
                }
                continue;
            }
            let closing = self.api.closing.clone();
            match closing.run_until_cancelled(self.live.next()).await?? {
                Delivery::Missed { .. } => self.is_behind = true,
                Delivery::Events(events) => {
                    for event in events {
                        // One evaluation's numbers leave none out: a gap is something that the bus dropped.
                        if matches!(self.scope, Scope::Evaluation(_)) && event.number > self.last.saturating_add(1) {
                            self.is_behind = true;
                            break;
                        }
                        self.take(event);
                    }
                }
            }
        }
    }
}

/// An event as JSON: [`crucible_api::v1::EvaluationEvent`]. Its body is JSON already, and the rest plain words.
pub(crate) fn json(event: &StoredEvent, text: &mut String) {
    let body = std::str::from_utf8(&event.body).unwrap_or("{}");
    // Writing to a text never fails.
    let _ = write!(
        text,
        "{{\"number\":{},\"global\":{},\"evaluation\":\"{}\",\"project\":\"{}\",\"kind\":\"{}\",\"at\":\"{}\",\"data\":{}}}",
        event.number,
        event.global.0,
        event.evaluation,
        event.project,
        event.kind,
        rfc3339(event.at),
        body
    );
}

/// Says something where nothing happens.
async fn next_or_quiet(feed: &mut Feed) -> Option<Option<Vec<Arc<StoredEvent>>>> {
    tokio::time::timeout(QUIET, feed.next()).await.ok()
}

fn server_sent(feed: Feed) -> Response {
    let pieces = futures_util::stream::unfold(feed, |mut feed| async move {
        let text = match next_or_quiet(&mut feed).await {
            None => ": nothing happens\n\n".to_owned(),
            Some(None) => return None,
            Some(Some(events)) => {
                let mut text = String::with_capacity(events.len().saturating_mul(256));
                for event in &events {
                    let _ = write!(text, "id: {}\nevent: {}\ndata: ", feed.number(event), event.kind);
                    json(event, &mut text);
                    text.push_str("\n\n");
                }
                text
            }
        };
        Some((Ok::<_, Infallible>(Bytes::from(text)), feed))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

async fn converse(mut socket: WebSocket, mut feed: Feed) {
    loop {
        let told = tokio::select! {
            told = next_or_quiet(&mut feed) => told,
            heard = socket.recv() => match heard {
                // Nothing that a follower says is needed.
                Some(Ok(message)) if !matches!(message, Message::Close(_)) => continue,
                _ => return,
            },
        };
        match told {
            None => {
                if socket.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
            }
            Some(None) => {
                let _closed = socket.send(Message::Close(None)).await.is_ok();
                return;
            }
            Some(Some(events)) => {
                for event in events {
                    let mut text = String::new();
                    json(&event, &mut text);
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

fn answer(feed: Feed, headers: &HeaderMap, upgrade: Upgrade) -> Result<Response> {
    let wants_socket =
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !wants_socket {
        return Ok(server_sent(feed));
    }
    match upgrade {
        Ok(upgrade) => Ok(upgrade.on_upgrade(move |socket| converse(socket, feed))),
        Err(rejection) => Err(Error::new(ErrorKind::InvalidInput, "follow events", rejection.to_string())),
    }
}

/// The highest number that an event may ever have.
const HIGHEST: u64 = i64::MAX.unsigned_abs();

fn last_known(headers: &HeaderMap, after: Option<u64>) -> Result<Option<u64>> {
    if after.is_some_and(|after| after > HIGHEST) {
        return Err(Error::new(ErrorKind::InvalidInput, "read the request", "after: no event has such a number"));
    }
    let Some(value) = headers.get("last-event-id") else { return Ok(after) };
    let number: Option<u64> = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    number.filter(|number| *number <= HIGHEST).map(Some).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "read the request", "Last-Event-ID: it is none that this service gave")
    })
}

/// Follow an evaluation's events
///
/// Server-sent events, or messages over a WebSocket where one is asked for. They begin after `Last-Event-ID`, and end after
/// the last event there will be.
#[utoipa::path(get, path = "/v1/evaluations/{id}/events", tag = "events",
    params(("id" = String, Path, description = "Its id"), From, ("last-event-id" = Option<u64>, Header, description = "The number of the last event that is known")),
    responses((status = 200, description = "Its events, each with its number, its kind and an EvaluationEvent", content_type = "text/event-stream", body = String)))]
pub(crate) async fn of_evaluation(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
    from: Result<Query<From>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    let id = evaluation_id(&id)?;
    let last = last_known(&headers, from?.0.after)?.unwrap_or(0);
    // Before anything is promised: it may be another project's.
    api.service.parts().store.events(caller.sees(), id, 0, 1).await?;
    let feed = Feed::new(api, &caller, Scope::Evaluation(id), last);
    Ok(answer(feed, &headers, upgrade)?)
}

/// Follow all events
///
/// Server-sent events, or messages over a WebSocket where one is asked for, of every evaluation that the caller may see.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(Which, ("last-event-id" = Option<u64>, Header, description = "The number of the last event that is known")),
    responses((status = 200, description = "Events, each with its place among all, its kind and an EvaluationEvent", content_type = "text/event-stream", body = String)))]
pub(crate) async fn firehose(
    State(api): State<Api>,
    caller: Caller,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    let Query(Which { kind, evaluation, after }) = which?;
    let kinds: BTreeSet<String> = kind
        .iter()
        .flat_map(|kinds| kinds.split(','))
        .map(|kind| kind.trim().to_owned())
        .filter(|kind| !kind.is_empty())
        .collect();
    let evaluation = evaluation.as_deref().map(evaluation_id).transpose()?;
    let filter = EventFilter { project: caller.sees().cloned(), evaluation, kinds };
    let last = match last_known(&headers, after)? {
        Some(last) => last,
        None => api.service.parts().store.latest_event().await?.0,
    };
    let feed = Feed::new(api, &caller, Scope::Everything(filter), last);
    Ok(answer(feed, &headers, upgrade)?)
}
