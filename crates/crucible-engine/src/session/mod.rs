//! A sandbox that stays open: made after admission like that of an evaluation, used for any number of commands and files,
//! and ended on request or when its time is over.
//!
//! Invariants: whatever its callers do (a dropped future, a stream that nobody reads), the sandbox stays sound and is
//! destroyed in the end, by one task that owns that. What its policy can decide only by looking at a program first is
//! refused, since nobody looks at what will be run here. A sandbox that was lost is never used again.

mod command;
mod files;
mod record;
mod registry;
mod streams;
mod warden;

use record::{Sight, Witness};
use warden::{Ask, Watched};

pub use command::{CommandEnd, CommandEnded, CommandFinished, CommandHandle, ExecSpec, OutputBound, RunningCommand};
pub use files::Executable;
pub use record::SessionRecord;
pub use registry::{MOST_SESSIONS, Sessions};
pub use streams::CommandOutput;

use crate::admission::{self, admit};
use crate::egress::{Egress, Observing, Outside};
use crate::engine::Engine;
use crate::evaluation::{check_layers, check_watching};
use crate::patience::{COPY, SET_UP, TEAR_DOWN, within};
use crate::posture::{self, Looked};
use crate::tripwire::Tripwires;
use crucible_core::{
    Backend, BehaviorKind, Counters, Error, ErrorKind, EvaluationId, EvaluationSpec, Event, EventSink, Isolation,
    Language, Layers, Limits, LiveFeature, Loss, Policy, PostureSummary, Program, Readiness, Result, Sandbox,
    SandboxId, SandboxRequest, TimeSpan, Tripwire, TripwireKind, Usage,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;
use tokio::sync::{Notify, RwLock, RwLockReadGuard, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a sandbox that stays open is made for.
#[derive(Clone, Debug)]
pub struct SessionSpec {
    /// A backend's name, or `auto`.
    pub backend: String,
    /// The language whose interpreter and files it needs; `None` gives the ordinary programs.
    pub language: Option<String>,
    /// What all of it together may use. The time limit is that of each command which names none; see
    /// [`SessionSpec::command_timeout`].
    pub limits: Limits,
    /// What it must be protected by.
    pub policy: Policy,
    /// Variables of every command.
    pub env: BTreeMap<String, String>,
    /// What is planted in it, to be left alone. Nothing whose secret would have to be looked for in what commands write.
    pub tripwires: Vec<Tripwire>,
    /// How long a command may take that says nothing of it; `None` for as long as the sandbox lives.
    pub command_timeout: Option<TimeSpan>,
    /// How long it may lie idle.
    pub idle_timeout: TimeSpan,
    /// How long it may live.
    pub lifetime: TimeSpan,
}

impl SessionSpec {
    /// How long a sandbox may lie idle that nobody says it of.
    pub const IDLE_TIMEOUT: TimeSpan = TimeSpan::secs(10 * 60);
    /// How long a sandbox may live that nobody says it of.
    pub const LIFETIME: TimeSpan = TimeSpan::secs(3600);
    /// The most that either may be.
    pub const LONGEST: TimeSpan = TimeSpan::secs(7 * 24 * 3600);
}

/// Why a sandbox is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Somebody asked for it.
    Asked,
    /// Nobody used it for too long.
    Idle,
    /// It had lived as long as it may.
    Lifetime,
    /// It was lost.
    Lost(Loss),
    /// Its policy ends a sandbox on what the host saw.
    Forbidden {
        /// What kind of thing.
        kind: BehaviorKind,
        /// Which.
        name: String,
    },
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("it was removed"),
            Self::Idle => f.write_str("nobody used it for too long"),
            Self::Lifetime => f.write_str("it had lived as long as it may"),
            Self::Lost(Loss::RunnerEnded) => f.write_str("what runs its commands has ended"),
            Self::Lost(Loss::RunnerBrokeItsWord) => f.write_str("what runs its commands doesn't behave as it should"),
            Self::Lost(Loss::MachineryLost) => f.write_str("a part of Crucible was lost"),
            Self::Forbidden { kind, name } => write!(f, "its policy ends it on {kind}: {name}"),
        }
    }
}

