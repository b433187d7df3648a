//! `crucible sandbox`: sandboxes that stay open, each kept by a process of its own that serves the HTTP interface on a socket, or
//! all by a service that is named.
//!
//! Invariant: what is left over of a keeper that was killed is removed by whoever looks next. A name that a guest made is
//! shown without what could steer the terminal, and never becomes a path here unless it is a plain name.

mod copy;
mod create;
mod exec;
mod keeper;
mod list;
mod raw;

use super::{client, runtime};
use crate::arguments::{Chosen, SandboxArguments, SandboxForkArguments, SandboxRmArguments, SandboxVerb};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_api::client::{Address, Client};
use crucible_api::v1::Sandbox;
use crucible_core::{Error, ErrorKind, Result, SandboxId};
use crucible_state::file::KeptPlace;

/// Ids that are shown where one that was abbreviated could be any of them.
const MOST_CANDIDATES: usize = 5;

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn sandbox(arguments: &SandboxArguments) -> Result<Exit> {
    let whose = match &arguments.server {
        None => Whose::Here,
        Some(_) => Whose::Service(client::client(arguments.server.as_ref())?),
    };
    match &arguments.verb {
        SandboxVerb::Create(arguments) => match &arguments.keep_in {
            Some(place) => keeper::keep(arguments, place),
            None => create::create(&whose, arguments),
        },
        SandboxVerb::List(arguments) => list::list(&whose, arguments),
        SandboxVerb::Exec(arguments) => exec::exec(&whose, arguments),
        SandboxVerb::Cp(arguments) => copy::copy(&whose, arguments),
        SandboxVerb::Ls(arguments) => list::list_files(&whose, arguments),
        SandboxVerb::Shell(arguments) => exec::shell(&whose, arguments),
        SandboxVerb::Fork(arguments) => fork(&whose, arguments),
        SandboxVerb::Rm(arguments) => remove(&whose, arguments),
    }
}

fn configuration() -> Result<Configuration> {
    Configuration::load(&Environment::of_process(), &Overrides::default())
}

/// Whose sandboxes are meant.
enum Whose {
    /// Those that processes of this machine keep.
    Here,
    /// Those of a service.
    Service(Client),
}

/// A sandbox that is open, and the way to it, for as long as this lives.
struct Open {
    id: String,
    client: Client,
    _place: Option<KeptPlace>,
}

impl Whose {
    /// Every sandbox that is open.
    async fn all(&self) -> Result<Vec<Open>> {
        match self {
            Self::Here => {
                let places = compose::sandbox_places(&configuration()?)?.list()?;
                Ok(places.into_iter().map(Open::from).collect())
            }
            Self::Service(client) => {
                let sandboxes = client.sandboxes().await?;
                let open = |sandbox: Sandbox| Open { id: sandbox.id, client: client.clone(), _place: None };
                Ok(sandboxes.into_iter().map(open).collect())
            }
        }
    }

    /// The sandbox that a person means by its id, or the beginning or end of it.
    async fn find(&self, text: &str) -> Result<Open> {
        find(text, self.all().await?)
    }
}

impl From<KeptPlace> for Open {
    fn from(place: KeptPlace) -> Self {
        Self { id: place.id().to_string(), client: Client::new(Address::Unix(place.socket())), _place: Some(place) }
    }
}

fn find(text: &str, mut all: Vec<Open>) -> Result<Open> {
    let operation = "find the sandbox";
    let meant = text.trim().to_ascii_lowercase();
    let with = |fits: &dyn Fn(&str) -> bool| -> Vec<usize> {
        all.iter().enumerate().filter(|(_, open)| fits(&open.id)).map(|(index, _)| index).collect()
    };
    let mut fitting = if meant.is_empty() { Vec::new() } else { with(&|id| id.starts_with(&meant)) };
    if fitting.is_empty() && !meant.is_empty() {
        fitting = with(&|id| id.ends_with(&meant));
    }
    match fitting[..] {
        [index] => Ok(all.swap_remove(index)),
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
            let some: Vec<_> = fitting
                .iter()
                .take(MOST_CANDIDATES)
                .filter_map(|index| all.get(*index))
                .map(|open| open.id.as_str())
                .collect();
            let message = format!("{text:?} could be any of {} sandboxes", fitting.len());
            Err(Error::new(ErrorKind::InvalidInput, operation, message)
                .with_hint(format!("such as {}", some.join(", "))))
        }
    }
}

fn fork(whose: &Whose, arguments: &SandboxForkArguments) -> Result<Exit> {
    let fork = runtime()?.block_on(async {
        let open = whose.find(&arguments.id).await?;
        open.client.fork_sandbox(&open.id).await
    })?;
    match arguments.format() {
        Format::Json => output::json(&fork),
        Format::Text => output::data(&format!("{}\n", output::neutral(&fork.id))),
    }
}

fn remove(whose: &Whose, arguments: &SandboxRmArguments) -> Result<Exit> {
    runtime()?.block_on(async {
        let mut chosen = Vec::new();
        match arguments.chosen() {
            Chosen::All => chosen = whose.all().await?,
            Chosen::Some(ids) => {
                for id in ids {
                    chosen.push(whose.find(id).await?);
                }
            }
        }
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
