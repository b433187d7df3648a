//! Runs of the attack suite that somebody asks for.
//!
//! Invariant: one is made at a time, and what came of it is kept before the next may begin. One whose process died is told of
//! as failed, never as running. How many are kept is bounded.

use crate::api::Api;
use crate::caller::Caller;
use crate::path::{self, Id};
use crate::problem::Problem;
use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use crucible_api::v1::{
    AttackReport, AttackRun, AttackRunList, AttackRunReport, AttackStarted, AttackState, Object, ProblemDetail,
    StartAttack, Verdict,
};
use crucible_core::{AttackId, AttackRecord, AttackStore, Error, ErrorKind, Result, Role, rfc3339};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

/// How many are kept.
const MOST_KEPT: usize = 50;
/// Properties that may be named.
const MOST_NAMED: usize = 1000;

/// Hears of each property before it is looked at: how many were, of how many, and its id.
pub type AttackProgress<'a> = dyn Fn(u64, u64, &str) + Send + Sync + 'a;

/// Makes a run of the attack suite.
#[async_trait]
pub trait AttackRunner: Send + Sync {
    /// Refuses what can't be run here.
    ///
    /// # Errors
    /// `NotFound` for a backend or a property that there isn't, `Refused` for a backend that isn't to be used.
    fn check(&self, request: &StartAttack) -> Result<()>;

    /// Makes it. Dropping the future ends it.
    ///
    /// # Errors
    /// Crucible's own failures; a property that isn't held is a finding.
    async fn run(&self, request: &StartAttack, progress: &AttackProgress<'_>) -> Result<AttackReport>;
}

struct Current {
    id: AttackId,
    run: AttackRun,
    stop: CancellationToken,
}

/// Runs of the attack suite.
pub struct Attacks {
    store: Arc<dyn AttackStore>,
    runner: Arc<dyn AttackRunner>,
    current: Mutex<Option<Current>>,
    closing: CancellationToken,
}

fn told(run: &AttackRun) -> Vec<u8> {
    serde_json::to_vec(run).unwrap_or_default()
}

fn damaged(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Infrastructure, "read the attack", "what is kept of it can't be read").with_source(error)
}

fn read(record: &AttackRecord) -> Result<AttackRun> {
    serde_json::from_slice(&record.summary).map_err(damaged)
}

impl Attacks {
    /// With what is kept in a store. What is running ends with `closing`.
    #[must_use]
    pub fn new(store: Arc<dyn AttackStore>, runner: Arc<dyn AttackRunner>, closing: CancellationToken) -> Self {
        Self { store, runner, current: Mutex::default(), closing }
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those for failed that were running on a process that is gone. To be called before any is begun.
    ///
    /// # Errors
    /// `Io`.
    pub async fn recover(&self) -> Result<()> {
        for record in self.store.attacks().await? {
            let Ok(mut run) = read(&record) else { continue };
            if run.state == AttackState::Running {
                let error =
                    Error::new(ErrorKind::Infrastructure, "run the attack suite", "the service ended meanwhile");
                (run.state, run.failure) = (AttackState::Failed, Some(ProblemDetail::from(&error)));
                run.finished_at = Some(rfc3339(SystemTime::now()));
                self.store.put_attack(AttackRecord { summary: told(&run).into(), ..record }, MOST_KEPT).await?;
            }
        }
        Ok(())
    }

    /// Begins one.
    async fn start(self: &Arc<Self>, request: StartAttack) -> Result<AttackId> {
        self.runner.check(&request)?;
        let (id, created) = (AttackId::generate(), SystemTime::now());
        let run = AttackRun {
            id: id.to_string(),
            backend: request.backend.clone(),
            only: request.only.clone(),
            state: AttackState::Running,
            created_at: rfc3339(created),
            finished_at: None,
            done: 0,
            total: 0,
            current: None,
            breached: 0,
            inconclusive: 0,
            held: 0,
            failure: None,
        };
        let stop = self.closing.child_token();
        {
            let mut current = self.current();
            if let Some(running) = &*current {
                let message = format!("attack {} is running, and only one is at a time", running.id);
                return Err(Error::new(ErrorKind::Conflict, "attack a backend", message));
            }
            *current = Some(Current { id, run: run.clone(), stop: stop.clone() });
        }
        let record = AttackRecord { id, created, summary: told(&run).into(), report: None };
        if let Err(error) = self.store.put_attack(record, MOST_KEPT).await {
            *self.current() = None;
            return Err(error);
        }
        let attacks = Arc::clone(self);
        tokio::spawn(async move { attacks.run(id, created, request, stop).await });
        Ok(id)
    }

    async fn run(&self, id: AttackId, created: SystemTime, request: StartAttack, stop: CancellationToken) {
        let note = |done: u64, total: u64, property: &str| {
            if let Some(current) = &mut *self.current() {
                (current.run.done, current.run.total) = (done, total);
                current.run.current = Some(property.to_owned());
            }
        };
        let ended = stop.run_until_cancelled(self.runner.run(&request, &note)).await;
        let Some(mut run) = self.current().as_ref().map(|current| current.run.clone()) else { return };
        run.finished_at = Some(rfc3339(SystemTime::now()));
        run.current = None;
        let mut report = None;
        match ended {
            None => run.state = AttackState::Cancelled,
            Some(Err(error)) => {
                tracing::error!(attack = %id, %error, "the attack suite failed");
                (run.state, run.failure) = (AttackState::Failed, Some(ProblemDetail::from(&error)));
            }
            Some(Ok(found)) => {
                let all = || found.suites.iter().flat_map(|suite| &suite.properties);
                let count = |verdict: Verdict| {
                    u64::try_from(all().filter(|property| property.verdict == verdict).count()).unwrap_or(u64::MAX)
                };
                run.state = AttackState::Finished;
                run.done = u64::try_from(all().count()).unwrap_or(u64::MAX);
                run.total = run.done;
                (run.breached, run.held) = (count(Verdict::Breached), count(Verdict::Held));
                run.inconclusive = count(Verdict::Inconclusive);
                report = serde_json::to_vec(&found).ok().map(Into::into);
            }
        }
        let record = AttackRecord { id, created, summary: told(&run).into(), report };
        if let Err(error) = self.store.put_attack(record, MOST_KEPT).await {
            tracing::error!(attack = %id, %error, "what the attack suite found can't be kept");
        }
        *self.current() = None;
    }

    /// As it is now, where it is running here.
    fn now(&self, id: &str) -> Option<AttackRun> {
        self.current().as_ref().map(|current| &current.run).filter(|run| run.id == id).cloned()
    }

    async fn list(&self) -> Result<Vec<AttackRun>> {
        let kept = self.store.attacks().await?;
        let mut runs = kept.iter().map(read).collect::<Result<Vec<_>>>()?;
        for run in runs.iter_mut().filter(|run| run.state == AttackState::Running) {
            if let Some(now) = self.now(&run.id) {
                *run = now;
            }
        }
        Ok(runs)
    }

    async fn cancel(&self, id: AttackId) -> Result<()> {
        let stop = self.current().as_ref().filter(|current| current.id == id).map(|current| current.stop.clone());
        match stop {
            Some(stop) => stop.cancel(),
            // One that is over stays as it is; one that isn't there is told.
            None => drop(self.store.attack(id).await?),
        }
        Ok(())
    }
}

fn attack_id(text: &str) -> Result<AttackId> {
    path::id(text, "find the attack", "attack")
}

/// Run the attack suite
///
/// One at a time. It runs on this machine beside everything else, and takes minutes.
#[utoipa::path(post, path = "/v1/attacks", tag = "attacks", request_body = StartAttack,
    responses((status = 202, description = "It is begun", body = AttackStarted)))]