/// How far a session's end is.
#[derive(Clone, Debug)]
enum Clearing {
    /// It lives, or is being cleared away.
    Waiting,
    /// Nothing of it is left.
    Done,
    /// Something was left.
    Failed(String),
}

/// A sandbox that stays open.
pub struct Session {
    id: SandboxId,
    record: EvaluationId,
    spec: SessionSpec,
    /// How the engine sees what it admitted: the language and its environment are in it.
    evaluation: EvaluationSpec,
    backend: Arc<dyn Backend>,
    language: Option<(String, Arc<Language>)>,
    features: BTreeSet<LiveFeature>,
    layers: Layers,
    interpreter: Option<String>,
    tripwires: Tripwires,
    /// The outside that its allow-list may let it out to.
    outside: Arc<dyn Outside>,
    /// Variables that tell its commands of the way out, if there is one.
    way_out: BTreeMap<String, String>,
    /// What was seen of it from outside before it was used.
    looked: PostureSummary,
    witness: Witness,
    /// What was seen of it at its end.
    last_sight: OnceLock<Sight>,
    /// To its warden.
    asks: mpsc::Sender<Ask>,
    maximum: Limits,
    created_at: SystemTime,
    created: Instant,
    /// Taken out by whoever destroys it.
    sandbox: RwLock<Option<Box<dyn Sandbox>>>,
    activity: Mutex<Activity>,
    activity_changed: Notify,
    /// Ends everything that goes on in it.
    closing: CancellationToken,
    end_reason: Mutex<Option<EndReason>>,
    clearing: watch::Sender<Clearing>,
    events: Arc<dyn EventSink>,
}

/// What goes on in a session.
#[derive(Debug)]
struct Activity {
    /// Commands and file transfers.
    going_on: usize,
    commands_started: u64,
    idle_since: Instant,
}

/// Something that goes on in a session, for as long as it lives.
struct Busy(Arc<Session>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut activity = self.0.activity();
        activity.going_on = activity.going_on.saturating_sub(1);
        activity.idle_since = Instant::now();
        drop(activity);
        self.0.activity_changed.notify_one();
    }
}

fn gone(reason: Option<&EndReason>) -> Error {
    let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let kind = if matches!(reason, Some(EndReason::Lost(_))) { ErrorKind::Infrastructure } else { ErrorKind::NotFound };
    Error::new(kind, "use the sandbox", format!("the sandbox is no more{why}"))
        .with_hint("make another one: `crucible sandbox create`")
}

impl Engine {
    /// Makes a sandbox that stays open. What happens in it is told to `events` under [`Session::record`].
    ///
    /// # Errors
    /// As [`Engine::evaluate`] before anything is started; `Refused` also for a policy that decides by what is found in a
    /// program, and where the sandbox isn't as planned. Nothing is left then.
    pub async fn open_session(&self, spec: SessionSpec, events: Arc<dyn EventSink>) -> Result<Arc<Session>> {
        check_times(&spec)?;
        check_policy(&spec.policy)?;
        check_tripwires(&spec.tripwires)?;
        let mut evaluation = evaluation_of(&spec);
        evaluation.limits = spec.policy.limits_for(&spec.limits);
        let admitted = admit(self, &evaluation)?;
        let id = SandboxId::generate();
        let request = SandboxRequest {
            id,
            language: admitted.language.as_ref().map(|(_, language)| Arc::clone(language)),
            limits: evaluation.limits.clone(),
            policy: spec.policy.clone(),
            readiness: Readiness::Bare,
            project: None,
        };
        let sandbox = within(SET_UP, "create the sandbox", admitted.backend.create(request)).await?;
        let draft = Draft {
            spec,
            evaluation,
            backend: admitted.backend,
            language: admitted.language,
            maximum: self.maximum().clone(),
            outside: Arc::clone(self.outside()),
            witness: Witness { kernel: self.node().kernel.clone(), attestations: self.attestations_shared() },
            events,
        };
        draft.open(id, sandbox).await
    }
}

