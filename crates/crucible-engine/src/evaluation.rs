//! One evaluation from admission to record: create, write, run, end, collect, destroy.
//!
//! Invariant: every process of a guest is dead before the result is given, and a sandbox that was made is destroyed before that,
//! too, unless there is a pool, which puts it away beside what goes on; by its own `Drop` where the future is dropped. A result
//! after which processes could live on is no result.

use crate::admission::{Admitted, admit, choose, environment};
use crate::behavior::{Reached, Screened, Seen, behavior};
use crate::collect::{Collection, collect};
use crate::egress::{Egress, Observing};
use crate::engine::{Clearance, Engine, Evaluated, RunIo};
use crate::gate::{Entry, Gate, When};
use crate::journal::{self, Journal};
use crate::monitor::Rate;
use crate::patience::{SET_UP, TEAR_DOWN, within};
use crate::pool::{Kind, Pool, Ready};
use crate::posture::{self, Looked};
use crate::runner::{Ran, Setting, run};
use crate::streams::Kept;
use crate::subject::StreamedInput;
use crate::tripwire::{Armed, Tripwires};
use crate::verdict::{Ending, Facts, OutputSeen, Verdict, decide};
use crate::{baseline, hash, languages, validity};
use crucible_core::{
    BehaviorKind, Command, Coverage, Decision, DecisionReason, Error, ErrorKind, EvaluationSpec, Event, Evidence,
    ExitStatus, GuestPath, HeldEvaluation, LayerState, Layers, LimitKind, Monitoring, Observed, Observer, Outcome,
    Policy, PostureRecord, PostureSummary, Program, ProjectId, Readiness, Result, Sample, Sandbox, Start, Status,
    Timings, TripwireRecord, Unwatched, Usage, ValidityReason,
};
use crucible_evidence::{Protection, policy_hash};
use std::collections::BTreeSet;
use std::future::Future;
use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncRead;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

type Input = Option<Box<dyn AsyncRead + Send + Unpin>>;

/// Runs one evaluation, unless its policy holds it.
pub(crate) async fn evaluate(
    engine: &Engine,
    mut spec: EvaluationSpec,
    io: RunIo<'_>,
    clearance: &dyn Clearance,
) -> Result<Evaluated> {
    spec.limits = spec.policy.limits_for(&spec.limits);
    let mut admitted = admit(engine, &spec)?;
    let RunIo { stdin, events, cancel, project } = io;
    let spec = Arc::new(spec);
    let streamed = if stdin.is_some() { StreamedInput::Yes } else { StreamedInput::No };
    let gate = Gate::open(engine, &spec, &admitted, streamed, &cancel, clearance)?;
    let stdin = stdin.or_else(|| given_input(&spec));
    let (journal, readout) = journal::open();
    let concluded: Result<_> = {
        let (spec, gate) = (spec.as_ref(), &gate);
        let work = async move {
            let (journal, cancel) = (&journal, &cancel);
            if gate.when() == When::BeforeBackend
                && let Some(passed) = gate.pass(journal).await?
                && passed.entry == Entry::LetIn
            {
                admitted.backend = choose(engine, spec, &passed.wall)?;
            }
            let tripwires = &Tripwires::new(&spec.tripwires);
            let project = project.as_ref();
            let evaluation =
                Evaluation { engine, spec, admitted: &admitted, gate, clearance, tripwires, journal, cancel, project };
            let mut outcome = evaluation.perform(stdin).await?;
            if let (Some(label), Some(outcome)) = (&spec.label, &mut outcome) {
                baseline::compare(engine.baselines(), label.clone(), outcome).await;
            }
            Ok(outcome)
        };
        tokio::join!(work, readout.publish_to(events, spec.id)).0
    };
    Ok(match concluded? {
        Some(outcome) => Evaluated::Finished(Box::new(outcome)),
        None => {
            let (findings, admission, _) = gate.record();
            drop(gate);
            let spec = Arc::unwrap_or_clone(spec);
            Evaluated::Held(Box::new(HeldEvaluation { spec, findings, admission, at: SystemTime::now() }))
        }
    })
}

