//! Makes a sandbox that stays open: claims a place for it and starts its keeper, and hears whether that succeeded; or asks a
//! service for one.

use super::{Whose, configuration};
use crate::arguments::SandboxCreateArguments;
use crate::command::client::{self, Asked};
use crate::command::{input, runtime};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment};
use crucible_api::v1::{CreateSandbox, ProblemDetail, Sandbox};
use crucible_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};

/// The most that a keeper says before it is on its own.
const LONGEST_WORD: u64 = 1 << 20;

/// What a keeper says once its sandbox stands, or doesn't.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FirstWord {
    /// It stands.
    Sandbox(Box<Sandbox>),
    /// It couldn't be made.
    Error(ProblemDetail),
}

/// Makes one.
///
/// # Errors
/// Crucible's own failures.
pub(super) fn create(whose: &Whose, arguments: &SandboxCreateArguments) -> Result<Exit> {
    let sandbox = match whose {
        Whose::Here => start(arguments)?,
        Whose::Service(client) => Box::new(runtime()?.block_on(client.create_sandbox(&request(arguments)?))?),
    };
    match arguments.format() {
        Format::Json => output::json(&sandbox),
        Format::Text => output::data(&format!("{}\n", output::neutral(&sandbox.id))),
    }
}

/// What is asked of a service.
fn request(arguments: &SandboxCreateArguments) -> Result<CreateSandbox> {
    let operation = "ask for a sandbox";
    let Asked { mut limits, backend, policy, network } = client::asked(&arguments.settings, operation)?;
    limits.remove("timeout");
    Ok(CreateSandbox {
        backend,
        language: arguments.language.clone(),
        policy,
        network,
        limits,
        env: input::environment(&BTreeMap::new(), &arguments.env, |name| std::env::var_os(name))?,
        tripwires: Vec::new(),
        command_timeout: arguments.settings.timeout().map(|time| time.to_string()),
        idle_timeout: arguments.idle_timeout.map(|time| time.to_string()),
        lifetime: arguments.lifetime.map(|time| time.to_string()),
    })
}

/// Starts a keeper, and hears of its sandbox.
fn start(arguments: &SandboxCreateArguments) -> Result<Box<Sandbox>> {
    // What is wrong with the request is found here, where it can be told best.
    let configuration = Configuration::load(&Environment::of_process(), &arguments.settings.overrides())?;
    let backend = compose::choose(configuration.backend(), arguments.settings.unsafe_backends())?;
    if backend == compose::SUBPROCESS {
        output::warning("the subprocess backend isolates nothing: what runs in it can do all that you can do");
    }
    let places = compose::sandbox_places(&self::configuration()?)?;
    // What others left over goes when a new one comes.
    drop(places.list()?);
    let place = places.claim()?;
    let operation = "start the sandbox's keeper";
    let failed = |message: &str, error| Error::new(ErrorKind::Unavailable, operation, message).with_source(error);
    let program = std::env::current_exe().map_err(|error| failed("this program can't be found again", error))?;
    let mut keeper = Command::new(program)
        .args(std::env::args_os().skip(1))
        .args(["--keep-in", place.name()])
        // The lock is held for as long as the keeper lives, because it is its standard input.
        .stdin(place.lock()?)
        .stdout(Stdio::piped())
        .stderr(place.log()?)
        .spawn()
        .map_err(|error| failed("it can't be started", error))?;
    let mut word = Vec::new();
    if let Some(said) = keeper.stdout.take() {
        let read = said.take(LONGEST_WORD).read_to_end(&mut word);
        read.map_err(|error| failed("it can't be heard", error))?;
    }
    match serde_json::from_slice(&word) {
        Ok(FirstWord::Sandbox(sandbox)) => Ok(sandbox),
        Ok(FirstWord::Error(error)) => {
            let _ended = keeper.wait();
            place.remove()?;
            Err(error.to_error("create the sandbox"))
        }
        Err(_) => {
            let _ended = keeper.wait();
            let log = place.log_end();
            place.remove()?;
            let error = Error::new(ErrorKind::Infrastructure, operation, "the sandbox's keeper ended without a word");
            Err(match log.trim() {
                "" => error,
                log => error.with_source(log.to_owned()),
            })
        }
    }
}