fn check_times(spec: &SessionSpec) -> Result<()> {
    for (what, time) in [("idle timeout", spec.idle_timeout), ("lifetime", spec.lifetime)] {
        if time < TimeSpan::secs(1) || time > SessionSpec::LONGEST {
            let message = format!("the {what} of {time} is outside 1s to {}", SessionSpec::LONGEST);
            return Err(Error::new(ErrorKind::InvalidInput, "check the sandbox's times", message));
        }
    }
    Ok(())
}

fn check_policy(policy: &Policy) -> Result<()> {
    if policy.before.needs_findings() {
        let message = format!(
            "policy '{}' decides by what is found in a program before it runs, and nobody can look beforehand at what will be \
             run in a sandbox that stays open",
            policy.name
        );
        return Err(Error::new(ErrorKind::Refused, "check the policy", message)
            .with_hint("use `crucible run`, or a policy without [before]"));
    }
    Ok(())
}

fn check_tripwires(tripwires: &[Tripwire]) -> Result<()> {
    // Nothing of a stream is kept here, so that nobody could look for it.
    if tripwires.iter().any(|tripwire| tripwire.kind() == TripwireKind::Environment) {
        let message = "a variable's secret is looked for in what programs write, which isn't looked through in a sandbox that stays open";
        return Err(Error::new(ErrorKind::Refused, "check the tripwires", message)
            .with_hint("plant credentials, a file or a listener"));
    }
    Ok(())
}

/// What is admitted: any command at all, or any program in its language.
fn evaluation_of(spec: &SessionSpec) -> EvaluationSpec {
    let program = match &spec.language {
        Some(language) => Program::Source { language: language.clone(), code: Vec::new(), args: Vec::new() },
        None => Program::Command { argv: vec!["true".to_owned()] },
    };
    EvaluationSpec {
        id: EvaluationId::generate(),
        program,
        backend: spec.backend.clone(),
        stdin: Vec::new(),
        files: Vec::new(),
        collect: Vec::new(),
        tripwires: spec.tripwires.clone(),
        env: spec.env.clone(),
        limits: spec.limits.clone(),
        policy: spec.policy.clone(),
        review: None,
        label: None,
    }
}

/// A session whose sandbox was made and not looked at yet.
struct Draft {
    spec: SessionSpec,
    evaluation: EvaluationSpec,
    backend: Arc<dyn Backend>,
    language: Option<(String, Arc<Language>)>,
    maximum: Limits,
    outside: Arc<dyn Outside>,
    witness: Witness,
    events: Arc<dyn EventSink>,
}

impl Draft {
    /// Looks at the sandbox and lets it be used, or destroys it.
    async fn open(self, id: SandboxId, sandbox: Box<dyn Sandbox>) -> Result<Arc<Session>> {
        let tripwires = Tripwires::new(&self.spec.tripwires);
        let (looked, watched) = match self.look(sandbox.as_ref(), &tripwires).await {
            Ok(seen) => seen,
            Err(error) => {
                within(TEAR_DOWN, "destroy the sandbox", sandbox.destroy()).await?;
                return Err(error);
            }
        };
        let Self { spec, evaluation, backend, language, maximum, outside, witness, events } = self;
        let (asks, asked) = mpsc::channel(1);
        let mut way_out = BTreeMap::new();
        if let Some(egress) = &watched.egress {
            egress.add_variables(&mut way_out);
        }
        let features = backend.capabilities().live_under(&spec.policy);
        let session = Arc::new(Session {
            id,
            record: evaluation.id,
            spec,
            evaluation,
            backend,
            language,
            features,
            layers: sandbox.layers().clone(),
            interpreter: sandbox.interpreter().map(str::to_owned),
            tripwires,
            outside,
            way_out,
            looked,
            witness,
            last_sight: OnceLock::new(),
            asks,
            maximum,
            created_at: SystemTime::now(),
            created: Instant::now(),
            sandbox: RwLock::new(Some(sandbox)),
            activity: Mutex::new(Activity { going_on: 0, commands_started: 0, idle_since: Instant::now() }),
            activity_changed: Notify::new(),
            closing: CancellationToken::new(),
            end_reason: Mutex::new(None),
            clearing: watch::Sender::new(Clearing::Waiting),
            events,
        });
        session.tell(Event::BackendChosen { backend: session.backend.name().to_owned() }).await;
        session.tell(Event::SandboxCreated { sandbox: id }).await;
        tokio::spawn(warden::guard(Arc::clone(&session), watched, asked));
        Ok(session)
    }

