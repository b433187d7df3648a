//! What can go wrong between the supervisor, the launcher and a sandbox's init.

use crate::plan::{Failure, Refusal};
use rustix::io::Errno;

/// A failure of the jail.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The launcher or an init couldn't do a step.
    #[error("the launcher could not {step}: {}", describe(*.errno))]
    Step {
        /// The step, in the imperative.
        step: String,
        /// The kernel's answer.
        errno: i32,
    },
    /// A command couldn't be started.
    #[error("{}", describe(*.errno))]
    NotStarted {
        /// The step, in the imperative.
        step: String,
        /// The kernel's answer.
        errno: i32,
    },
    /// An interpreter couldn't be made a launcher.
    #[error("the interpreter can't be made ready: {words}")]
    Zygote {
        /// The last that it said.
        words: String,
    },
    /// The launcher is gone.
    #[error("the launcher is gone")]
    LauncherLost,
    /// The sandbox is gone.
    #[error("the sandbox is gone")]
    SandboxLost,
    /// A file system knows no user of the host's, so that the supervisor can make no file there.
    #[error("the sandbox's files can be no user's of the host")]
    Foreign,
    /// No interpreter waits for a program.
    #[error("no interpreter waits for a program")]
    NothingWaits,
    /// The sandbox has no terminals.
    #[error("the sandbox has no terminals")]
    NoTerminals,
    /// The other side broke the protocol.
    #[error("unexpected message while trying to {0}")]
    Protocol(&'static str),
    /// A request was refused.
    #[error("the request was refused")]
    Refused(Refusal),
    /// A system call of the supervisor's failed.
    #[error("could not {operation}")]
    Os {
        /// What was being done.
        operation: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl JailError {
    pub(crate) fn os(operation: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Os { operation, source: errno.into() }
    }

    pub(crate) fn io(operation: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Os { operation, source }
    }
}

impl From<Failure> for JailError {
    fn from(failure: Failure) -> Self {
        Self::Step { step: failure.step, errno: failure.errno }
    }
}

/// The kernel's answer in words.
fn describe(errno: i32) -> String {
    std::io::Error::from_raw_os_error(errno).to_string()
}
