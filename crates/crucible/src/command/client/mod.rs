//! The verbs that talk to a service: `submit`, `get`, `list`, `watch`, `cancel`.
//!
//! What a service and a guest say is hostile to a terminal, and neutralised.

pub(super) mod submit;
pub(super) mod watch;

use super::runtime;
use crate::arguments::{CancelArguments, GetArguments, ListArguments, ServerFlags, SettingFlags};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::config::{Configuration, Environment, Overrides};
use crucible_api::client::{Client, ListQuery};
use crucible_api::v1::{Evaluation, EvaluationList, EvaluationState, EvaluationSummary, Outcome, Status};
use crucible_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The variable with the key.
const KEY: &str = "CRUCIBLE_KEY";
/// How many a page has of a list that is wanted whole.
const PAGE: usize = 1000;

/// The service that is meant.
///
/// # Errors
/// `InvalidInput` or `Configuration` for an address or a key that can't be.
pub(super) fn client(server: Option<&String>) -> Result<Client> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let client = Client::new(server.map_or(configuration.server(), String::as_str).parse()?);
    match std::env::var(KEY) {
        Ok(key) if !key.is_empty() => client.with_key(key),
        _ => Ok(client),
    }
}

/// Settings that are asked of a service, where its own are to differ.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) limits: BTreeMap<String, serde_json::Value>,
    pub(super) backend: Option<String>,
    pub(super) policy: Option<String>,
    pub(super) network: Option<String>,
}

/// What the flags ask of a service.
///
/// # Errors
/// `InvalidInput` for a preset, which a service doesn't have.
pub(super) fn asked(flags: &SettingFlags, operation: &'static str) -> Result<Asked> {
    let overrides = flags.overrides();
    if overrides.preset.is_some() {
        let message = "--preset: presets are of this machine, and the service has its own settings";
        return Err(Error::new(ErrorKind::InvalidInput, operation, message).with_hint("name the limits themselves"));
    }
    let mut asked = Asked::default();
    for setting in overrides.settings {
        match setting.key.split_once('.') {
            Some(("limits", name)) => {
                let value = setting.value.parse::<u64>().map_or_else(|_| setting.value.clone().into(), Into::into);
                asked.limits.insert(name.to_owned(), value);
            }
            Some(("run", "backend")) => asked.backend = Some(setting.value),
            Some(("run", "policy")) => asked.policy = Some(setting.value),
            Some(("run", "network")) => asked.network = Some(setting.value),
            _ => {}
        }
    }
    Ok(asked)
}

fn client_of(flags: &ServerFlags) -> Result<Client> {
    client(flags.server.as_ref())
}

/// Shows an evaluation.
///
/// # Errors
/// What the service answers.
pub(crate) fn get(arguments: &GetArguments) -> Result<Exit> {
    let client = client_of(&arguments.server)?;
    let evaluation = runtime()?.block_on(client.evaluation(&arguments.id, arguments.wait))?;
    match arguments.server.format() {
        Format::Json => output::json(&evaluation),
        Format::Text => output::data(&in_words(&evaluation)),
    }
}

/// Lists evaluations.
///
/// # Errors
/// What the service answers.
pub(crate) fn list(arguments: &ListArguments) -> Result<Exit> {
    let client = client_of(&arguments.server)?;
    let mut query = ListQuery {
        state: arguments.state.clone(),
        status: arguments.status.clone(),
        backend: arguments.backend.clone(),
        validity: arguments.validity.clone(),
        label: arguments.label.clone(),
        cursor: None,
        limit: Some(if arguments.all { PAGE } else { arguments.limit }),
    };
    let runtime = runtime()?;
    let mut all: Vec<EvaluationSummary> = Vec::new();
    let cursor = loop {
        let page = runtime.block_on(client.evaluations(&query))?;
        all.extend(page.evaluations);
        query.cursor = page.cursor;
        if query.cursor.is_none() || !arguments.all {
            break query.cursor;
        }
    };
    match arguments.server.format() {
        Format::Json => output::json(&EvaluationList { evaluations: all, cursor }),
        Format::Text => {
            let shown = output::data(&table(&all))?;
            if cursor.is_some() {
                output::hint("there are more: --limit or --all shows them");
            }
            Ok(shown)
        }
    }
}