    async fn look(&self, sandbox: &dyn Sandbox, tripwires: &Tripwires) -> Result<(PostureSummary, Watched)> {
        check_layers(sandbox.layers(), &self.spec.policy)?;
        let looked = match posture::before(sandbox, &self.spec.policy).await? {
            Looked::AsPlanned(summary) => summary,
            Looked::Otherwise(summary) => {
                let differing: Vec<_> =
                    summary.differing.iter().map(|fact| format!("{}: {}", fact.name, fact.seen)).collect();
                let message = format!("seen from outside, the sandbox isn't as planned: {}", differing.join(", "));
                return Err(Error::new(ErrorKind::Refused, "look at the sandbox from outside", message));
            }
        };
        tripwires.plant(sandbox).await?;
        let armed = tripwires.arm(sandbox).await?;
        let egress = Egress::open(&self.spec.policy.network, sandbox, &self.outside)?;
        let observer = within(SET_UP, "watch the sandbox", sandbox.observe()).await?;
        check_watching(observer.monitoring(), &self.spec.policy)?;
        let observer = Box::new(Observing::new(observer, egress.as_ref().map(Egress::told)));
        Ok((looked, Watched { observer, armed, egress }))
    }
}

impl Session {
    /// The sandbox's id.
    #[must_use]
    pub const fn id(&self) -> SandboxId {
        self.id
    }

    /// Under which its events are told.
    #[must_use]
    pub const fn record(&self) -> EvaluationId {
        self.record
    }

