//! What happens to a program that its policy holds: it is kept, the person is told how to go on, and where that was asked for,
//! it is waited for somebody to decide.
//!
//! Invariant: a program that is waited for stays held whatever ends the waiting, us included.

use super::evaluate::Delivery;
use super::input;
use crate::exit::Exit;
use crate::output::{self, Format, write_document};
use crate::signals::Signals;
use crucible::compose;
use crucible::config::Configuration;
use crucible_core::{
    ErrorKind, EvaluationId, EvaluationSpec, HeldEvaluation, HeldState, Result, ReviewClaim, ReviewStore, TimeSpan,
};
use std::path::Path;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often it is looked whether somebody has decided.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// What became of a held program.
pub(super) enum Kept {
    /// It stays held.
    Stays(Exit),
    /// Somebody approved it while it was waited for.
    Approved(Box<dyn ReviewClaim>),
    /// Somebody rejected it while it was waited for.
    Rejected(Box<EvaluationSpec>),
}

/// Keeps a program, tells the person, and waits where that was asked for.
///
/// # Errors
/// Where it can't be kept: it is lost then, and nothing of it has run.
pub(super) async fn keep(
    configuration: &Configuration,
    mut held: HeldEvaluation,
    delivery: &Delivery,
    wait: Option<TimeSpan>,
    signals: &mut Signals,
) -> Result<Kept> {
    // What comes from a file is kept with it; what comes from a pipe or a person is for whoever runs it.
    if let Some(file) = delivery.stdin.as_deref().filter(|file| *file != Path::new("-")) {
        held.spec.stdin = input::read_file(file, "the standard input", &held.spec.limits)?;
    }
    let store = compose::reviews(configuration)?;
    let id = held.spec.id;
    store.hold(&held).await?;
    tell(&held, wait);
    let Some(wait) = wait else { return stays(&held, delivery, Exit::Held).await };
    tokio::select! {
        decided = timeout(wait.get(), decision(store.as_ref(), id)) => match decided {
            Ok(kept) => kept,
            Err(_) => {
                output::note(&format!("nobody decided within {wait}, and {id} stays held"), false);
                stays(&held, delivery, Exit::Held).await
            }
        },
        number = signals.next() => {
            output::note(&format!("{id} stays held"), false);
            stays(&held, delivery, Exit::Interrupted(number)).await
        }
    }
}

fn tell(held: &HeldEvaluation, wait: Option<TimeSpan>) {
    let id = held.spec.id;
    let reason = held.admission.reasons.first().map(|reason| format!(": {}", reason.message)).unwrap_or_default();
    let waiting = wait.map(|wait| format!(", and waits {wait} for somebody to decide")).unwrap_or_default();
    output::note(
        &format!("policy '{}' holds this program for review as {id}{waiting}{reason}", held.spec.policy.name),
        false,
    );
    let then = if wait.is_some() { "" } else { "; then `crucible review run` runs it" };
    output::hint(&format!("`crucible review show {id}`, then approve or reject it with --reason{then}"));
}

async fn stays(held: &HeldEvaluation, delivery: &Delivery, exit: Exit) -> Result<Kept> {
    if delivery.format == Format::Json {
        let evaluation = crucible_api::v1::Evaluation::held(held, &compose::node_name());
        let finished = write_document(&output::document(&evaluation)?).await?;
        if let Some(failure) = finished.failure {
            return output::unwritable(failure, "the result").map(Kept::Stays);
        }
    }
    Ok(Kept::Stays(exit))
}

/// Waits until somebody has decided, without an end.
async fn decision(store: &dyn ReviewStore, id: EvaluationId) -> Result<Kept> {
    loop {
        match store.claim(id).await {
            Ok(claim) => return Ok(Kept::Approved(claim)),
            Err(error) if error.kind() == ErrorKind::Held => sleep(BETWEEN_LOOKS).await,
            Err(error) => {
                let record = store.get(id).await?;
                if record.state == HeldState::Rejected {
                    return Ok(Kept::Rejected(Box::new(record.held.spec)));
                }
                // Somebody else runs it, or has.
                return Err(error);
            }
        }
    }
}