/// Standard input from the specification.
fn given_input(spec: &Arc<EvaluationSpec>) -> Input {
    struct Given(Arc<EvaluationSpec>);
    impl AsRef<[u8]> for Given {
        fn as_ref(&self) -> &[u8] {
            &self.0.stdin
        }
    }
    (!spec.stdin.is_empty())
        .then(|| -> Box<dyn AsyncRead + Send + Unpin> { Box::new(Cursor::new(Given(Arc::clone(spec)))) })
}

/// What kind of sandbox an evaluation runs in. An interpreter is made ready only where there is somebody who makes it ahead: else
/// it is started no sooner than the program.
pub(crate) fn kind(engine: &Engine, spec: &EvaluationSpec, admitted: &Admitted, project: Option<&ProjectId>) -> Kind {
    let language = admitted.language.as_ref().map(|(_, language)| Arc::clone(language));
    let is_source = matches!(spec.program, Program::Source { .. });
    // A listener inside belongs to the host's user, whom a fork of an interpreter needn't know.
    let is_plain = is_source && spec.tripwires.is_empty();
    let readiness =
        if engine.pool().is_some() && is_plain && may_be_warm(spec) { Readiness::Interpreter } else { Readiness::Bare };
    Kind {
        backend: Arc::clone(&admitted.backend),
        language,
        limits: spec.limits.clone(),
        policy: spec.policy.clone(),
        readiness,
        project: project.cloned(),
    }
}

/// Whether what was made ahead may be used for it.
pub(crate) const fn may_be_warm(spec: &EvaluationSpec) -> bool {
    spec.policy.warm
}

struct Evaluation<'a> {
    engine: &'a Engine,
    spec: &'a EvaluationSpec,
    admitted: &'a Admitted,
    gate: &'a Gate<'a>,
    clearance: &'a dyn Clearance,
    tripwires: &'a Tripwires,
    journal: &'a Journal,
    cancel: &'a CancellationToken,
    project: Option<&'a ProjectId>,
}

/// What is known once every process is dead and the files are out.
struct Finished {
    verdict: Verdict,
    stdout: Kept,
    stderr: Kept,
    collection: Collection,
    usage: Usage,
    exec: Duration,
    layers: Layers,
    interpreter: Option<String>,
    posture: Option<PostureRecord>,
    tripwires: Vec<TripwireRecord>,
    reasons: BTreeSet<ValidityReason>,
    /// What looking from outside added.
    looking: Duration,
    watched: Watched,
    start: Start,
    /// How many runs its sandbox had held before.
    former_runs: u32,
    /// Whether every process of the guest is known to be dead.
    processes_ended: bool,
}

impl Finished {
    /// Whether it ended by itself in an interpreter that had stood ready, and nothing was seen of it that is noted: only then is it
    /// worth a look whether its sandbox is as new.
    fn was_quiet(&self) -> bool {
        self.start == Start::Interpreter
            && matches!(self.verdict.status, Status::Exited { .. })
            && self.verdict.observed.is_empty()
            && self.reasons.is_empty()
            && self.tripwires.is_empty()
            && self.watched.observed.is_empty()
    }
}

/// What became of a sandbox whose evaluation is over.
#[derive(Clone, Copy)]
enum Cleared {
    /// Nothing is left of it.
    Away,
    /// Every process of its guest is dead. The rest is put away beside what goes on.
    Soon,
}

/// What was seen of the run while it went on.
struct Watched {
    observed: Vec<Observed>,
    monitoring: Monitoring,
    samples: Vec<Sample>,
    started: std::time::Instant,
    /// What the policy didn't let it go on after, if it ended for that.
    ended_for: Option<(BehaviorKind, String)>,
}

/// The interpreter as records name it: by its path, and the image that it is in where there is one.
fn recorded_interpreter(sandbox: &dyn Sandbox) -> Option<String> {
    match (sandbox.interpreter(), sandbox.image()) {
        (Some(interpreter), Some(image)) => Some(format!("{interpreter} in {image}")),
        (interpreter, image) => interpreter.or(image).map(str::to_owned),
    }
}

