//! Compares a finished run with earlier ones that had its label, and has it remembered.
//!
//! Invariant: nothing here fails or holds up a run for long. What couldn't be done is in the record, so that a run that
//! nothing was compared with isn't taken for one that doesn't stand out.

use crate::anomaly::{Baseline, FEWEST_RUNS, profile};
use crate::patience::BASELINE;
use crucible_core::{
    BaselineRecord, BaselineStore, Comparison, Label, Learnt, Outcome, Profile, Result, Status, Validity,
};
use std::future::Future;
use std::time::SystemTime;

/// Says how a run stands to earlier ones with its label.
pub(crate) async fn compare(store: Option<&dyn BaselineStore>, label: Label, outcome: &mut Outcome) {
    outcome.baseline = Some(compared(store, label, outcome).await);
}

async fn compared(store: Option<&dyn BaselineStore>, label: Label, outcome: &mut Outcome) -> BaselineRecord {
    let Some(profile) = profile(outcome, SystemTime::now()) else {
        let learnt = not_learnt("there is nothing to remember of it");
        return BaselineRecord { label, runs: 0, comparison: Comparison::NothingToCompare, learnt };
    };
    let history = match store {
        Some(store) => in_time(store.history(&label)).await,
        None => Err("nothing keeps earlier runs here".to_owned()),
    };
    let (runs, comparison) = match history {
        Ok(history) => {
            let baseline = Baseline::new(&history.profiles, &profile.backend);
            outcome.anomalies = baseline.anomalies(&label, &profile);
            let needed = u64::try_from(FEWEST_RUNS).unwrap_or(u64::MAX);
            let runs = u64::try_from(baseline.runs()).unwrap_or(u64::MAX);
            (runs, if runs < needed { Comparison::TooFew { needed } } else { Comparison::Compared })
        }
        Err(reason) => (0, Comparison::Unavailable { reason }),
    };
    let learnt = match (store, &comparison) {
        (Some(store), Comparison::Compared | Comparison::TooFew { .. }) => {
            learn(store, &label, &profile, outcome).await
        }
        // What can't be checked against earlier runs isn't put among them.
        _ => not_learnt("earlier runs couldn't be read"),
    };
    BaselineRecord { label, runs, comparison, learnt }
}

/// Only a run whose result is to be believed, that came to an end of its own and that doesn't stand out is like others.
async fn learn(store: &dyn BaselineStore, label: &Label, profile: &Profile, outcome: &Outcome) -> Learnt {
    if outcome.validity != Validity::Valid {
        return not_learnt("its result isn't to be believed");
    }
    if outcome.status == Status::Denied {
        return not_learnt("it was ended for what it did");
    }
    if !outcome.anomalies.is_empty() {
        return not_learnt("it stands out");
    }
    match in_time(store.append(label, profile)).await {
        Ok(()) => Learnt::Yes,
        Err(reason) => Learnt::Failed { reason },
    }
}

fn not_learnt(reason: &str) -> Learnt {
    Learnt::No { reason: reason.to_owned() }
}

/// What a store answers, or why it doesn't.
async fn in_time<T>(asked: impl Future<Output = Result<T>>) -> Result<T, String> {
    match tokio::time::timeout(BASELINE, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the store of earlier runs didn't answer within {} seconds", BASELINE.as_secs())),
    }
}
