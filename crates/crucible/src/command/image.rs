//! `crucible image`: a container daemon's images, and making one of this machine's own runtime.
//!
//! It starts no container.

use super::runtime;
use crate::arguments::ImageVerb;
use crate::exit::Exit;
use crate::output::{self, Format, neutral};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_backends::docker::{Daemon, Image};
use crucible_core::Result;
use serde::Serialize;
use std::fmt::Write;

/// The answer of `crucible image list --json`.
#[derive(Serialize)]
struct Images {
    daemon: String,
    images: Vec<Shown>,
}

/// One image.
#[derive(Serialize)]
struct Shown {
    name: String,
    id: String,
    bytes: u64,
    /// The language of whose runtime on this machine it was made; `null` for any other image.
    made_for: Option<String>,
    /// The languages that run in it.
    languages: Vec<String>,
}

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn image(verb: &ImageVerb) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let runtime = runtime()?;
    let done = runtime.block_on(act(verb, &configuration));
    runtime.shutdown_background();
    done
}

async fn act(verb: &ImageVerb, configuration: &Configuration) -> Result<Exit> {
    let daemon = Daemon::connect(&compose::docker_config(configuration)).await?;
    match verb {
        ImageVerb::List(arguments) => list(&daemon, configuration, arguments.format()).await,
        ImageVerb::Pull(arguments) => {
            let pulled = daemon.pull(&arguments.name).await?;
            report("pulled", &pulled, configuration, arguments.format())
        }
        ImageVerb::ImportHost(arguments) => {
            let (name, language) = configuration.languages().find(&arguments.language)?;
            let cache = configuration.interpreter_cache();
            let made = daemon.import_host(&name, &language, cache.as_ref()).await?;
            report("made", &made, configuration, arguments.format())
        }
        ImageVerb::Rm(arguments) => {
            daemon.remove_image(&arguments.name).await?;
            output::data(&format!("removed {}\n", neutral(&arguments.name)))
        }
    }
}

fn shown(image: &Image, configuration: &Configuration) -> Shown {
    let users = configuration.languages().iter().filter(|(_, language)| language.image == image.name);
    Shown {
        name: image.name.clone(),
        id: image.id.clone(),
        bytes: image.bytes,
        made_for: image.language.clone(),
        languages: users.map(|(name, _)| name.to_owned()).collect(),
    }
}

fn report(what: &str, image: &Image, configuration: &Configuration, format: Format) -> Result<Exit> {
    let shown = shown(image, configuration);
    match format {
        Format::Json => output::json(&shown),
        Format::Text => {
            let size = mebibytes(shown.bytes);
            output::data(&format!("{what} {}, {size}\n{}\n", neutral(&shown.name), neutral(&shown.id)))
        }
    }
}

async fn list(daemon: &Daemon, configuration: &Configuration, format: Format) -> Result<Exit> {
    let images = daemon.images().await?.iter().map(|image| shown(image, configuration)).collect();
    let images = Images { daemon: format!("{} at {}", daemon.describe(), daemon.address()), images };
    match format {
        Format::Json => output::json(&images),
        Format::Text => output::data(&table(&images)),
    }
}

/// Bytes, rounded.
fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

fn table(images: &Images) -> String {
    let mut text = format!("{}\n", neutral(&images.daemon));
    if images.images.is_empty() {
        text.push_str("it has no images; `crucible image import-host python` makes one of this machine's Python\n");
    }
    let width = images.images.iter().map(|image| image.name.chars().count()).max().unwrap_or_default();
    for Shown { name, id, bytes, languages, .. } in &images.images {
        let digits: String = id.trim_start_matches("sha256:").chars().take(12).collect();
        let users = if languages.is_empty() { String::new() } else { format!("  for {}", languages.join(", ")) };
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {:width$}  {digits}  {}{users}", neutral(name), mebibytes(*bytes));
    }
    text
}
