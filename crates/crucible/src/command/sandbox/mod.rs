//! `crucible sandbox`: sandboxes that stay open, each kept by a process of its own that serves the HTTP interface on a socket.
//!
//! Invariant: what is left over of a keeper that was killed is removed by whoever looks next. A name that a guest made is
//! shown without what could steer the terminal, and never becomes a path here unless it is a plain name.

mod copy;
mod create;
mod exec;
mod keeper;
mod list;
mod raw;

use super::runtime;
use crate::arguments::{Chosen, SandboxForkArguments, SandboxRmArguments, SandboxVerb};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_api::client::{Address, Client};
use crucible_core::{Error, ErrorKind, Result, SandboxId};
use crucible_state::file::KeptPlace;

/// Ids that are shown where one that was abbreviated could be any of them.
const MOST_CANDIDATES: usize = 5;

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn sandbox(verb: SandboxVerb) -> Result<Exit> {
    match verb {
        SandboxVerb::Create(arguments) => match &arguments.keep_in {
            Some(place) => keeper::keep(&arguments, place),
            None => create::create(&arguments),
        },
        SandboxVerb::List(arguments) => list::list(&arguments),
        SandboxVerb::Exec(arguments) => exec::exec(&arguments),
        SandboxVerb::Cp(arguments) => copy::copy(&arguments),
        SandboxVerb::Ls(arguments) => list::list_files(&arguments),
        SandboxVerb::Shell(arguments) => exec::shell(&arguments),
        SandboxVerb::Fork(arguments) => fork(&arguments),
        SandboxVerb::Rm(arguments) => remove(&arguments),
    }
}

fn configuration() -> Result<Configuration> {
    Configuration::load(&Environment::of_process(), &Overrides::default())
}

/// A sandbox that is open, and the way to its keeper, for as long as this lives.
struct Open {
    id: String,
    client: Client,
    _place: KeptPlace,
}

impl From<KeptPlace> for Open {
    fn from(place: KeptPlace) -> Self {
        Self { id: place.id().to_string(), client: Client::new(Address::Unix(place.socket())), _place: place }
    }
}

/// Every sandbox that is open.
fn all() -> Result<Vec<KeptPlace>> {
    compose::sandbox_places(&configuration()?)?.list()
}

/// The sandbox that a person means by its id, or the beginning or end of it.
fn find(text: &str) -> Result<Open> {
    let operation = "find the sandbox";
    let meant = text.trim().to_ascii_lowercase();
    let mut places = all()?;
    let ids: Vec<String> = places.iter().map(|place| place.id().to_string()).collect();
    let with = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        ids.iter().enumerate().filter(|(_, id)| fits(id)).map(|(index, _)| index).collect()
    };
    let mut fitting = if meant.is_empty() { Vec::new() } else { with(&|id| id.starts_with(&meant)) };
    if fitting.is_empty() && !meant.is_empty() {
        fitting = with(&|id| id.ends_with(&meant));
    }
    match fitting[..] {
        [index] => Ok(places.swap_remove(index).into()),
        [] => {
            let shown: String = text.chars().take(64).collect();
            let is_whole = meant.parse::<SandboxId>().is_ok();
            let message = match is_whole {
                true => format!("there is no sandbox {shown}"),
                false => format!("no sandbox has an id that begins or ends with {shown:?}"),
            };
            Err(Error::new(ErrorKind::NotFound, operation, message).with_hint(
                "`crucible sandbox list` shows those that are open; one ends when nobody uses it for long enough",
            ))
        }
        _ => {
            let some: Vec<_> =
                fitting.iter().take(MOST_CANDIDATES).filter_map(|index| ids.get(*index)).map(String::as_str).collect();
            let message = format!("{text:?} could be any of {} sandboxes", fitting.len());
            Err(Error::new(ErrorKind::InvalidInput, operation, message)
                .with_hint(format!("such as {}", some.join(", "))))
        }
    }
}

fn fork(arguments: &SandboxForkArguments) -> Result<Exit> {
    let open = find(&arguments.id)?;
    let fork = runtime()?.block_on(open.client.fork_sandbox(&open.id))?;
    match arguments.format() {
        Format::Json => output::json(&fork),
        Format::Text => output::data(&format!("{}\n", fork.id)),
    }
}

fn remove(arguments: &SandboxRmArguments) -> Result<Exit> {
    let chosen: Vec<Open> = match arguments.chosen() {
        Chosen::All => all()?.into_iter().map(Open::from).collect(),
        Chosen::Some(ids) => ids.iter().map(|id| find(id)).collect::<Result<_>>()?,
    };
    runtime()?.block_on(async {
        let mut result = Ok(Exit::Success);
        for open in &chosen {
            match open.client.destroy_sandbox(&open.id).await {
                // It ended by itself meanwhile.
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    })
}