impl Evaluation<'_> {
    /// What came of it; nothing where it is held.
    async fn perform(&self, stdin: Input) -> Result<Option<Outcome>> {
        let beside = async {
            if self.gate.when() == When::Beside {
                self.gate.pass(self.journal).await?;
            }
            Ok(())
        };
        let (ended, looked): (_, Result<()>) = tokio::join!(self.sandboxed(stdin), beside);
        let ended = ended?;
        looked?;
        Ok(ended.map(|(finished, create, destroy)| self.outcome(finished, create, destroy)))
    }

    /// From the making of the sandbox to its end, with the times until the command started and after it ended.
    async fn sandboxed(&self, stdin: Input) -> Result<Option<(Finished, Duration, Duration)>> {
        let none = (Duration::ZERO, Duration::ZERO);
        if let Some(stopped) = self.stopped(Layers::new()) {
            return Ok(stopped.map(|finished| (finished, none.0, none.1)));
        }
        let backend = &self.admitted.backend;
        self.journal.record(Event::BackendChosen { backend: backend.name().to_owned() });
        if self.cancel.is_cancelled() {
            return Ok(Some((self.never_started(Layers::new(), Status::Cancelled), none.0, none.1)));
        }
        let began = Instant::now();
        let kind = kind(self.engine, self.spec, self.admitted, self.project);
        let pool = self.pool();
        let _active = pool.map(|pool| pool.begin());
        let (ready, looked) = match pool.and_then(|pool| pool.take(&kind)) {
            Some(Ready { sandbox, looked }) => (Some(sandbox), Some(looked)),
            None => (None, None),
        };
        let mut creating = pin!(async {
            match ready {
                Some(sandbox) => Ok(sandbox),
                None => within(SET_UP, "create the sandbox", backend.create(kind.request_at_once())).await,
            }
        });
        let sandbox = tokio::select! {
            biased;
            passed = self.gate.pass(self.journal), if self.gate.when() == When::BeforeStart => {
                match passed.map(|_| self.stopped(Layers::new())) {
                    Ok(None) => creating.await?,
                    // A program that isn't let in needs no sandbox, but half of one can't be left either.
                    stopped => {
                        if let Ok(sandbox) = creating.await {
                            within(TEAR_DOWN, "destroy the sandbox", sandbox.destroy()).await?;
                        }
                        let stopped = stopped?.flatten();
                        return Ok(stopped.map(|finished| (finished, began.elapsed(), Duration::ZERO)));
                    }
                }
            }
            sandbox = &mut creating => sandbox?,
        };
        let id = sandbox.id();
        self.journal.record(Event::SandboxCreated { sandbox: id });

        let finished = self.inside(sandbox.as_ref(), looked, stdin, began).await;
        let clearing = Instant::now();
        let destroyed = self.clear_away(sandbox, &kind, &finished).await;
        // Not sooner: it would be in the program's way.
        if let Some(pool) = self.pool() {
            pool.refill(&kind);
        }
        if let Ok(Cleared::Away) = destroyed {
            self.journal.record(Event::SandboxDestroyed { sandbox: id });
        }
        let finished = finished?;
        // What is left behind may still run, so a good result doesn't excuse it.
        destroyed?;
        Ok(finished.map(|(finished, create, collecting)| (finished, create, collecting + clearing.elapsed())))
    }

    /// Destroys the sandbox; where there is a pool, beside what goes on, if every process of its guest is known to be dead. What
    /// remains then is for the kernel and the backend to put away.
    async fn clear_away(
        &self,
        sandbox: Box<dyn Sandbox>,
        kind: &Kind,
        finished: &Result<Option<(Finished, Duration, Duration)>>,
    ) -> Result<Cleared> {
        let finished = finished.as_ref().ok().and_then(Option::as_ref).map(|(finished, ..)| finished);
        let again = finished.filter(|finished| !self.spec.policy.fresh && finished.was_quiet()).map(|_| kind);
        let is_over = finished.is_some_and(|finished| finished.processes_ended);
        let sandbox = match self.pool().filter(|_| is_over) {
            Some(pool) => match pool.clear_away(sandbox, again) {
                Ok(()) => return Ok(Cleared::Soon),
                Err(sandbox) => sandbox,
            },
            None => sandbox,
        };
        within(TEAR_DOWN, "destroy the sandbox", sandbox.destroy()).await.map(|()| Cleared::Away)
    }

    /// What there is instead of a run, where the gate has decided against one: nothing where it is held.
    fn stopped(&self, layers: Layers) -> Option<Option<Finished>> {
        match self.gate.passed()?.entry {
            Entry::LetIn => None,
            Entry::Denied => Some(Some(self.never_started(layers, Status::Denied))),
            Entry::Held => Some(None),
        }
    }

    /// What happens while the sandbox exists, with the time until the command started and the time for collecting. Nothing
    /// where it is held.
    async fn inside(
        &self,
        sandbox: &dyn Sandbox,
        looked: Option<Result<Looked>>,
        stdin: Input,
        began: Instant,
    ) -> Result<Option<(Finished, Duration, Duration)>> {
        check_layers(sandbox.layers(), &self.spec.policy)?;
        let was_ahead = looked.is_some();
        // Beside each other: files that are put in run nothing. Nothing is started before all is done.
        let (looked, written, cleared) =
            tokio::join!(timed(self.look(sandbox, looked)), timed(self.write_files(sandbox)), self.clearance.cleared());
        let looking = looked.1.saturating_duration_since(written.1);
        let before = match looked.0? {
            Looked::AsPlanned(summary) => summary,
            Looked::Otherwise(summary) => {
                let refused = self.refused(sandbox, summary, looking);
                return Ok(Some((refused, began.elapsed(), Duration::ZERO)));
            }
        };
        written.0?;
        cleared?;
        if self.gate.when() == When::BeforeStart {
            self.gate.pass(self.journal).await?;
        }
        let mut command = self.command(sandbox)?;
        let create = began.elapsed();
        let posture = PostureRecord { before, after: None };
        let stopped = match self.stopped(sandbox.layers().clone()) {
            None if self.cancel.is_cancelled() => {
                Some(Some(self.never_started(sandbox.layers().clone(), Status::Cancelled)))
            }
            stopped => stopped,
        };
        if let Some(stopped) = stopped {
            let seen = |finished| Finished { posture: Some(posture), looking, ..finished };
            return Ok(stopped.map(|finished| (seen(finished), create, Duration::ZERO)));
        }
        let mut armed = self.tripwires.arm(sandbox).await?;
        let egress = Egress::open(&self.spec.policy.network, sandbox, self.engine.outside())?;
        if let Some(egress) = &egress {
            egress.add_variables(&mut command.env);
        }
        let observer = within(SET_UP, "watch the sandbox", sandbox.observe()).await?;
        let mut observer = Observing::new(observer, egress.as_ref().map(Egress::told));
        check_watching(observer.monitoring(), &self.spec.policy)?;
        let enforcement = self.admitted.backend.capabilities().enforcement(LimitKind::Cpus);
        let setting = Setting {
            sandbox,
            limits: &self.spec.limits,
            rate: Rate::of(&self.spec.limits, enforcement),
            journal: self.journal,
            tripwires: self.tripwires,
            armed: &mut armed,
            observer: &mut observer,
            end_on: &self.spec.policy.during.end_on,
            cancel: self.cancel,
        };
        let ran = run(setting, command, stdin).await?;
        let collecting = Instant::now();
        let mut finished = self.finish(sandbox, ran, &mut armed, &mut observer, posture).await?;
        finished.looking += looking;
        finished.start = match finished.start {
            Start::Cold if was_ahead => Start::Ready,
            start => start,
        };
        Ok(Some((finished, create, collecting.elapsed())))
    }

    /// What makes sandboxes ahead, if they may be used here.
    fn pool(&self) -> Option<&Arc<Pool>> {
        self.engine.pool().filter(|_| may_be_warm(self.spec))
    }

    /// What is seen of the sandbox from outside: now, or when it was made ahead, since when nothing ran in it.
    async fn look(&self, sandbox: &dyn Sandbox, ahead: Option<Result<Looked>>) -> Result<Looked> {
        match ahead {
            Some(looked) => looked,
            None => posture::before(sandbox, &self.spec.policy).await,
        }
    }

    async fn write_files(&self, sandbox: &dyn Sandbox) -> Result<()> {
        let files = self.spec.files.iter().map(|file| (&file.path, file.content.as_slice(), file.executable));
        let program = match (&self.spec.program, &self.admitted.program) {
            (Program::Source { code, .. }, Some(path)) => Some((path, code.as_slice(), self.program_is_executed())),
            _ => None,
        };
        for (path, mut content, executable) in files.chain(program) {
            if self.cancel.is_cancelled() {
                return Ok(());
            }
            within(SET_UP, "write an input file", sandbox.write_file(path, &mut content, executable)).await?;
        }
        self.tripwires.plant(sandbox).await
    }

    /// Whether the program's file is itself what is executed, and not something that reads it.
    fn program_is_executed(&self) -> bool {
        let language = self.admitted.language.as_ref();
        language.is_some_and(|(_, language)| language.run.first().is_some_and(|part| part.contains("{file}")))
    }

    fn command(&self, sandbox: &dyn Sandbox) -> Result<Command> {
        let language = self.admitted.language.as_ref().map(|(_, language)| language.as_ref());
        // Relative to the work folder, in which it starts: not every backend has that folder under its guest path.
        let file = self.admitted.program.as_ref().and_then(GuestPath::within_work).unwrap_or_default();
        let file = if self.program_is_executed() { format!("./{file}") } else { file.to_owned() };
        let fill = |template: &str| languages::fill(template, sandbox.interpreter(), &file);
        let argv = match (&self.spec.program, language) {
            (Program::Source { args, .. }, Some(language)) => {
                let mut argv = language.run.iter().map(|part| fill(part)).collect::<Result<Vec<_>>>()?;
                argv.extend(args.iter().cloned());
                argv
            }
            (Program::Source { args: argv, .. }, None) | (Program::Command { argv }, _) => argv.clone(),
        };
        let mut env = environment(self.spec, language, fill)?;
        self.tripwires.add_variables(&mut env);
        Ok(Command { argv, env, ..Command::default() })
    }

    fn never_started(&self, layers: Layers, status: Status) -> Finished {
        self.journal.record(Event::CommandEnded { status });
        never_started(layers, status, &self.spec.collect)
    }

    /// A sandbox that isn't as planned gets no program. Whether by a fault of Crucible's or by somebody who tampered with the
    /// node: what is asked for here would not be what is recorded.
    fn refused(&self, sandbox: &dyn Sandbox, before: PostureSummary, looking: Duration) -> Finished {
        let finished = self.never_started(sandbox.layers().clone(), Status::Denied);
        let posture = Some(PostureRecord { before, after: None });
        Finished { posture, looking, reasons: BTreeSet::from([ValidityReason::PostureDiffered]), ..finished }
    }

    /// Weighs what was seen and brings the files out.
    async fn finish(
        &self,
        sandbox: &dyn Sandbox,
        ran: Ran,
        armed: &mut Armed,
        observer: &mut dyn Observer,
        mut posture: PostureRecord,
    ) -> Result<Finished> {
        let counters = within(SET_UP, "read the counters", sandbox.counters()).await?;
        let Ran { ending, main, mut stdout, mut stderr, processes_ended, wall, exec, started, meter, readiness } = ran;
        let usage = Usage {
            wall,
            cpu: counters.cpu,
            memory_peak_bytes: counters.memory_peak_bytes,
            processes_peak: counters.processes_peak.or_else(|| meter.processes_peak()),
        };
        let watched = Watched {
            observed: observer.seen(),
            monitoring: observer.monitoring().clone(),
            samples: meter.into_samples(wall, &counters),
            started: started.into_std(),
            ended_for: match &ending {
                Ending::Forbidden { kind, name } => Some((*kind, name.clone())),
                _ => None,
            },
        };
        let all_ended = processes_ended.is_ok();
        let by_itself = matches!(ending, Ending::ByItself(_));
        let main_lost = main == Some(ExitStatus::SandboxLost);
        let files_lost = processes_ended.is_err() || (by_itself && main_lost);
        // Before Crucible itself opens anything.
        armed.disarm();
        let began_look = Instant::now();
        let mut reasons = BTreeSet::new();
        if !files_lost && sandbox.loss().is_none() {
            match posture::after(sandbox).await {
                Ok(summary) => {
                    reasons.extend((!summary.differing.is_empty()).then_some(ValidityReason::PostureDiffered));
                    posture.after = Some(summary);
                }
                // Why it can't be looked at, its loss says, if it is one.
                Err(_) if sandbox.loss().is_some() => {}
                Err(_) => drop(reasons.insert(ValidityReason::PostureUnreadable)),
            }
        }
        let looking = began_look.elapsed();
        let loss = sandbox.loss();
        reasons.extend(loss.and_then(|loss| validity::of_loss(loss, &counters)));
        let over = stdout.output.truncated || stderr.output.truncated;
        let output = if over { OutputSeen::OverLimit } else { OutputSeen::WithinLimit };
        let cpu_limit = self.spec.limits.cpu_time.get();
        let out_of_memory = counters.clone();
        let verdict = decide(Facts { ending, main, counters, loss, cpu_limit, output })?;
        if by_itself && verdict.limit.is_none() && reasons.is_empty() {
            // Only the guest's own end says that its output and its files are whole; so nothing may have failed here, unless
            // the record says that it isn't to be trusted anyway.
            processes_ended?;
            for kept in [&mut stdout, &mut stderr] {
                if let Some(error) = kept.failure.take() {
                    let message = "the guest's output could not be read";
                    return Err(Error::new(ErrorKind::Infrastructure, "read the output", message).with_source(error));
                }
            }
        }
        if let Some(limit) = verdict.limit {
            self.journal.record(Event::LimitReached { limit });
        }
        self.journal.record(Event::CommandEnded { status: verdict.status });
        let lost = || Collection::none(&self.spec.collect, "the sandbox was lost with its files");
        let mut collection = if files_lost {
            lost()
        } else {
            match collect(sandbox, &self.spec.collect, &self.spec.limits).await {
                Ok(collection) => collection,
                Err(error) => {
                    let reason = sandbox.loss().and_then(|loss| validity::of_loss(loss, &out_of_memory));
                    reasons.extend(reason);
                    // Ended by the engine, and gone with it: the verdict stands, but for the files.
                    if !main_lost && reasons.is_empty() {
                        return Err(error);
                    }
                    lost()
                }
            }
        };
        collection.leave_out(|path| self.tripwires.planted(path), "it was planted as a tripwire");
        let tripwires = self.tripwires.records(armed, &collection.files);
        let is_touched = tripwires.iter().any(|tripwire| tripwire.touched.is_some());
        reasons.extend(is_touched.then_some(ValidityReason::TripwireTouched));
        let start = if readiness == Readiness::Interpreter { Start::Interpreter } else { Start::Cold };
        let (layers, interpreter) = (sandbox.layers().clone(), recorded_interpreter(sandbox));
        let posture = Some(posture);
        Ok(Finished {
            verdict,
            stdout,
            stderr,
            collection,
            usage,
            exec,
            layers,
            interpreter,
            posture,
            tripwires,
            reasons,
            looking,
            watched,
            start,
            former_runs: sandbox.former_runs(),
            processes_ended: all_ended,
        })
    }

    fn outcome(&self, finished: Finished, create: Duration, destroy: Duration) -> Outcome {
        let Finished {
            verdict,
            stdout,
            stderr,
            collection,
            usage,
            exec,
            layers,
            interpreter,
            posture,
            tripwires,
            reasons,
            looking,
            watched,
            start,
            former_runs,
            processes_ended: _,
        } = finished;
        let backend = &self.admitted.backend;
        let capabilities = backend.capabilities();
        let policy = &self.spec.policy;
        let protection = Protection { backend: backend.as_ref(), layers: &layers, policy };
        let attestation = self.engine.attestations().latest(&protection);
        let (findings, mut admission, scan) = self.gate.record();
        let screened = match &admission.rules_digest {
            Some(_) => Screened::As { findings: &findings, program: self.admitted.program.as_ref() },
            None => Screened::Not,
        };
        let behavior = behavior(&Seen {
            observed: &watched.observed,
            started: watched.started,
            limits: &self.spec.limits,
            reached: &Reached::all(&verdict, usage.wall),
            tripwires: &tripwires,
            screened,
        });
        admission.reasons.extend(watched.ended_for.map(|(kind, name)| DecisionReason {
            decision: Decision::Deny,
            clause: "during.end_on".to_owned(),
            message: format!("{kind}: {name}"),
        }));
        Outcome {
            id: self.spec.id,
            backend: backend.name().to_owned(),
            language: self.admitted.language.as_ref().map(|(name, _)| name.clone()),
            status: verdict.status,
            exit_code: verdict.exit_code,
            signal: verdict.signal,
            stdout: stdout.output,
            stderr: stderr.output,
            files: collection.files,
            files_refused: collection.refused,
            usage,
            timings: Timings { queue: Duration::ZERO, scan, create, posture: looking, exec, destroy },
            limits_observed: verdict.observed,
            admission,
            findings,
            behavior,
            monitoring: watched.monitoring,
            samples: watched.samples,
            anomalies: Vec::new(),
            baseline: None,
            tripwires,
            validity: validity::decide(&reasons),
            validity_reasons: reasons,
            evidence: Evidence {
                isolation: capabilities.isolation,
                layers,
                limits: capabilities.limits.clone(),
                kernel: self.engine.node().kernel.clone(),
                backend_version: backend.version(),
                interpreter,
                policy: policy.name.clone(),
                policy_hash: policy_hash(policy),
                code_hash: hash::of_code(self.spec),
                start,
                former_runs,
                posture,
                attestation,
            },
        }
    }
}

