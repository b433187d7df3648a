//! The jail's errors in the vocabulary of the core.

use crucible_core::{Error, ErrorKind};
use crucible_jail::host::JailError;
use crucible_jail::plan::Refusal;
use std::io;

const NO_SUCH_FILE: i32 = 2;
const NOT_A_FOLDER: i32 = 20;
const PERMISSION_DENIED: i32 = 13;
const EXEC_FORMAT: i32 = 8;
const TOO_LONG: i32 = 7;
const NO_SPACE: i32 = 28;
const OUT_OF_MEMORY: i32 = 12;
const TRY_AGAIN: i32 = 11;
const NOT_PERMITTED: i32 = 1;

/// An error of an existing sandbox.
pub(crate) fn translate(operation: &'static str, error: JailError) -> Error {
    match error {
        JailError::NotStarted { ref step, errno: NO_SUCH_FILE | NOT_A_FOLDER } if step.contains("folder") => {
            Error::new(ErrorKind::InvalidInput, operation, "the folder in which it is to start isn't in the sandbox")
        }
        JailError::NotStarted { errno: NO_SUCH_FILE, .. } => {
            Error::new(ErrorKind::NotFound, operation, "there is no such program in the sandbox").with_hint(
                "a sandbox holds only what its language needs; `crucible exec` gives the host's ordinary programs",
            )
        }
        JailError::NotStarted { errno: PERMISSION_DENIED | EXEC_FORMAT, .. } => {
            Error::new(ErrorKind::InvalidInput, operation, "the program can't be executed").with_source(error)
        }
        JailError::NotStarted { errno: TOO_LONG, .. } => {
            Error::new(ErrorKind::InvalidInput, operation, "the arguments and the environment are too long")
        }
        JailError::NotStarted { ref step, errno } => {
            let limited = matches!(errno, OUT_OF_MEMORY | TRY_AGAIN);
            let kind =
                if limited || step.contains("folder") { ErrorKind::InvalidInput } else { ErrorKind::Infrastructure };
            let message = format!(
                "the command could not be started: the sandbox's init could not {step}: {}",
                io::Error::from_raw_os_error(errno)
            );
            let error = Error::new(kind, operation, message);
            if limited { error.with_hint("the limits leave no room for another process") } else { error }
        }
        JailError::Refused(refusal) => refused(operation, refusal),
        JailError::Foreign => {
            let message = "a sandbox that was forked from an interpreter knows no user of the host's";
            Error::new(ErrorKind::Refused, operation, message).with_hint("take one without an interpreter ready")
        }
        JailError::NothingWaits => {
            Error::new(ErrorKind::Infrastructure, operation, "no interpreter waits for the program")
        }
        JailError::Zygote { words } => {
            Error::new(ErrorKind::Unavailable, operation, format!("the interpreter can't be made ready: {words}"))
        }
        JailError::NoTerminals => Error::new(ErrorKind::Refused, operation, "this sandbox has no terminals")
            .with_hint("in a container, give it the right to mount devpts"),
        JailError::SandboxLost | JailError::LauncherLost => {
            Error::new(ErrorKind::Infrastructure, operation, error.to_string())
        }
        other => Error::new(ErrorKind::Infrastructure, operation, format!("could not {operation}")).with_source(other),
    }
}

fn refused(operation: &'static str, refusal: Refusal) -> Error {
    let message = match refusal {
        Refusal::NotRunning => return Error::new(ErrorKind::NotFound, operation, "the command has ended"),
        Refusal::NotListed => {
            let message = "this sandbox has no /proc, so that one command can't be ended alone";
            return Error::new(ErrorKind::Unavailable, operation, message)
                .with_hint("in a container, run it without masked paths in /proc");
        }
        Refusal::Errno(NO_SUCH_FILE) => {
            return Error::new(ErrorKind::NotFound, operation, "there is no such file in the sandbox");
        }
        Refusal::Errno(NO_SPACE) => "the sandbox's disk or inode limit is reached".to_owned(),
        Refusal::Outside => "the path lies in none of the sandbox's writable folders".to_owned(),
        Refusal::NotRegular => "it isn't a regular file".to_owned(),
        Refusal::SeveralNames => "the file has more than one name".to_owned(),
        Refusal::NotFolder => "it isn't a folder".to_owned(),
        Refusal::Errno(errno) => io::Error::from_raw_os_error(errno).to_string(),
    };
    Error::new(ErrorKind::Refused, operation, message)
}

/// An error of starting the launcher or a sandbox: what this machine, or the policy here, doesn't allow.
pub(crate) fn start_error(operation: &'static str, error: JailError) -> Error {
    let hint = match &error {
        JailError::Step { step, errno: NOT_PERMITTED | PERMISSION_DENIED }
            if step.contains("user namespace") || step.contains("new namespaces") =>
        {
            "unprivileged user namespaces are switched off here: allow them (sysctl kernel.unprivileged_userns_clone=1, \
             kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces) or run as root"
        }
        JailError::Step { step, errno: NOT_PERMITTED | PERMISSION_DENIED } if step.contains("mount") => {
            "this looks like a container without the right to mount: run it with CAP_SYS_ADMIN, or allow user namespaces in it"
        }
        JailError::Step { errno: NO_SPACE, .. } => "the kernel's limit on namespaces is reached: see /proc/sys/user",
        _ => "`crucible doctor` says what this machine lacks",
    };
    let kind = if matches!(error, JailError::Step { .. } | JailError::Os { .. }) {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Infrastructure
    };
    let message = error.to_string();
    match error {
        JailError::Os { source, .. } => Error::new(kind, operation, message).with_source(source).with_hint(hint),
        _ => Error::new(kind, operation, message).with_hint(hint),
    }
}
