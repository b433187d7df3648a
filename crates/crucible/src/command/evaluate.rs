//! `crucible run` and `crucible exec`: one evaluation from the command line, with everything around it.

use super::collect::Destination;
use super::held::{self, Kept};
use super::input::{self, ProgramSource};
use super::runtime;
use crate::arguments::{Controls, ExecArguments, IoFlags, Reporting, RunArguments, SettingFlags};
use crate::exit::Exit;
use crate::output::{self, Finished, Format, LiveOutput, write_document};
use crate::signals::Signals;
use crucible::compose::{self, Unsafe};
use crucible::config::{self, Configuration, Environment};
use crucible_core::{
    BaselineRecord, Capabilities, Comparison, Decision, Discard, Enforcement, Error, ErrorKind, EvaluationId,
    EvaluationSpec, EventSink, HeldEvaluation, Isolation, Learnt, LimitKind, Limits, Outcome, Program, Result,
    ReviewClaim, ReviewDecision, Status, TimeSpan, Validity, ValidityReason,
};
use crucible_engine::{Engine, Evaluated, RunIo};
use std::path::PathBuf;
use std::pin::pin;
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

/// Runs a program.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn run(arguments: RunArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &arguments.settings.overrides())?;
    let text = input::program(&arguments, &configuration)?;
    let program = Program::Source { language: text.language, code: text.code, args: arguments.args };
    evaluate(&configuration, program, text.source, &arguments.settings, &arguments.io)
}

/// Runs any command.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn exec(arguments: ExecArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &arguments.settings.overrides())?;
    let program = Program::Command { argv: arguments.command };
    evaluate(&configuration, program, ProgramSource::Elsewhere, &arguments.settings, &arguments.io)
}

fn evaluate(
    configuration: &Configuration,
    program: Program,
    source: ProgramSource,
    settings: &SettingFlags,
    flags: &IoFlags,
) -> Result<Exit> {
    let language = match &program {
        Program::Source { language, .. } => configuration.languages().find(language).ok(),
        Program::Command { .. } => None,
    };
    let language = language.as_ref().map(|(_, language)| language.as_ref());
    let backend = compose::choose_for(configuration.backend(), language, settings.unsafe_backends())?;
    let policy = compose::policy(configuration, backend)?;
    let is_to_be_chosen = configuration.backend() == config::AUTO
        && backend == compose::JAIL
        && !compose::stronger_than_the_jail(&policy).is_empty();
    let spec = EvaluationSpec {
        id: EvaluationId::generate(),
        program,
        backend: if is_to_be_chosen { config::AUTO } else { backend }.to_owned(),
        stdin: Vec::new(),
        files: input::files(&flags.files, configuration.limits())?,
        collect: flags.collect.clone(),
        tripwires: flags.tripwires.clone(),
        env: input::environment(configuration.env(), &flags.env, |name| std::env::var_os(name))?,
        limits: configuration.limits().clone(),
        policy,
        review: None,
        label: flags.label.clone(),
    };
    let delivery = Delivery {
        format: flags.format(),
        controls: flags.controls(),
        reporting: flags.reporting(),
        destination: destination(flags)?,
        stdin: flags.stdin.clone(),
        source,
    };
    perform(configuration, spec, settings.unsafe_backends(), &delivery, Review::Awaited(flags.wait_for_review))
}

/// How a program is given its input, and what comes of it is shown.
pub(super) struct Delivery {
    pub(super) format: Format,
    pub(super) controls: Controls,
    pub(super) reporting: Reporting,
    pub(super) destination: Option<Destination>,
    /// The file with standard input, where there is one.
    pub(super) stdin: Option<PathBuf>,
    pub(super) source: ProgramSource,
}

/// How far the review of a program is that its policy holds.
pub(super) enum Review {
    /// There was none. It is waited for so long, where that is said.
    Awaited(Option<TimeSpan>),
    /// It was approved.
    Approved(Box<dyn ReviewClaim>),
}

