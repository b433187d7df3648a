//! `crucible review`: shows programs that a policy has held, decides about them, and runs those that were approved.
//!
//! Invariant: what is shown of a program can't steer the terminal. Nothing here decides by itself.

mod report;

use super::collect::Destination;
use super::evaluate::{self, Delivery};
use super::input::ProgramSource;
use super::runtime;
use crate::arguments::{DecideArguments, ReviewListArguments, ReviewRunArguments, ReviewShowArguments, ReviewVerb};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{Error, ErrorKind, EvaluationId, HeldState, Result, Review, ReviewDecision, ReviewStore};
use report::{Decided, Listed, Shown};
use std::path::Path;
use std::time::SystemTime;

/// Ids that are shown where one that was abbreviated could be any of them.
const MOST_CANDIDATES: usize = 5;

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn review(verb: ReviewVerb) -> Result<Exit> {
    match verb {
        ReviewVerb::List(arguments) => list(&arguments),
        ReviewVerb::Show(arguments) => show(&arguments),
        ReviewVerb::Approve(arguments) => decide(&arguments, ReviewDecision::Approved),
        ReviewVerb::Reject(arguments) => decide(&arguments, ReviewDecision::Rejected),
        ReviewVerb::Run(arguments) => run(&arguments),
    }
}

fn configuration() -> Result<Configuration> {
    Configuration::load(&Environment::of_process(), &Overrides::default())
}

/// Does some work with the store.
fn with_store<T>(configuration: &Configuration, work: impl AsyncFnOnce(&dyn ReviewStore) -> Result<T>) -> Result<T> {
    let store = compose::reviews(configuration)?;
    let runtime = runtime()?;
    runtime.block_on(work(store.as_ref()))
}

/// The evaluation that a person means by the beginning or the end of an id.
async fn find(store: &dyn ReviewStore, text: &str) -> Result<EvaluationId> {
    let operation = "find the held evaluation";
    let meant = text.trim().to_ascii_lowercase();
    if let Ok(id) = meant.parse::<EvaluationId>() {
        return Ok(id);
    }
    let all = store.list().await?.held;
    let with = |fits: &dyn Fn(&str) -> bool| -> Vec<_> {
        all.iter().map(|summary| summary.id).filter(|id| fits(&id.to_string())).collect()
    };
    let mut fitting = if meant.is_empty() { Vec::new() } else { with(&|id| id.starts_with(&meant)) };
    if fitting.is_empty() && !meant.is_empty() {
        fitting = with(&|id| id.ends_with(&meant));
    }
    match fitting[..] {
        [id] => Ok(id),
        [] => {
            let shown: String = text.chars().take(64).collect();
            let message = format!("no held evaluation has an id that begins or ends with {shown:?}");
            Err(Error::new(ErrorKind::NotFound, operation, message).with_hint("`crucible review list` shows them"))
        }
        _ => {
            let some: Vec<_> = fitting.iter().take(MOST_CANDIDATES).map(EvaluationId::to_string).collect();
            let message = format!("{text:?} could be any of {} held evaluations", fitting.len());
            Err(Error::new(ErrorKind::InvalidInput, operation, message)
                .with_hint(format!("such as {}", some.join(", "))))
        }
    }
}

fn list(arguments: &ReviewListArguments) -> Result<Exit> {
    let list = with_store(&configuration()?, async |store| store.list().await)?;
    match arguments.format() {
        Format::Json => output::json(&Listed::from(&list)),
        Format::Text => {
            for problem in &list.unreadable {
                output::warning(problem);
            }
            output::data(&report::table(&list.held))
        }
    }
}

fn show(arguments: &ReviewShowArguments) -> Result<Exit> {
    let record = with_store(&configuration()?, async |store| store.get(find(store, &arguments.id).await?).await)?;
    match arguments.format() {
        Format::Json => output::json(&Shown::from(&record)),
        Format::Text => output::data(&report::in_words(&record)),
    }
}

fn decide(arguments: &DecideArguments, decision: ReviewDecision) -> Result<Exit> {
    let by = arguments.by.clone().unwrap_or_else(user_name);
    let review = Review { decision, by, reason: arguments.reason.trim().to_owned(), at: SystemTime::now() };
    let id = with_store(&configuration()?, async |store| {
        let id = find(store, &arguments.id).await?;
        store.decide(id, review.clone()).await?;
        Ok(id)
    })?;
    let state = HeldState::from(decision);
    match arguments.format() {
        Format::Json => output::json(&Decided::of(id, state, &review)),
        Format::Text => {
            let shown = output::data(&format!("{id} is {state} by {}\n", output::neutral(&review.by)))?;
            if decision == ReviewDecision::Approved {
                output::hint(&format!("`crucible review run {id}` runs it, unless somebody waits for it"));
            }
            Ok(shown)
        }
    }
}

fn run(arguments: &ReviewRunArguments) -> Result<Exit> {
    let configuration = configuration()?;
    let claim = with_store(&configuration, async |store| store.claim(find(store, &arguments.id).await?).await)?;
    let spec = claim.spec().clone();
    let folder = arguments.collect_to.as_deref();
    let is_only_json = arguments.format() == Format::Json && folder.is_none();
    let destination = if spec.collect.is_empty() || is_only_json {
        None
    } else {
        Some(Destination::open(folder, arguments.existing(), &spec.collect)?)
    };
    // What it was held with is in its specification; our own standard input passes through where there is none.
    let is_kept = arguments.stdin.is_none() && !spec.stdin.is_empty();
    let delivery = Delivery {
        format: arguments.format(),
        controls: arguments.controls(),
        reporting: arguments.reporting(),
        destination,
        stdin: arguments.stdin.clone(),
        source: if is_kept { ProgramSource::StandardInput } else { ProgramSource::Elsewhere },
    };
    let review = evaluate::Review::Approved(claim);
    evaluate::perform(&configuration, spec, arguments.unsafe_backends(), &delivery, review)
}

/// The name of whoever runs us, as the machine knows it.
fn user_name() -> String {
    let id = rustix::process::getuid().as_raw();
    let accounts = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let is_ours = |line: &&str| line.split(':').nth(2) == Some(id.to_string().as_str());
    let name = accounts.lines().find(is_ours).and_then(|line| line.split(':').next()).filter(|name| !name.is_empty());
    name.map_or_else(|| format!("user {id}"), str::to_owned)
}