    /// What it was made for. Its limits are those in force.
    #[must_use]
    pub const fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// The limits in force.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.evaluation.limits
    }

    /// The backend's name.
    #[must_use]
    pub fn backend(&self) -> &str {
        self.backend.name()
    }

    /// How strong its wall is.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.backend.capabilities().isolation
    }

    /// What its backend can do in it.
    #[must_use]
    pub fn features(&self) -> &BTreeSet<LiveFeature> {
        &self.features
    }

    /// The layers as they were applied.
    #[must_use]
    pub const fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The language that it was made for.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.language.as_ref().map(|(name, _)| name.as_str())
    }

    /// The path inside of its language's interpreter.
    #[must_use]
    pub fn interpreter(&self) -> Option<&str> {
        self.interpreter.as_deref()
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> SystemTime {
        self.created_at
    }

    /// How many commands and file transfers are going on, and how many commands were started.
    #[must_use]
    pub fn activity_now(&self) -> (usize, u64) {
        let activity = self.activity();
        (activity.going_on, activity.commands_started)
    }

    /// Why it is no more, or is about to be; `None` while it lives.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.end_reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it used until now.
    ///
    /// # Errors
    /// `NotFound` where it is no more; `Infrastructure` where the counters can't be read.
    pub async fn usage(&self) -> Result<Usage> {
        let counters = {
            let guard = self.sandbox().await?;
            let sandbox = guard.as_ref().ok_or_else(|| gone(self.end_reason().as_ref()))?;
            within(SET_UP, "read the counters", sandbox.counters()).await?
        };
        Ok(self.usage_of(&counters))
    }

    fn usage_of(&self, counters: &Counters) -> Usage {
        Usage {
            wall: self.created.elapsed(),
            cpu: counters.cpu,
            memory_peak_bytes: counters.memory_peak_bytes,
            processes_peak: counters.processes_peak,
        }
    }

    /// Ends everything in it and removes every trace. Goes on to the end if nobody waits for it any more.
    ///
    /// # Errors
    /// `Infrastructure` where something was left.
    pub async fn destroy(&self) -> Result<()> {
        self.close(EndReason::Asked);
        self.ended().await
    }

    /// Waits until it is no more.
    ///
    /// # Errors
    /// `Infrastructure` where something was left.
    pub async fn ended(&self) -> Result<()> {
        let mut clearing = self.clearing.subscribe();
        let lost = |what: String| Err(Error::new(ErrorKind::Infrastructure, "destroy the sandbox", what));
        match clearing.wait_for(|clearing| !matches!(clearing, Clearing::Waiting)).await.as_deref() {
            Ok(Clearing::Failed(message)) => lost(message.clone()),
            Ok(_) => Ok(()),
            Err(_) => lost("nobody is left to destroy it".to_owned()),
        }
    }

    /// Makes another sandbox with the same files and settings, and no process of this one.
    ///
    /// # Errors
    /// `Refused` where its backend can't; `NotFound` where it is no more; else as [`Engine::open_session`].
    pub async fn fork(self: &Arc<Self>) -> Result<Arc<Self>> {
        self.require(LiveFeature::Forks, "fork the sandbox")?;
        if !self.spec.tripwires.is_empty() {
            // Copying reads every file, and the copy would hold secrets that nobody watches.
            let message = "files are planted in it that are to be left alone";
            return Err(Error::new(ErrorKind::Refused, "fork the sandbox", message)
                .with_hint("make a second one instead, or leave tripwires out"));
        }
        let _busy = self.busy()?;
        let id = SandboxId::generate();
        let sandbox = {
            let guard = self.sandbox().await?;
            let sandbox = guard.as_ref().ok_or_else(|| gone(self.end_reason().as_ref()))?;
            self.unless_closing(within(COPY, "fork the sandbox", sandbox.fork(id))).await?
        };
        let mut evaluation = self.evaluation.clone();
        evaluation.id = EvaluationId::generate();
        let draft = Draft {
            spec: self.spec.clone(),
            evaluation,
            backend: Arc::clone(&self.backend),
            language: self.language.clone(),
            maximum: self.maximum.clone(),
            outside: Arc::clone(&self.outside),
            witness: self.witness.clone(),
            events: Arc::clone(&self.events),
        };
        draft.open(id, sandbox).await
    }

    fn require(&self, feature: LiveFeature, operation: &'static str) -> Result<()> {
        if self.features().contains(&feature) { Ok(()) } else { Err(feature.refusal(operation)) }
    }

    /// Begins the end, for the first reason that there is.
    fn close(&self, reason: EndReason) {
        self.end_reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.closing.cancel();
    }

    /// The sandbox, for a call that is over soon.
    async fn sandbox(&self) -> Result<RwLockReadGuard<'_, Option<Box<dyn Sandbox>>>> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(gone(self.end_reason().as_ref())),
            guard = self.sandbox.read() => Ok(guard),
        }
    }

    /// Does some work unless the sandbox's end comes first.
    async fn unless_closing<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.closing.cancelled() => Err(gone(self.end_reason().as_ref())),
        }
    }

    fn busy(self: &Arc<Self>) -> Result<Busy> {
        if self.closing.is_cancelled() {
            return Err(gone(self.end_reason().as_ref()));
        }
        let mut activity = self.activity();
        if activity.going_on >= command::MOST_AT_ONCE {
            let message = format!("{} commands and file transfers are going on in it already", command::MOST_AT_ONCE);
            return Err(Error::new(ErrorKind::Refused, "use the sandbox", message)
                .with_hint("wait until some of them have ended"));
        }
        activity.going_on += 1;
        drop(activity);
        Ok(Busy(Arc::clone(self)))
    }

    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, event: Event) {
        self.events.publish(self.record, event).await;
    }

    /// Whether arguments and environment are such as Linux takes.
    fn check_texts(&self, argv: &[String], env: &BTreeMap<String, String>) -> Result<()> {
        let spec = EvaluationSpec {
            program: Program::Command { argv: argv.to_vec() },
            env: env.clone(),
            ..self.evaluation.clone()
        };
        admission::check_texts(&spec)
    }
}