/// Runs a specification with everything around it.
///
/// # Errors
/// Crucible's own failures.
pub(super) fn perform(
    configuration: &Configuration,
    spec: EvaluationSpec,
    unsafe_backends: Unsafe,
    delivery: &Delivery,
    review: Review,
) -> Result<Exit> {
    let backend = compose::choose(&spec.backend, unsafe_backends)?;
    let is_to_be_chosen = spec.backend == config::AUTO;
    let policy_name = spec.policy.name.clone();
    let limits = spec.policy.limits_for(&spec.limits);
    let stdin = delivery.standard_input()?;
    if backend == compose::SUBPROCESS {
        output::warning("the subprocess backend isolates nothing: the program can do all that you can do");
    }
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let engine = if is_to_be_chosen {
            let stronger = compose::stronger_than_the_jail(&spec.policy);
            let started = compose::start_engine_to_choose(&stronger, configuration).await?;
            for (name, error) in started.1 {
                output::warning(&format!("the backend {name} can't be chosen here: {}", output::chain(&error)));
            }
            started.0
        } else {
            compose::start_engine(backend, configuration, compose::Ahead::Never).await?
        };
        if let Some(warning) = engine.backends().iter().find_map(|started| weak_limits(started.capabilities())) {
            output::warning(&warning);
        }
        let (wait, claim) = match review {
            Review::Awaited(wait) => (wait, None),
            Review::Approved(claim) => (None, Some(claim)),
        };
        let held = match watch(&engine, spec, stdin, delivery, &mut signals).await? {
            Watched::Ended(ended) => return Ok(Done::Ended(ended, claim)),
            Watched::Held(held) => held,
        };
        let (spec, claim) = match held::keep(configuration, *held, delivery, wait, &mut signals).await? {
            Kept::Stays(exit) => return Ok(Done::Stays(exit)),
            Kept::Approved(claim) => (claim.spec().clone(), Some(claim)),
            Kept::Rejected(spec) => (*spec, None),
        };
        // Nobody has read from it yet.
        let stdin = delivery.standard_input()?;
        match watch(&engine, spec, stdin, delivery, &mut signals).await? {
            Watched::Ended(ended) => Ok(Done::Ended(ended, claim)),
            Watched::Held(_) => {
                let message = "a program that somebody decided about was held again";
                Err(Error::new(ErrorKind::Infrastructure, "run what was reviewed", message))
            }
        }
    });
    let done = match done {
        Ok(Done::Ended(ended, claim)) => {
            // An approval is for one run, and what never started was none.
            if let Some(claim) = claim.filter(|_| !ended.outcome.timings.exec.is_zero())
                && let Err(error) = runtime.block_on(claim.finish())
            {
                output::warning(&format!("the approval can't be marked as used: {}", output::chain(&error)));
            }
            Ok(*ended)
        }
        Ok(Done::Stays(exit)) => Err(Ok(exit)),
        Err(error) => Err(Err(error)),
    };
    // A thread of the runtime may wait for standard input for ever.
    runtime.shutdown_background();
    let Ended { outcome, finished, signal } = match done {
        Ok(ended) => ended,
        Err(otherwise) => return otherwise,
    };
    let written = delivery.destination.as_ref().map_or(Ok(()), |destination| bring_out(destination, &outcome));
    if let Some(failure) = finished.failure {
        return output::unwritable(failure, "the program's output");
    }
    let reason = reason(&outcome, &limits).filter(|_| delivery.format == Format::Text);
    let choice = (is_to_be_chosen && outcome.backend != backend && delivery.format == Format::Text).then(|| {
        format!("policy '{policy_name}' demands more than the jail: it ran on the backend {}", outcome.backend)
    });
    let mut within_line = finished.within_line;
    for note in [choice, reason].into_iter().flatten() {
        output::note(&note, within_line);
        within_line = false;
    }
    if let Some(warning) = outcome.baseline.as_ref().and_then(not_compared) {
        output::warning(&warning);
    }
    if delivery.reporting == Reporting::Full {
        output::run_report(&outcome, &limits, within_line);
    }
    written?;
    Ok(match signal {
        Some(signal) if outcome.status == Status::Cancelled => Exit::Interrupted(signal),
        _ => Exit::of(&outcome),
    })
}

impl Delivery {
    fn standard_input(&self) -> Result<Option<Box<dyn AsyncRead + Send + Unpin>>> {
        input::standard_input(self.stdin.as_deref(), self.source)
    }
}

/// What there is when all is done.
enum Done {
    Ended(Box<Ended>, Option<Box<dyn ReviewClaim>>),
    /// It stays held.
    Stays(Exit),
}

