//! Where the daemon is, and reaching it.
//!
//! Invariant: only a socket of this machine or its loopback is ever connected to, since a sandbox on another machine can't be
//! looked at from here. Nothing is asked of the daemon yet.

use super::error;
use bollard::{API_DEFAULT_VERSION, Docker};
use crucible_core::{Error, ErrorKind, Result};
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one request may take before the daemon counts as lost. Importing an image takes longest.
const PATIENCE_SECONDS: u64 = 300;
/// How long connecting over loopback may take.
const CONNECTING: Duration = Duration::from_secs(5);

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A socket in a folder.
    Socket(PathBuf),
    /// A port of this machine's loopback.
    Loopback(SocketAddr),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix://{}", path.display()),
            Self::Loopback(address) => write!(f, "tcp://{address}"),
        }
    }
}

impl Endpoint {
    /// The daemon that is meant: the configuration's, else that of `DOCKER_HOST`, else the first of the usual sockets that
    /// is there.
    pub(super) fn find(configured: Option<&str>) -> Result<Self> {
        let of_environment = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        match (configured, &of_environment) {
            (Some(host), _) => Self::parse(host, "docker.host"),
            (None, Some(host)) => Self::parse(host, "DOCKER_HOST"),
            (None, None) => {
                let usual = usual_sockets();
                let found = usual.iter().find(|path| path.exists()).or(usual.first());
                Ok(Self::Socket(found.cloned().unwrap_or_default()))
            }
        }
    }

    fn parse(host: &str, named_by: &str) -> Result<Self> {
        let shown: String = host.chars().take(100).collect();
        let wrong = |why: &str| {
            let message = format!("{named_by} is {shown:?}: {why}");
            Error::new(ErrorKind::Configuration, "find the Docker daemon", message)
                .with_hint("it is unix:///path/of/a.sock, or tcp://127.0.0.1:PORT")
        };
        if let Some(path) = host.strip_prefix("unix://") {
            let path = Path::new(path);
            return if path.is_absolute() {
                Ok(Self::Socket(path.to_owned()))
            } else {
                Err(wrong("the socket's path isn't absolute"))
            };
        }
        let Some(address) = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://")) else {
            return Err(wrong("only sockets of this machine and its loopback are understood"));
        };
        let addresses: Vec<SocketAddr> = address
            .trim_end_matches('/')
            .to_socket_addrs()
            .map_err(|source| wrong("the address can't be read").with_source(source))?
            .collect();
        match addresses.first() {
            Some(first) if addresses.iter().all(|address| address.ip().is_loopback()) => Ok(Self::Loopback(*first)),
            _ => Err(wrong("a daemon of another machine can't be watched from here")),
        }
    }

    /// Whether a daemon answers there now.
    pub(super) fn is_reachable(&self) -> bool {
        self.knock().is_ok()
    }

    fn knock(&self) -> io::Result<()> {
        match self {
            Self::Socket(path) => UnixStream::connect(path).map(drop),
            Self::Loopback(address) => TcpStream::connect_timeout(address, CONNECTING).map(drop),
        }
    }

    /// A client for the daemon.
    pub(super) fn connect(&self) -> Result<Docker> {
        self.knock().map_err(|error| error::unreachable(self, error))?;
        let client = match self {
            Self::Socket(path) => {
                let path = path.to_str().ok_or_else(|| {
                    Error::new(ErrorKind::Configuration, "connect to the Docker daemon", "the path isn't UTF-8")
                })?;
                Docker::connect_with_unix(path, PATIENCE_SECONDS, API_DEFAULT_VERSION)
            }
            Self::Loopback(address) => {
                Docker::connect_with_http(&format!("tcp://{address}"), PATIENCE_SECONDS, API_DEFAULT_VERSION)
            }
        };
        client.map_err(|source| error::of_daemon("connect to the Docker daemon", source))
    }
}

/// The sockets of Docker and Podman, the preferred one first.
fn usual_sockets() -> Vec<PathBuf> {
    let of_user = std::env::var_os("XDG_RUNTIME_DIR")
        .map_or_else(|| PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw())), PathBuf::from);
    vec![
        PathBuf::from("/var/run/docker.sock"),
        of_user.join("docker.sock"),
        of_user.join("podman/podman.sock"),
        PathBuf::from("/run/podman/podman.sock"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_connected_to() {
        let read = |host: &str| Endpoint::parse(host, "DOCKER_HOST");
        assert_eq!(read("unix:///run/d.sock").unwrap(), Endpoint::Socket("/run/d.sock".into()));
        assert_eq!(read("tcp://127.0.0.1:2375").unwrap(), Endpoint::Loopback("127.0.0.1:2375".parse().unwrap()));
        assert_eq!(read("tcp://[::1]:2375").unwrap().to_string(), "tcp://[::1]:2375");
        for wrong in
            ["", "unix://d.sock", "tcp://192.0.2.1:2375", "ssh://somebody@host", "tcp://127.0.0.1", "npipe://x"]
        {
            let error = read(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{wrong}");
            assert!(error.to_string().contains("DOCKER_HOST") && error.hint().is_some());
        }
    }

    #[test]
    fn a_socket_that_is_missing_or_silent_is_told_with_its_mend() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Endpoint::Socket(folder.path().join("missing.sock"));
        let error = missing.connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.hint().unwrap().contains("DOCKER_HOST"));
        let path = folder.path().join("silent.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let silent = Endpoint::Socket(path);
        assert!(silent.connect().unwrap_err().to_string().contains("nobody listens"));
        assert!(!silent.is_reachable());
    }
}
