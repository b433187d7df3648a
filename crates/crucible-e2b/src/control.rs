//! The control plane: making, listing, showing and ending sandboxes.
//!
//! Invariant: what is asked for and can't be had here is refused by name, never left out silently.

use crate::opened::Opened;
use crate::{E2b, ENVD_VERSION};
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crucible_api::v1::CreateSandbox;
use crucible_core::{Error, ErrorKind, NetworkPolicy, Role, rfc3339};
use crucible_engine::SessionSpec;
use crucible_server::Caller;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The templates that there are: both are the sandbox of this machine.
const TEMPLATES: [&str; 2] = ["base", "code-interpreter-v1"];
/// How long a sandbox lives that nobody says it of.
const LIVES: u64 = 300;
/// The most that a page has.
const LONGEST_PAGE: usize = 100;

/// A failure of the control plane.
pub(crate) struct Refused {
    status: StatusCode,
    message: String,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn wrong(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"code": self.status.as_u16(), "message": self.message}))).into_response()
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorKind::Refused | ErrorKind::Held => StatusCode::FORBIDDEN,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        Self::new(status, format!("{error}{hint}"))
    }
}

impl E2b {
    /// Who asks the control plane: by the SDK's own header, which holds a key of this service.
    async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let mut known = headers.clone();
        if let Some(key) = headers.get("x-api-key").and_then(|key| key.to_str().ok())
            && let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {key}"))
        {
            known.insert(header::AUTHORIZATION, bearer);
        }
        let caller = self.0.api.access.identify(&known).await?;
        caller.needs(Role::Submitter)?;
        Ok(caller)
    }

    /// One of a caller's sandboxes.
    fn find(&self, caller: &Caller, id: &str) -> Result<Arc<Opened>, Refused> {
        let shown: String = id.chars().take(64).collect();
        let missing = || Refused::new(StatusCode::NOT_FOUND, format!("sandbox {shown:?} not found"));
        let opened = self.opened().get(&id.parse().map_err(|_| missing())?).cloned().ok_or_else(missing)?;
        if caller.sees_those_of(&opened.project) { Ok(opened) } else { Err(missing()) }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewSandbox {
    #[serde(rename = "templateID")]
    template: String,
    #[serde(default)]
    timeout: Option<u64>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default, rename = "envVars")]
    env: BTreeMap<String, String>,
    #[serde(default)]
    allow_internet_access: Option<bool>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// Whether something is asked for at all.
fn is_asked(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    }
}

fn lives(seconds: u64) -> Result<Duration, Refused> {
    let longest = SessionSpec::LONGEST.get();
    let lives = Duration::from_secs(seconds);
    if lives > longest {
        return Err(Refused::wrong(format!(
            "timeout: {seconds} is more than the {} s that a sandbox may live",
            longest.as_secs()
        )));
    }
    Ok(lives)
}

