//! `crucible runtime`: interpreters that are WebAssembly, for languages that run as that.

use super::runtime;
use crate::arguments::{RuntimeListArguments, RuntimeVerb};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_backends::wasm::{self, runtimes};
use crucible_core::Result;
use serde::Serialize;
use std::fmt::Write;
use std::time::Instant;

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn runtimes(verb: &RuntimeVerb) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    match verb {
        RuntimeVerb::Install(arguments) => install(&configuration, &arguments.name),
        RuntimeVerb::List(arguments) => list(&configuration, arguments),
        RuntimeVerb::Rm(arguments) => remove(&configuration, &arguments.name),
    }
}

fn install(configuration: &Configuration, name: &str) -> Result<Exit> {
    let installed = compose::runtimes(configuration)?.install(name)?;
    let runtime = runtime()?;
    let began = Instant::now();
    let compiled = runtime.block_on(async {
        let backend = compose::start_wasm(configuration).await?;
        backend.compiled(name).await?;
        backend.snapshot(name).await
    });
    runtime.shutdown_background();
    let start = if compiled?.is_some() { "; starts from a snapshot" } else { "" };
    output::data(&format!(
        "installed {name}: {}, {} MiB; compiled in {:.1} s{start}\n",
        installed.known.title,
        installed.bytes >> 20,
        began.elapsed().as_secs_f64()
    ))
}

/// One runtime as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    title: String,
    /// The registry's package that it comes in.
    package: String,
    license: String,
    installed: bool,
    /// The module's size, where it is installed.
    bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Listed {
    runtimes: Vec<Shown>,
}

fn list(configuration: &Configuration, arguments: &RuntimeListArguments) -> Result<Exit> {
    let installed = compose::runtimes(configuration)?.list()?;
    let show = |(name, known): (String, runtimes::KnownRuntime)| {
        let bytes = installed.iter().find(|installed| installed.name == name).map(|installed| installed.bytes);
        let package = known.package();
        Shown { name, title: known.title, package, license: known.license, installed: bytes.is_some(), bytes }
    };
    let listed = Listed { runtimes: runtimes::known()?.into_iter().map(show).collect() };
    match arguments.format() {
        Format::Json => output::json(&listed),
        Format::Text => {
            let mut text = String::new();
            for Shown { name, title, package, license, bytes, .. } in &listed.runtimes {
                let state =
                    bytes.map_or_else(|| "not installed".to_owned(), |bytes| format!("installed, {} MiB", bytes >> 20));
                // Writing to a String can't fail.
                let _ =
                    writeln!(text, "{name:14} {state}\n               {title}\n               {package}, {license}");
            }
            output::data(&text)
        }
    }
}

fn remove(configuration: &Configuration, name: &str) -> Result<Exit> {
    compose::runtimes(configuration)?.remove(name)?;
    if let Some(folder) = configuration.compiled_folder() {
        wasm::forget_compiled(&folder, name)?;
    }
    output::data(&format!("removed {name}\n"))
}
