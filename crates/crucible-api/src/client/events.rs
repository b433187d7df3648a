//! Following an evaluation's events: server-sent events, read within bounds.

use super::{Client, failed, nothing};
use crate::v1::EvaluationEvent;
use crucible_core::{Error, ErrorKind, Result};
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use std::collections::VecDeque;

/// The longest line of an event that is taken.
const LONGEST_LINE: usize = 16 << 20;

/// Events as they come.
pub struct Events {
    body: Incoming,
    /// What came of a line that hasn't ended.
    rest: Vec<u8>,
    ready: VecDeque<EvaluationEvent>,
    last: Option<u64>,
}

impl Client {
    /// Follows an evaluation's events, from after a number.
    ///
    /// # Errors
    /// As [`Client::evaluation`].
    pub async fn events(&self, id: &str, after: u64) -> Result<Events> {
        let path = format!("/v1/evaluations/{}/events?after={after}", super::escape(id));
        let answer = self.request(Method::GET, &path, nothing(), None).await?;
        Ok(Events { body: answer.into_body(), rest: Vec::new(), ready: VecDeque::new(), last: None })
    }
}

impl Events {
    /// The number of the last event that came; `None` where none did.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Waits for the next event; `None` after the last.
    ///
    /// # Errors
    /// `Infrastructure` where the service breaks off, or says what can't be understood.
    pub async fn next(&mut self) -> Result<Option<EvaluationEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last = Some(event.number);
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|error| failed("the service broke off").with_source(error))?;
            if let Some(bytes) = frame.data_ref() {
                self.take(bytes)?;
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, more) = bytes.split_at(end);
            self.rest.extend_from_slice(line);
            bytes = more.get(1..).unwrap_or_default();
            let line = std::mem::take(&mut self.rest);
            // The data has the number and the kind, too.
            if let Some(data) = line.strip_prefix(b"data: ") {
                let event = serde_json::from_slice(data)
                    .map_err(|error| failed("an event can't be understood").with_source(error))?;
                self.ready.push_back(event);
            }
        }
        if self.rest.len() + bytes.len() > LONGEST_LINE {
            return Err(Error::new(ErrorKind::Infrastructure, "follow events", "an event is longer than is taken"));
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }
}