/// A layer that the backend promised and then didn't apply stops the run.
pub(crate) fn check_layers(applied: &Layers, policy: &Policy) -> Result<()> {
    for layer in &policy.require {
        if !applied.get(layer).is_some_and(LayerState::is_active) {
            let message =
                format!("policy '{}' requires the layer {layer}, which the sandbox doesn't have", policy.name);
            return Err(Error::new(ErrorKind::Refused, "check the sandbox's layers", message)
                .with_hint("`crucible doctor` says what this machine lacks"));
        }
    }
    Ok(())
}

/// A policy that ends a run for something wants that to be seen.
pub(crate) fn check_watching(monitoring: &Monitoring, policy: &Policy) -> Result<()> {
    let is_watched = |part| matches!(monitoring.get(&part), Some(Coverage::Events | Coverage::Sampled { .. }));
    let unwatched = policy.during.end_on.iter().find(|kind| kind.watchable().is_some_and(|part| !is_watched(part)));
    match unwatched {
        Some(kind) if policy.during.unwatched == Unwatched::Refuse => {
            let message = format!("policy '{}' ends a run on '{kind}', which can't be watched for here", policy.name);
            Err(Error::new(ErrorKind::Refused, "check what is watched", message)
                .with_hint("choose another backend, or set during.unwatched = \"record\" in the policy"))
        }
        _ => Ok(()),
    }
}

/// Does some work, and says when it was done.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Instant) {
    let done = work.await;
    (done, Instant::now())
}

/// An evaluation that ended before its command started.
fn never_started(layers: Layers, status: Status, collect: &[GuestPath]) -> Finished {
    Finished {
        verdict: Verdict { status, exit_code: None, signal: None, limit: None, observed: BTreeSet::new() },
        stdout: Kept::default(),
        stderr: Kept::default(),
        collection: Collection::none(collect, "the program never started"),
        usage: Usage::default(),
        exec: Duration::ZERO,
        layers,
        interpreter: None,
        posture: None,
        tripwires: Vec::new(),
        reasons: BTreeSet::new(),
        looking: Duration::ZERO,
        watched: Watched {
            observed: Vec::new(),
            monitoring: Monitoring::new(),
            samples: Vec::new(),
            started: std::time::Instant::now(),
            ended_for: None,
        },
        start: Start::Cold,
        former_runs: 0,
        // None was ever started.
        processes_ended: true,
    }
}
