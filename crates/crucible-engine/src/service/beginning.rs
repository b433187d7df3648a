//! The beginning of a try: it is written down before its program starts, and the first time while its sandbox is made ready.
//!
//! Invariant: no program is looked at or started by a try that the store doesn't have, nor is a sandbox made by any but the first
//! one: what takes this process along is counted.

use super::Service;
use crate::engine::Clearance;
use async_trait::async_trait;
use crucible_core::{Change, Error, ErrorKind, EvaluationId, FencingToken, Result, Started};
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

/// How often one is begun that never comes to an end, since it takes the process along each time.
const MOST_STARTS: u32 = 100;
const OPERATION: &str = "run the evaluation";

/// The beginning of one try.
#[derive(Default)]
pub(super) struct Beginning(SetOnce<Result<Started>>);

impl Beginning {
    /// Writes it down, and ends what goes on for it where nothing is to be tried. To be called once.
    pub(super) async fn write(&self, service: &Service, id: EvaluationId, change: Change, run: &CancellationToken) {
        let started = service.parts.store.start(id, service.parts.node.clone(), change).await;
        if !matches!(started, Ok(Started::Started { .. })) {
            run.cancel();
        }
        let _was_first = self.0.set(started).is_ok();
    }

    /// The token of this try, once it is written down; nothing where there is none to be made.
    pub(super) async fn token(&self) -> Option<FencingToken> {
        match self.0.wait().await {
            Ok(Started::Started { token, .. }) => Some(*token),
            _ => None,
        }
    }

    /// Why it isn't to be tried any more, where that is so.
    pub(super) async fn is_one_too_many(&self) -> Option<Error> {
        match self.0.wait().await {
            Ok(Started::Started { attempt, .. }) if *attempt > MOST_STARTS => {
                let message = format!("it was begun {attempt} times and never came to an end");
                Some(Error::new(ErrorKind::Infrastructure, OPERATION, message))
            }
            _ => None,
        }
    }

    /// What the store answered.
    pub(super) fn into_answer(self) -> Result<Started> {
        let unasked = || Err(Error::new(ErrorKind::Infrastructure, OPERATION, "its beginning wasn't written down"));
        self.0.into_inner().unwrap_or_else(unasked)
    }
}

#[async_trait]
impl Clearance for Beginning {
    async fn cleared(&self) -> Result<()> {
        if let Some(error) = self.is_one_too_many().await {
            return Err(error);
        }
        // Who tries looks for the reason itself.
        let nothing = || Error::new(ErrorKind::Conflict, OPERATION, "there is nothing to be tried");
        self.token().await.map(drop).ok_or_else(nothing)
    }
}