fn token() -> Result<String, Refused> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, format!("no random bytes: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// Makes a sandbox.
pub(crate) async fn create(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    request: Result<Json<NewSandbox>, JsonRejection>,
) -> Result<Response, Refused> {
    let caller = e2b.caller(&headers).await?;
    let Json(request) = request.map_err(|rejection| Refused::wrong(rejection.body_text()))?;
    let NewSandbox { template, timeout, metadata, env, allow_internet_access, more } = request;
    if !TEMPLATES.contains(&template.as_str()) {
        let message = format!("template {template:?} not found: there are {} here", TEMPLATES.join(" and "));
        return Err(Refused::new(StatusCode::NOT_FOUND, message));
    }
    // All that reach a sandbox need its token, whether that is asked for or not.
    let mut asked = more.iter().filter(|(name, value)| *name != "secure" && is_asked(value));
    if let Some((name, _)) = asked.next() {
        return Err(Refused::wrong(format!("{name} isn't done here; docs/e2b.md says what is")));
    }
    let lives = lives(timeout.unwrap_or(LIVES))?;
    let longest = format!("{}s", SessionSpec::LONGEST.get().as_secs());
    // The control plane's own clock ends it, because that can be set later.
    let request = CreateSandbox {
        env,
        network: (allow_internet_access == Some(false)).then(|| NetworkPolicy::None.to_string()),
        idle_timeout: Some(longest.clone()),
        lifetime: Some(longest),
        ..CreateSandbox::default()
    };
    let session = e2b.0.sandboxes.open(&caller, &request).await?;
    if allow_internet_access == Some(true) && session.spec().policy.network == NetworkPolicy::None {
        session.destroy().await?;
        return Err(Refused::wrong("allow_internet_access: there is no network in sandboxes here"));
    }
    let opened = Opened::new(session, caller.project.clone(), token()?, (template, metadata), lives);
    e2b.opened().insert(opened.id(), Arc::clone(&opened));
    Ok((StatusCode::CREATED, Json(reachable(&opened))).into_response())
}

/// What a client needs to reach a sandbox.
fn reachable(opened: &Opened) -> Value {
    json!({
        "sandboxID": opened.id().to_string(),
        "templateID": opened.template,
        "alias": opened.template,
        "clientID": "crucible",
        "envdVersion": ENVD_VERSION,
        "envdAccessToken": opened.token,
        "trafficAccessToken": opened.token,
    })
}

fn document(opened: &Opened) -> Value {
    let limits = opened.session.limits();
    let mebibytes = |size: crucible_core::ByteSize| size.get() >> 20;
    json!({
        "sandboxID": opened.id().to_string(),
        "templateID": opened.template,
        "alias": opened.template,
        "clientID": "crucible",
        "startedAt": rfc3339(opened.session.created_at()),
        "endAt": rfc3339(opened.ends_at()),
        "envdVersion": ENVD_VERSION,
        "cpuCount": limits.cpus.get().div_ceil(1000),
        "memoryMB": mebibytes(limits.memory),
        "diskSizeMB": mebibytes(limits.disk),
        "state": "running",
        "metadata": opened.metadata,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    metadata: Option<String>,
    state: Option<String>,
    template: Option<String>,
    order: Option<String>,
    limit: Option<usize>,
    #[serde(rename = "nextToken")]
    next_token: Option<String>,
}

/// Pairs as the SDK writes them: quoted, and quoted again as a query.
fn pairs(text: &str) -> Vec<(String, String)> {
    let plain = |text: &str| {
        let once = percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        percent_decode_str(&once).decode_utf8_lossy().into_owned()
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (plain(name), plain(value))).collect()
}

/// Lists a caller's sandboxes.
pub(crate) async fn list(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refused> {
    let caller = e2b.caller(&headers).await?;
    let mut all: Vec<_> = e2b.opened().values().cloned().collect();
    let metadata = wanted.metadata.as_deref().map(pairs).unwrap_or_default();
    all.retain(|opened| {
        caller.sees_those_of(&opened.project)
            && wanted.state.as_deref().is_none_or(|states| states.split(',').any(|state| state == "running"))
            && wanted.template.as_deref().is_none_or(|template| template == opened.template)
            && metadata.iter().all(|(name, value)| opened.metadata.get(name) == Some(value))
    });
    all.sort_by_key(|opened| opened.id());
    if wanted.order.as_deref() != Some("asc") {
        all.reverse();
    }
    if let Some(token) = &wanted.next_token {
        let place = all.iter().position(|opened| opened.id().to_string() == *token);
        all.drain(..place.map_or(all.len(), |place| place + 1));
    }
    let limit = wanted.limit.unwrap_or(LONGEST_PAGE).clamp(1, LONGEST_PAGE);
    let is_more = all.len() > limit;
    all.truncate(limit);
    let mut response = Json(all.iter().map(|opened| document(opened)).collect::<Vec<_>>()).into_response();
    if let Some(last) = all.last().filter(|_| is_more)
        && let Ok(token) = HeaderValue::from_str(&last.id().to_string())
    {
        response.headers_mut().insert("x-next-token", token);
    }
    Ok(response)
}

/// Shows one.
pub(crate) async fn show(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refused> {
    let caller = e2b.caller(&headers).await?;
    Ok(Json(document(&*e2b.find(&caller, &id)?)))
}

/// Ends one.
pub(crate) async fn kill(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let caller = e2b.caller(&headers).await?;
    e2b.find(&caller, &id)?.session.destroy().await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Timeout {
    timeout: Option<u64>,
}

/// Says anew how long one lives.
pub(crate) async fn set_timeout(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Path(id): Path<String>,
    request: Result<Json<Timeout>, JsonRejection>,
) -> Result<StatusCode, Refused> {
    let caller = e2b.caller(&headers).await?;
    let opened = e2b.find(&caller, &id)?;
    let Json(Timeout { timeout }) = request.map_err(|rejection| Refused::wrong(rejection.body_text()))?;
    opened.live_for(lives(timeout.ok_or_else(|| Refused::wrong("timeout: it is missing"))?)?);
    Ok(StatusCode::NO_CONTENT)
}

/// Tells how one is reached, and has it live at least so long.
pub(crate) async fn connect(
    State(e2b): State<E2b>,
    headers: HeaderMap,
    Path(id): Path<String>,
    request: Result<Json<Timeout>, JsonRejection>,
) -> Result<Json<Value>, Refused> {
    let caller = e2b.caller(&headers).await?;
    let opened = e2b.find(&caller, &id)?;
    let Json(Timeout { timeout }) = request.map_err(|rejection| Refused::wrong(rejection.body_text()))?;
    opened.live_at_least(lives(timeout.unwrap_or(LIVES))?);
    Ok(Json(reachable(&opened)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_the_sdk_quotes_them() {
        assert_eq!(
            pairs("a%2520b=c%253Dd&e=f"),
            [("a b".to_owned(), "c=d".to_owned()), ("e".to_owned(), "f".to_owned())]
        );
        assert!(pairs("").is_empty());
    }

    #[test]
    fn what_is_empty_is_not_asked_for() {
        for value in [json!(null), json!(false), json!([]), json!({})] {
            assert!(!is_asked(&value), "{value}");
        }
        for value in [json!(true), json!([1]), json!({"a": 1}), json!("x"), json!(0)] {
            assert!(is_asked(&value), "{value}");
        }
    }
}
