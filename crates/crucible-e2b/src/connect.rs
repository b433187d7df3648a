//! The Connect protocol as far as the SDK speaks it: JSON messages, one answer or a stream of them.
//!
//! Invariant: a stream ends with a message that says so, whatever became of it; one without is broken off, and its caller knows.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_core::{Error, ErrorKind, TimeSpan};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The most bytes of a request.
const MOST_MESSAGE: u32 = 16 << 20;
/// Marks the last message of a stream.
const END: u8 = 2;
/// Messages that may wait for their reader.
pub(crate) const PLACES: usize = 16;

/// A failure in the protocol's words.
#[derive(Debug)]
pub(crate) struct Failure {
    code: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("invalid_argument", message)
    }

    /// For what this service doesn't do.
    pub(crate) fn not_done(what: &str) -> Self {
        Self::new("unimplemented", format!("{what} isn't done here; docs/e2b.md says what is"))
    }

    fn status(&self) -> StatusCode {
        match self.code {
            "invalid_argument" | "failed_precondition" | "out_of_range" => StatusCode::BAD_REQUEST,
            "unauthenticated" => StatusCode::UNAUTHORIZED,
            "permission_denied" => StatusCode::FORBIDDEN,
            "not_found" => StatusCode::NOT_FOUND,
            "already_exists" => StatusCode::CONFLICT,
            "resource_exhausted" => StatusCode::TOO_MANY_REQUESTS,
            "unimplemented" => StatusCode::NOT_IMPLEMENTED,
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            "deadline_exceeded" => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn document(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidInput => "invalid_argument",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Refused | ErrorKind::Held | ErrorKind::Conflict => "failed_precondition",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Overloaded => "resource_exhausted",
            _ => "internal",
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status(), axum::Json(self.document())).into_response()
    }
}

/// Reads the one message of a unary call.
pub(crate) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::invalid(format!("the message can't be read: {error}")))
}

/// Reads the one message of a call whose answer is a stream.
pub(crate) fn read_enveloped<T: DeserializeOwned>(body: &Bytes) -> Result<T, Failure> {
    let short = || Failure::invalid("the message is cut off");
    let (head, rest) = body.split_at_checked(5).ok_or_else(short)?;
    let (flags, length) = head.split_at(1);
    let length = length.iter().fold(0_u32, |length, byte| (length << 8) | u32::from(*byte));
    if flags != [0] || length > MOST_MESSAGE {
        return Err(Failure::invalid("the message is compressed, or too large"));
    }
    let length = usize::try_from(length).map_err(|_| short())?;
    read(&Bytes::copy_from_slice(rest.get(..length).ok_or_else(short)?))
}

/// How long the caller waits, where it says that.
pub(crate) fn timeout(headers: &HeaderMap) -> Result<Option<TimeSpan>, Failure> {
    let Some(text) = headers.get("connect-timeout-ms") else { return Ok(None) };
    let milliseconds = text.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    let milliseconds = milliseconds.ok_or_else(|| Failure::invalid("Connect-Timeout-Ms is no number"))?;
    Ok(Some(TimeSpan::millis(milliseconds)))
}

fn enveloped(flags: u8, message: &impl Serialize) -> Bytes {
    let text = serde_json::to_vec(message).unwrap_or_default();
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(text.len() + 5);
    bytes.push(flags);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&text);
    Bytes::from(bytes)
}

/// What a stream takes: messages, and at last how it ended.
pub(crate) enum Piece {
    Message(Value),
    End(Result<(), Failure>),
}

/// The answer that tells what comes on a channel. A channel that closes without an end has broken off.
pub(crate) fn stream(pieces: mpsc::Receiver<Piece>) -> Response {
    let body = futures_util::stream::unfold(Some(pieces), |state| async move {
        let mut pieces = state?;
        Some(match pieces.recv().await {
            Some(Piece::Message(message)) => (Ok(enveloped(0, &message)), Some(pieces)),
            Some(Piece::End(Ok(()))) => (Ok(enveloped(END, &json!({}))), None),
            Some(Piece::End(Err(failure))) => (Ok(enveloped(END, &json!({"error": failure.document()}))), None),
            None => (Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)), None),
        })
    });
    ([(header::CONTENT_TYPE, "application/connect+json")], Body::from_stream(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_read_and_a_broken_one_is_refused() {
        let whole = enveloped(0, &json!({"a": 1}));
        assert_eq!(read_enveloped::<Value>(&whole).unwrap(), json!({"a": 1}));
        for length in 0..whole.len() {
            assert!(read_enveloped::<Value>(&whole.slice(..length)).is_err(), "{length}");
        }
        let mut compressed = whole.to_vec();
        compressed[0] = 1;
        assert!(read_enveloped::<Value>(&Bytes::from(compressed)).is_err());
        assert!(read_enveloped::<Value>(&Bytes::from(vec![0, 255, 255, 255, 255])).is_err());
    }
}