/// What to tell a person whose machine can't limit a whole sandbox. A backend that isolates nothing says so itself.
fn weak_limits(can: &Capabilities) -> Option<String> {
    let limits = [LimitKind::Memory, LimitKind::Pids, LimitKind::Cpus];
    let with = |enforcement| limits.into_iter().filter(move |limit| can.enforcement(*limit) == enforcement);
    let join = |limits: Vec<LimitKind>| limits.iter().map(LimitKind::to_string).collect::<Vec<_>>().join(" and ");
    let (process, none): (Vec<_>, Vec<_>) = (with(Enforcement::Process).collect(), with(Enforcement::None).collect());
    if can.isolation == Isolation::None || (process.is_empty() && none.is_empty()) {
        return None;
    }
    let parts = [(process, "limited for each process only"), (none, "not limited")];
    let parts = parts
        .into_iter()
        .filter(|(limits, _)| !limits.is_empty())
        .map(|(limits, how)| format!("{} {how}", join(limits)));
    Some(format!("no control group here: {}; see `crucible doctor`", parts.collect::<Vec<_>>().join(", ")))
}

/// What to tell a person who gave a label, where the run couldn't be compared or remembered.
fn not_compared(record: &BaselineRecord) -> Option<String> {
    match (&record.comparison, &record.learnt) {
        (Comparison::Unavailable { reason }, _) => {
            Some(format!("the run wasn't compared with earlier ones of '{}': {reason}", record.label))
        }
        (_, Learnt::Failed { reason }) => Some(format!("the run of '{}' isn't remembered: {reason}", record.label)),
        (Comparison::Compared | Comparison::TooFew { .. } | Comparison::NothingToCompare, _) => None,
    }
}

/// Where what is brought out goes; nowhere if it is only for the JSON.
fn destination(flags: &IoFlags) -> Result<Option<Destination>> {
    let folder = flags.collect_to.as_deref();
    if flags.collect.is_empty() || (flags.format() == Format::Json && folder.is_none()) {
        return Ok(None);
    }
    Destination::open(folder, flags.existing(), &flags.collect).map(Some)
}

/// What is there when an evaluation has ended.
struct Ended {
    outcome: Outcome,
    /// How the writing of the program's output, or of the JSON, ended.
    finished: Finished,
    /// The signal that told us to stop.
    signal: Option<u8>,
}

/// What came of watching.
enum Watched {
    Ended(Box<Ended>),
    Held(Box<HeldEvaluation>),
}

/// Runs the evaluation while listening for signals. The first one ends the program; the second one ends us.
async fn watch(
    engine: &Engine,
    spec: EvaluationSpec,
    stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    delivery: &Delivery,
    signals: &mut Signals,
) -> Result<Watched> {
    let cancel = CancellationToken::new();
    let live = match delivery.format {
        Format::Text => Some(LiveOutput::new(delivery.controls, cancel.clone())?),
        Format::Json => None,
    };
    let events: &dyn EventSink = match &live {
        Some(live) => live,
        None => &Discard,
    };
    let mut signal = None;
    let evaluated = {
        let mut evaluation =
            pin!(engine.evaluate_or_hold(spec, RunIo { stdin, events, cancel: cancel.clone(), project: None }));
        loop {
            tokio::select! {
                evaluated = &mut evaluation => break evaluated?,
                number = signals.next() => {
                    if signal.is_some() {
                        std::process::exit(Exit::Interrupted(number).code().into());
                    }
                    signal = Some(number);
                    cancel.cancel();
                }
            }
        }
    };
    let outcome = match evaluated {
        Evaluated::Finished(outcome) => *outcome,
        Evaluated::Held(held) => return Ok(Watched::Held(held)),
    };
    let finishing = async {
        match live {
            Some(live) => Ok(live.finish().await),
            None => write_document(&output::document(&crucible_api::v1::Outcome::from(&outcome))?).await,
        }
    };
    let finished = tokio::select! {
        finished = finishing => finished?,
        // Whoever reads our output may never do so again.
        number = signals.next() => std::process::exit(Exit::Interrupted(number).code().into()),
    };
    Ok(Watched::Ended(Box::new(Ended { outcome, finished, signal })))
}

