//! `crucible store`: care for what a service keeps, while it doesn't run.

use super::runtime;
use crate::arguments::{DataFlags, StoreBackupArguments, StoreCheckArguments, StoreGcArguments, StoreVerb};
use crate::exit::Exit;
use crate::output;
use crucible::compose;
use crucible::config::{Configuration, Environment};
use crucible_api::v1::{StoreChecked, StoreForgotten};
use crucible_core::{Error, ErrorKind, HostPath, Result, Retention, StoreCare};
use crucible_state::sqlite::SqliteStore;
use std::sync::Arc;
use std::time::SystemTime;

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn store(verb: &StoreVerb) -> Result<Exit> {
    match verb {
        StoreVerb::Check(arguments) => check(arguments),
        StoreVerb::Backup(arguments) => backup(arguments),
        StoreVerb::Gc(arguments) => forget(arguments),
    }
}

/// Opens what is kept. Nothing is made where there is nothing: a mistyped folder is told.
///
/// # Errors
/// `NotFound`, and those of opening it.
pub(super) fn open(flags: &DataFlags) -> Result<Arc<SqliteStore>> {
    let configuration = Configuration::load(&Environment::of_process(), &flags.overrides())?;
    let folder = compose::service_folder(&configuration)?;
    if !folder.as_path().is_dir() {
        let message = format!("there is no folder {folder}");
        return Err(Error::new(ErrorKind::NotFound, "open the store", message)
            .with_hint("--data-dir names a service's folder; `crucible serve` makes one"));
    }
    let (_, store, _) = compose::service_store(&configuration)?;
    Ok(store)
}

/// The same, and makes one where there is none.
///
/// # Errors
/// Those of opening it.
pub(super) fn open_or_make(flags: &DataFlags) -> Result<Arc<SqliteStore>> {
    let configuration = Configuration::load(&Environment::of_process(), &flags.overrides())?;
    let (_, store, _) = compose::service_store(&configuration)?;
    Ok(store)
}

fn check(arguments: &StoreCheckArguments) -> Result<Exit> {
    let store = open(&arguments.data)?;
    let checked: StoreChecked = runtime()?.block_on(store.check())?.into();
    let shown = if arguments.json {
        output::json(&checked)?
    } else {
        for damage in &checked.damage {
            output::data(&format!("{}\n", output::neutral(damage)))?;
        }
        let what = if checked.sound { "nothing is damaged" } else { "something is damaged" };
        let StoreChecked { evaluations, blobs, orphans, .. } = checked;
        output::data(&format!("{evaluations} evaluations, {blobs} files, {orphans} of them without use: {what}\n"))?
    };
    Ok(if shown == Exit::Success && !checked.sound { Exit::Unhealthy } else { shown })
}

fn backup(arguments: &StoreBackupArguments) -> Result<Exit> {
    let store = open(&arguments.data)?;
    let folder = std::path::absolute(&arguments.folder).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "name the backup", "the folder's path can't be made out").with_source(error)
    })?;
    runtime()?.block_on(store.backup(&HostPath::new(folder)))?;
    Ok(Exit::Success)
}

fn forget(arguments: &StoreGcArguments) -> Result<Exit> {
    let store = open(&arguments.data)?;
    let age = arguments.older_than.map(crucible_core::TimeSpan::get);
    let retention = Retention {
        finished_before: age.map(|age| SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH)),
        most_bytes: arguments.larger_than.map(crucible_core::ByteSize::get),
    };
    let forgotten: StoreForgotten = runtime()?.block_on(store.collect_garbage(retention))?.into();
    if arguments.json {
        return output::json(&forgotten);
    }
    let StoreForgotten { evaluations, events, blobs, bytes } = forgotten;
    output::data(&format!("forgot {evaluations} evaluations, {events} events, {blobs} files of {bytes} bytes\n"))
}
