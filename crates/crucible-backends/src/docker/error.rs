//! The daemon's answers in the vocabulary of the core. What the daemon words is bounded and shown without control characters.

use super::connection::Endpoint;
use bollard::errors::Error as DaemonError;
use crucible_core::{Error, ErrorKind};
use std::io;

/// The most characters of the daemon's own words.
const MOST_SHOWN: usize = 300;

/// A daemon that can't be reached at all.
pub(super) fn unreachable(endpoint: &Endpoint, error: io::Error) -> Error {
    let (message, hint) = match error.kind() {
        io::ErrorKind::NotFound => (
            format!("there is no Docker daemon: no socket at {endpoint}"),
            "start one (systemctl start docker), or name another one's socket by DOCKER_HOST or docker.host",
        ),
        io::ErrorKind::PermissionDenied => (
            format!("this user may not open {endpoint}"),
            "who may use it has root's rights on this machine: become a member of the group that owns the socket (often \
             'docker'), or run a rootless daemon and name its socket by DOCKER_HOST",
        ),
        io::ErrorKind::ConnectionRefused => (
            format!("nobody listens at {endpoint}: the daemon isn't running"),
            "start it again (systemctl start docker)",
        ),
        _ => (format!("the Docker daemon at {endpoint} can't be reached"), "is it the socket of a Docker daemon?"),
    };
    Error::new(ErrorKind::Unavailable, "connect to the Docker daemon", message).with_source(error).with_hint(hint)
}

/// A request that failed.
pub(super) fn of_daemon(operation: &'static str, error: DaemonError) -> Error {
    match &error {
        DaemonError::DockerResponseServerError { status_code, message } => {
            let kind = match status_code {
                400 => ErrorKind::InvalidInput,
                403 => ErrorKind::Refused,
                404 => ErrorKind::NotFound,
                _ => ErrorKind::Infrastructure,
            };
            Error::new(kind, operation, format!("the Docker daemon answers: {}", shown(message)))
        }
        DaemonError::DockerStreamError { error } => {
            Error::new(ErrorKind::Infrastructure, operation, format!("the Docker daemon answers: {}", shown(error)))
        }
        DaemonError::RequestTimeoutError => {
            Error::new(ErrorKind::Infrastructure, operation, "the Docker daemon doesn't answer")
                .with_hint("look at its log; a daemon that hangs has to be started again")
        }
        _ => lost(operation, error),
    }
}

/// A daemon that is gone in the middle.
fn lost(operation: &'static str, error: DaemonError) -> Error {
    Error::new(ErrorKind::Infrastructure, operation, "the Docker daemon broke off")
        .with_source(error)
        .with_hint("is it still running? What ran in its sandboxes is lost; another try may help once it runs again")
}

/// Whether the daemon says that there is no such thing.
pub(super) fn is_missing(error: &DaemonError) -> bool {
    matches!(error, DaemonError::DockerResponseServerError { status_code: 404, .. })
}

/// Words of somebody else's, bounded and harmless.
pub(super) fn shown(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_SHOWN).collect();
    if line.is_empty() { "nothing".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_daemon_words_is_bounded_and_harmless() {
        let message = format!("\u{1b}[31mno\n{}", "x".repeat(1000));
        let error = of_daemon("ask", DaemonError::DockerResponseServerError { status_code: 500, message });
        let text = error.to_string();
        assert!(text.len() < 400 && !text.contains(['\u{1b}', '\n']), "{text}");
        assert_eq!(error.kind(), ErrorKind::Infrastructure);
        assert_eq!(shown(" \n"), "nothing");
    }
}
