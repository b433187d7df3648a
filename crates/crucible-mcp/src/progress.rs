//! Tells whoever called a tool how far it is, where they asked for it.
//!
//! Invariant: what a run does never waits for whoever listens to its progress: only the latest stage is kept, and telling goes on
//! beside the work.

use async_trait::async_trait;
use crucible_core::{EvaluationId, Event, EventSink};
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often a stage that goes on is told again, so that a caller knows that the run lives.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Where a call has got to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    what: &'static str,
    /// What the program has written until now.
    written: u64,
}

/// Takes what happens in a run.
pub(crate) struct Stages(watch::Sender<Stage>);

impl Stages {
    /// A call that does nothing yet.
    pub(crate) fn new(what: &'static str) -> Self {
        Self(watch::Sender::new(Stage { what, written: 0 }))
    }

    /// The call has got further.
    pub(crate) fn reach(&self, what: &'static str) {
        self.0.send_modify(|stage| stage.what = what);
    }

    /// The program wrote something, which is told with the next stage or when a second is over.
    fn count(&self, bytes: usize) {
        self.0.send_if_modified(|stage| {
            stage.written = stage.written.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
            false
        });
    }
}

#[async_trait]
impl EventSink for Stages {
    async fn publish(&self, _evaluation: EvaluationId, event: Event) {
        match event {
            Event::BackendChosen { .. } => self.reach("making a sandbox"),
            Event::SandboxCreated { .. } => self.reach("the sandbox is there"),
            Event::CommandStarted => self.reach("running"),
            Event::CommandEnded { .. } => self.reach("ended: collecting"),
            Event::OutputProduced { bytes, .. } => self.count(bytes.len()),
            _ => {}
        }
    }
}

/// Whom a call's progress is told.
pub(crate) struct Progress {
    listener: Option<(Peer<RoleServer>, ProgressToken)>,
    begun: Instant,
}

impl Progress {
    /// Of a call that begins now. Nobody is told where there is no token.
    pub(crate) fn new(peer: &Peer<RoleServer>, token: Option<ProgressToken>) -> Self {
        Self { listener: token.map(|token| (peer.clone(), token)), begun: Instant::now() }
    }

    /// Does some work, and tells its stages meanwhile.
    pub(crate) async fn beside<T>(&self, stages: &Stages, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.tell(stages.0.subscribe()) => match never {},
        }
    }

    async fn tell(&self, mut stages: watch::Receiver<Stage>) -> Infallible {
        let Some((peer, token)) = &self.listener else { return std::future::pending().await };
        loop {
            let Stage { what, written } = stages.borrow_and_update().clone();
            let seconds = self.begun.elapsed().as_secs_f64();
            let message = match written {
                0 => format!("{what}, {seconds:.1} s"),
                written => format!("{what}, {seconds:.1} s, {written} bytes of output"),
            };
            let told = ProgressNotificationParam::new(token.clone(), seconds).with_message(message);
            // Whoever hears nothing any more cancels the call, or has gone.
            let _told = peer.notify_progress(told).await.is_ok();
            let _changed = tokio::time::timeout(AGAIN_AFTER, stages.changed()).await.is_ok();
        }
    }
}