/// Cancels evaluations.
///
/// # Errors
/// What the service answers.
pub(crate) fn cancel(arguments: &CancelArguments) -> Result<Exit> {
    let (client, runtime) = (client_of(&arguments.server)?, runtime()?);
    for id in &arguments.ids {
        let accepted = runtime.block_on(client.cancel(id))?;
        match arguments.server.format() {
            Format::Json => output::json(&accepted)?,
            Format::Text => output::data(&format!("{}  {}\n", output::neutral(&accepted.id), accepted.state.as_str()))?,
        };
    }
    Ok(Exit::Success)
}

fn table(evaluations: &[EvaluationSummary]) -> String {
    let mut text = String::new();
    for one in evaluations {
        let labels: Vec<_> = one.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let line = format!(
            "{}  {:9}  {:15}  {:10}  {}  {}",
            one.id,
            one.state.as_str(),
            one.status.as_deref().unwrap_or("-"),
            one.backend.as_deref().unwrap_or("-"),
            one.created_at,
            labels.join(" "),
        );
        // Writing to a text never fails.
        let _ = writeln!(text, "{}", output::neutral(line.trim_end()));
    }
    text
}

fn in_words(evaluation: &Evaluation) -> String {
    let mut text = format!("{}  {}", evaluation.id, evaluation.state.as_str());
    // Writing to a text never fails.
    if let Some(outcome) = &evaluation.outcome {
        let _ = write!(text, ": {}", ending(outcome));
        let _ = write!(text, " on {}, {:.1} ms", outcome.backend, outcome.usage.wall_ms);
        if let Some(validity) = &evaluation.validity
            && *validity != crucible_api::v1::Validity::Valid
        {
            let _ = write!(text, "; {}: {}", word(validity), outcome.validity_reasons.join(", "));
        }
    }
    text.push('\n');
    if let Some(failure) = &evaluation.failure {
        let _ = writeln!(text, "failure: {}", failure.message);
    }
    if let Some(admission) = evaluation.admission.as_ref().filter(|_| evaluation.state == EvaluationState::Held) {
        for reason in &admission.reasons {
            let _ = writeln!(text, "held: {}", reason.message);
        }
    }
    let mut text = output::neutral(&text);
    if let Some(outcome) = &evaluation.outcome {
        for (name, stream) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
            if !stream.is_empty() {
                let _ = write!(text, "--- {name}\n{}", output::neutral(stream));
                if !stream.ends_with('\n') {
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// A word of the wire.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

pub(super) fn ending(outcome: &Outcome) -> String {
    match (outcome.status, outcome.exit_code, outcome.signal, &outcome.limit) {
        (Status::Exited, Some(code), ..) => format!("exited with {code}"),
        (Status::Signaled, _, Some(signal), _) => format!("ended by signal {signal}"),
        (Status::LimitExceeded, .., Some(limit)) => format!("the limit {limit} was reached"),
        (status, ..) => word(&status).replace('_', " "),
    }
}

/// What the process ends with for an evaluation: as `crucible run` would have.
///
/// # Errors
/// Why Crucible failed at it, where it did.
fn exit(evaluation: &Evaluation) -> Result<Exit> {
    match (evaluation.state, &evaluation.outcome, &evaluation.failure) {
        (EvaluationState::Finished, Some(outcome), _) => Ok(exit_of(outcome)),
        (EvaluationState::Held, ..) => Ok(Exit::Held),
        (EvaluationState::Cancelled, ..) => Ok(Exit::Interrupted(2)),
        (_, _, Some(failure)) => Err(failure.to_error("run the evaluation")),
        (state, ..) => {
            let message = format!("the evaluation is {} without a result", state.as_str());
            Err(Error::new(ErrorKind::Infrastructure, "run the evaluation", message))
        }
    }
}

fn exit_of(outcome: &Outcome) -> Exit {
    match outcome.status {
        Status::Exited => Exit::Program(outcome.exit_code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)),
        Status::Signaled => {
            Exit::ProgramSignaled(outcome.signal.and_then(|signal| u8::try_from(signal).ok()).unwrap_or(9))
        }
        Status::TimedOut => Exit::TimedOut,
        Status::OutOfMemory => Exit::OutOfMemory,
        Status::LimitExceeded => Exit::LimitExceeded,
        Status::Denied => Exit::Denied,
        Status::Cancelled => Exit::Interrupted(2),
    }
}
