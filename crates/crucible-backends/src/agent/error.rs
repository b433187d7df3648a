//! The agent's errors in the vocabulary of the core.

use crucible_agent::host::{AgentError, Failure, Refusal};
use crucible_core::{Error, ErrorKind};
use std::io;

const NO_SUCH_FILE: i32 = 2;
const NO_SUCH_PROCESS: i32 = 3;
const TOO_LONG: i32 = 7;
const EXEC_FORMAT: i32 = 8;
const TRY_AGAIN: i32 = 11;
const OUT_OF_MEMORY: i32 = 12;
const PERMISSION_DENIED: i32 = 13;
const NOT_A_FOLDER: i32 = 20;
const INVALID: i32 = 22;
const NO_SPACE: i32 = 28;
const QUOTA: i32 = 122;

/// Whether something didn't fit.
pub(super) fn is_full(error: &AgentError) -> bool {
    matches!(error, AgentError::Refused(Refusal::Errno(NO_SPACE | QUOTA)))
}

/// An error of an existing sandbox.
pub(crate) fn translate(operation: &'static str, error: AgentError) -> Error {
    match error {
        AgentError::NotStarted(failure) => not_started(operation, failure),
        AgentError::Refused(refusal) => refused(operation, refusal),
        AgentError::TooLong => {
            Error::new(ErrorKind::InvalidInput, operation, "the arguments and the environment are too long")
        }
        AgentError::TooMany(_) => Error::new(ErrorKind::Refused, operation, error.to_string())
            .with_hint("wait for some of the sandbox's commands to end, or use another sandbox"),
        AgentError::NotSignalled(NO_SUCH_PROCESS) => {
            Error::new(ErrorKind::NotFound, operation, "nothing of the command is left that could get a signal")
        }
        AgentError::NotSignalled(INVALID) => Error::new(ErrorKind::InvalidInput, operation, "there is no such signal"),
        other => Error::new(ErrorKind::Infrastructure, operation, format!("could not {operation}")).with_source(other),
    }
}

fn not_started(operation: &'static str, failure: Failure) -> Error {
    let of_program = failure.step.contains("program");
    match failure.errno {
        NO_SUCH_FILE if of_program => {
            Error::new(ErrorKind::NotFound, operation, "there is no such program in the sandbox").with_hint(
                "a sandbox holds only what its language needs; `crucible exec` gives the host's ordinary programs",
            )
        }
        PERMISSION_DENIED | EXEC_FORMAT | INVALID | NOT_A_FOLDER if of_program => {
            Error::new(ErrorKind::InvalidInput, operation, "the program can't be executed")
                .with_source(AgentError::NotStarted(failure))
        }
        TOO_LONG => Error::new(ErrorKind::InvalidInput, operation, "the arguments and the environment are too long"),
        errno => {
            let limited = matches!(errno, OUT_OF_MEMORY | TRY_AGAIN);
            let kind = if limited || failure.step.contains("folder") {
                ErrorKind::InvalidInput
            } else {
                ErrorKind::Infrastructure
            };
            let error = Error::new(kind, operation, "the sandbox's agent couldn't start the command");
            let error = error.with_source(AgentError::NotStarted(failure));
            if limited { error.with_hint("the limits leave no room for another process") } else { error }
        }
    }
}

fn refused(operation: &'static str, refusal: Refusal) -> Error {
    let message = match refusal {
        Refusal::Errno(NO_SUCH_FILE) => {
            return Error::new(ErrorKind::NotFound, operation, "there is no such file in the sandbox");
        }
        Refusal::Errno(NO_SPACE | QUOTA) => "the sandbox's disk limit is reached".to_owned(),
        Refusal::Outside => "the path lies in none of the sandbox's writable folders".to_owned(),
        Refusal::NotRegular => "it isn't a regular file".to_owned(),
        Refusal::SeveralNames => "the file has more than one name".to_owned(),
        Refusal::NotFolder => "it isn't a folder".to_owned(),
        Refusal::NotOpen => "it isn't open any more".to_owned(),
        Refusal::Errno(errno) => io::Error::from_raw_os_error(errno).to_string(),
    };
    Error::new(ErrorKind::Refused, operation, message)
}

/// An error of greeting an agent. `said` is what its runtime said on standard error.
pub(crate) fn greeting_error(operation: &'static str, error: AgentError, said: &str) -> Error {
    let said: String = said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(600).collect();
    let message = match said.as_str() {
        "" => format!("could not {operation}: {error}"),
        said => format!("could not {operation}: {error}; its runtime says: {said}"),
    };
    Error::new(ErrorKind::Infrastructure, operation, message).with_source(error)
}
