//! What an operator can set about Docker.

use crucible_core::HostPath;

/// What a container is kept from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hardening {
    /// Everything that it doesn't need.
    #[default]
    Full,
    /// What a container is kept from that is made without any option: the attack suite's comparison, and nothing for
    /// untrusted programs.
    Stock,
}

/// What an operator can set about Docker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig {
    /// The daemon: `unix:///path` or `tcp://127.0.0.1:port`; `None` for `DOCKER_HOST`, and without that the usual sockets.
    pub host: Option<String>,
    /// The OCI runtime of the daemon's, by the name that it has there; `None` for the daemon's own choice.
    pub runtime: Option<String>,
    /// The image for commands that aren't programs of a language; `None` for that of the machine's ordinary programs, or else
    /// one of a language.
    pub image: Option<String>,
    /// What containers are kept from.
    pub hardening: Hardening,
    /// Where the answers of interpreters are remembered, for images that are made of this machine's.
    pub interpreter_cache: Option<HostPath>,
}