/// Writes what was brought out. Every failure is told; the first one is the result.
fn bring_out(destination: &Destination, outcome: &Outcome) -> Result<()> {
    for refused in &outcome.files_refused {
        let shown = refused.path.strip_prefix("/work/").unwrap_or(&refused.path);
        output::warning(&format!("'{shown}' was not brought out: {}", refused.reason));
    }
    let mut failures = outcome.files.iter().filter_map(|file| destination.write(file).err());
    let Some(first) = failures.next() else { return Ok(()) };
    for failure in failures {
        output::error(&failure);
    }
    Err(first)
}

/// Why the result isn't to be believed, if it isn't.
fn doubt(outcome: &Outcome) -> Option<String> {
    let differing = || {
        let posture = outcome.evidence.posture.as_ref()?;
        let all = posture.before.differing.iter().chain(posture.after.iter().flat_map(|after| &after.differing));
        let names: Vec<_> = all.map(|fact| format!("{} ({})", fact.name, fact.seen)).collect();
        Some(names.join(", "))
    };
    let touched = || {
        let touched = outcome.tripwires.iter().filter_map(|tripwire| {
            let touch = tripwire.touched?;
            let when = touch.first_at.map(|at| format!(" after {} ms", at.as_millis())).unwrap_or_default();
            Some(format!("{} ({}{when})", tripwire.name, touch.how.as_str().replace('_', " ")))
        });
        touched.collect::<Vec<_>>().join(", ")
    };
    let reason = |reason: &ValidityReason| match reason {
        ValidityReason::TripwireTouched => format!("the program touched what it should have left alone: {}", touched()),
        ValidityReason::PostureDiffered if outcome.status == Status::Denied => {
            format!(
                "the program wasn't started: seen from outside, its sandbox isn't as planned: {}",
                differing().unwrap_or_default()
            )
        }
        ValidityReason::PostureDiffered => {
            format!(
                "seen from outside, the sandbox isn't as it was planned any more: {}",
                differing().unwrap_or_default()
            )
        }
        ValidityReason::RunnerEnded => "what ran the program in its sandbox was ended".to_owned(),
        ValidityReason::RunnerBrokeItsWord => "what ran the program in its sandbox was tampered with".to_owned(),
        ValidityReason::PostureUnreadable => "the sandbox couldn't be looked at when the program had ended".to_owned(),
        ValidityReason::MachineryLost => "a part of Crucible was lost".to_owned(),
    };
    let meaning = match outcome.validity {
        Validity::Valid => return None,
        Validity::InfrastructureFailure => "the result says nothing about the program",
        Validity::SabotageSuspected => "sabotage is suspected",
    };
    let reasons: Vec<_> = outcome.validity_reasons.iter().map(reason).collect();
    Some(format!("{}; {meaning}", reasons.join("; ")))
}

/// Why a program was not let in, or not let go on.
fn denial(outcome: &Outcome) -> String {
    let rejected = outcome.admission.review.as_ref().filter(|review| review.decision == ReviewDecision::Rejected);
    let reasons: Vec<_> = outcome.admission.reasons.iter().filter(|reason| reason.decision == Decision::Deny).collect();
    let count = reasons.len();
    match (rejected, reasons.into_iter().next()) {
        (_, Some(reason)) => {
            let does = if reason.clause.starts_with("during.") { "ended" } else { "forbids" };
            let more = if count > 1 { format!(" (and {} more reasons)", count - 1) } else { String::new() };
            format!("policy '{}' {does} this program: {}{more}", outcome.evidence.policy, reason.message)
        }
        (Some(review), None) => format!("{} rejected this program: {}", review.by, review.reason),
        (None, None) => "the policy forbids this program".to_owned(),
    }
}

/// What ended the program, where the program itself doesn't know.
fn reason(outcome: &Outcome, limits: &Limits) -> Option<String> {
    if let Some(doubt) = doubt(outcome) {
        return Some(doubt);
    }
    let limit = match outcome.status {
        Status::TimedOut => LimitKind::Timeout,
        Status::OutOfMemory => LimitKind::Memory,
        Status::LimitExceeded { limit } => limit,
        Status::Denied => return Some(denial(outcome)),
        Status::Exited { .. } | Status::Signaled { .. } | Status::Cancelled => return None,
    };
    Some(format!("{} was reached", limits.in_words(limit)))
}