pub(crate) async fn start(
    State(api): State<Api>,
    caller: Caller,
    request: std::result::Result<Json<Object<StartAttack>>, JsonRejection>,
) -> std::result::Result<Response, Problem> {
    caller.needs(Role::Admin)?;
    let Json(Object(request)) = request?;
    if request.only.len() > MOST_NAMED {
        let message = format!("only: it names more than {MOST_NAMED} properties");
        return Err(Error::new(ErrorKind::InvalidInput, "read the request", message).into());
    }
    let id = api.attacks.start(request).await?.to_string();
    let place = [(header::LOCATION, format!("/v1/attacks/{id}"))];
    Ok((StatusCode::ACCEPTED, place, Json(AttackStarted { id })).into_response())
}

/// List runs of the attack suite
#[utoipa::path(get, path = "/v1/attacks", tag = "attacks",
    responses((status = 200, description = "Those that are kept, the newest first", body = AttackRunList)))]
pub(crate) async fn list(State(api): State<Api>, _caller: Caller) -> std::result::Result<Json<AttackRunList>, Problem> {
    Ok(Json(AttackRunList { attacks: api.attacks.list().await? }))
}

/// [`AttackRunReport`] with the report as it was kept.
#[derive(serde::Serialize)]
struct Told {
    #[serde(flatten)]
    run: AttackRun,
    report: Option<Box<RawValue>>,
}

/// Show a run of the attack suite, with what it found
#[utoipa::path(get, path = "/v1/attacks/{id}", tag = "attacks", params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "It, with its report once it is finished", body = AttackRunReport)))]
pub(crate) async fn show(
    State(api): State<Api>,
    _caller: Caller,
    Id(id): Id,
) -> std::result::Result<Response, Problem> {
    let record = api.attacks.store.attack(attack_id(&id)?).await?;
    let mut run = read(&record)?;
    if run.state == AttackState::Running {
        run = api.attacks.now(&run.id).unwrap_or(run);
    }
    let report = record.report.as_deref().map(serde_json::from_slice).transpose().map_err(damaged)?;
    Ok(Json(Told { run, report }).into_response())
}

/// Cancel a run of the attack suite
///
/// One that is over stays as it is.
#[utoipa::path(delete, path = "/v1/attacks/{id}", tag = "attacks", params(("id" = String, Path, description = "Its id")),
    responses((status = 202, description = "It is being ended")))]
pub(crate) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
) -> std::result::Result<StatusCode, Problem> {
    caller.needs(Role::Admin)?;
    api.attacks.cancel(attack_id(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}
