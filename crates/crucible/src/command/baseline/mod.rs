//! `crucible baseline`: what earlier runs with a label were like, for the operator to look at and to forget.
//!
//! It starts no backend and judges no run.

mod report;

use super::runtime;
use crate::arguments::BaselineVerb;
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{BaselineStore, Error, ErrorKind, Label, Result};
use crucible_state::file::FileBaselines;
use report::{Labels, Shown};

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn baseline(verb: &BaselineVerb) -> Result<Exit> {
    let store = compose::baselines(&Configuration::load(&Environment::of_process(), &Overrides::default())?)?;
    match verb {
        BaselineVerb::List(arguments) => list(&store, arguments.format()),
        BaselineVerb::Show(arguments) => show(&store, &arguments.label, arguments.format()),
        BaselineVerb::Forget(arguments) => forget(&store, &arguments.label),
    }
}

fn list(store: &FileBaselines, format: Format) -> Result<Exit> {
    let labels = Labels::from(runtime()?.block_on(store.labels())?);
    match format {
        Format::Json => output::json(&labels),
        Format::Text => output::data(&report::list(&labels)),
    }
}

fn show(store: &FileBaselines, label: &Label, format: Format) -> Result<Exit> {
    let history = runtime()?.block_on(store.history(label))?;
    if history.profiles.is_empty() && history.broken == 0 {
        return Err(unknown(store, label));
    }
    match format {
        Format::Json => output::json(&Shown::of(label, &history)),
        Format::Text => output::data(&report::show(label, &history)),
    }
}

fn forget(store: &FileBaselines, label: &Label) -> Result<Exit> {
    match runtime()?.block_on(store.forget(label))? {
        Some(runs) => output::data(&format!("forgot {} of '{label}'\n", report::runs(runs))),
        None => Err(unknown(store, label)),
    }
}

fn unknown(store: &FileBaselines, label: &Label) -> Error {
    let error =
        Error::new(ErrorKind::NotFound, "find a label", format!("no run with the label '{label}' is remembered"));
    let known = runtime().and_then(|runtime| runtime.block_on(store.labels())).unwrap_or_default();
    match crucible_core::nearest(label.as_str(), known.iter().map(|summary| summary.label.as_str())) {
        Some(near) => error.with_hint(format!("did you mean '{near}'?")),
        None => error.with_hint("`crucible baseline list` shows the labels that there are"),
    }
}
