//! Arms of whole evaluations, for what the engine holds and not the backend: time, processor time, output, and the record.
//!
//! Invariant: what counts is the outcome, which the engine gives on the host's own evidence.

use super::{World, new_nonce, program, unlisted};
use crate::canary::Sight;
use crate::scenario::{Arm, Canary, Probe, Scenario};
use crucible_core::{
    EvaluationId, EvaluationSpec, Evaluator, GuestPath, InputFile, LimitKind, Limits, Outcome, Program, Result, Status,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Whole evaluations: what the engine holds shows in the outcome that it gives on the host's evidence. In the control arm
/// the limit is another, or the reader of the output is one who believes it.
pub(super) async fn evaluate(scenario: &Scenario, arm: Arm, world: &World, evaluator: &dyn Evaluator) -> Result<Sight> {
    let (limits, used) = (scenario.limits(Arm::Protected)?, scenario.limits(arm)?);
    let nonce = new_nonce()?;
    let spec = specification(scenario, world, &used, nonce.clone())?;
    if let Canary::Unlisted { address } = scenario.canary {
        return unlisted::evaluate(spec, &nonce, address, arm, evaluator).await;
    }
    let patience = limits.timeout.get() + Duration::from_secs(2);
    match (&scenario.canary, tokio::time::timeout(patience, evaluator.evaluate(spec)).await) {
        (Canary::Forged {}, Ok(outcome)) => Ok(judge_forged(&outcome?, arm)),
        (Canary::Counter { limit, .. }, Ok(outcome)) => Ok(judge(*limit, &outcome?, &limits)),
        (Canary::Counter { limit: LimitKind::Timeout, .. }, Err(_)) => {
            Ok(Sight::Reached("it still ran two seconds after its time".to_owned()))
        }
        (_, Err(_)) => Ok(Sight::Unknown("it took too long".to_owned())),
        _ => Ok(Sight::Unknown("the engine doesn't hold this".to_owned())),
    }
}

/// What a probe that goes for a limit is told: how much it may use at most.
fn bounds(scenario: &Scenario) -> BTreeMap<String, String> {
    let Canary::Counter { size, .. } = &scenario.canary else { return BTreeMap::new() };
    BTreeMap::from([("CANARY_SIZE".to_owned(), size.to_string())])
}

fn specification(scenario: &Scenario, world: &World, limits: &Limits, nonce: String) -> Result<EvaluationSpec> {
    let file = program(scenario, &nonce)?;
    let mut files = Vec::new();
    let program = match scenario.probe {
        Probe::Native(_) => {
            let path = GuestPath::parse(&file.path)?;
            files.push(InputFile { path, content: file.content.to_vec(), executable: true });
            Program::Command { argv: file.argv(None, &nonce)? }
        }
        Probe::Python(_) => {
            Program::Source { language: "python".to_owned(), code: file.content.to_vec(), args: vec![nonce] }
        }
        Probe::Module(_) => {
            Program::Source { language: "wasm".to_owned(), code: file.content.to_vec(), args: vec![nonce] }
        }
    };
    Ok(EvaluationSpec {
        id: EvaluationId::generate(),
        program,
        backend: world.backend.clone(),
        stdin: Vec::new(),
        files,
        collect: Vec::new(),
        tripwires: Vec::new(),
        env: bounds(scenario),
        limits: limits.clone(),
        policy: world.policy.clone(),
        review: None,
        label: None,
    })
}

/// Limits that the engine holds: by the outcome that it gives on the host's evidence, and by what was used.
fn judge(limit: LimitKind, outcome: &Outcome, limits: &Limits) -> Sight {
    let is_ended = match limit {
        LimitKind::Timeout => outcome.status == Status::TimedOut,
        other => outcome.status == Status::LimitExceeded { limit: other },
    };
    let usage = &outcome.usage;
    let written = outcome.stdout.bytes.len().max(outcome.stderr.bytes.len());
    let (used, most) = match limit {
        LimitKind::Timeout => (usage.wall.as_millis(), limits.timeout.get().as_millis()),
        LimitKind::CpuTime => (usage.cpu.as_millis(), limits.cpu_time.get().as_millis()),
        _ => (u128::try_from(written).unwrap_or(u128::MAX), u128::from(limits.output.get())),
    };
    let seen = format!("status {}, {used} of {most} used", status_word(outcome.status));
    // The host looks from time to time, and on a busy machine later than it wanted.
    if used > most + most / 2 {
        Sight::Reached(seen)
    } else if is_ended {
        Sight::Stopped(seen)
    } else {
        Sight::Unknown(seen)
    }
}

fn status_word(status: Status) -> String {
    match status {
        Status::Exited { code } => format!("exited with {code}"),
        Status::LimitExceeded { limit } => format!("{limit} limit reached"),
        Status::TimedOut => "timed out".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The code that the probe ends with that forges a record.
const FORGERS_CODE: i32 = 23;

/// Whether the record says what was so. In the control arm it is read by one who takes the last line of the output for it.
fn judge_forged(outcome: &Outcome, arm: Arm) -> Sight {
    let is_true = match arm {
        Arm::Protected => {
            outcome.status == Status::Exited { code: FORGERS_CODE } || outcome.exit_code == Some(FORGERS_CODE)
        }
        Arm::Control => {
            let text = String::from_utf8_lossy(&outcome.stdout.bytes);
            let lines = text.lines().rev().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let Some(claimed) = lines.into_iter().find(serde_json::Value::is_object) else {
                return Sight::Unknown("it printed no record".to_owned());
            };
            claimed.get("exit_code") == Some(&serde_json::Value::from(FORGERS_CODE))
        }
    };
    if is_true {
        Sight::Stopped(format!("the record says that it ended with {FORGERS_CODE}, as it did"))
    } else {
        Sight::Reached("the record says what the guest wanted".to_owned())
    }
}
