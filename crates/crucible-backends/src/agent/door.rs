//! The way out of a sandbox with an agent: its agent listens where the jail's supervisor does, and carries what comes in.

use async_trait::async_trait;
use crucible_agent::host;
use crucible_core::{Connection, Door, Error, ErrorKind, NetworkKind, Result};
use crucible_jail::plan::DOOR;
use std::net::{SocketAddr, SocketAddrV4};

/// Where an agent is to listen: where the jail has its door, so that programs see no difference.
pub(crate) const fn door_address(network: NetworkKind) -> Option<SocketAddrV4> {
    match network {
        NetworkKind::None => None,
        NetworkKind::AllowList => Some(DOOR),
    }
}

pub(super) struct AgentDoor(host::Door);

impl AgentDoor {
    pub(super) const fn new(door: host::Door) -> Self {
        Self(door)
    }
}

#[async_trait]
impl Door for AgentDoor {
    fn address(&self) -> SocketAddr {
        DOOR.into()
    }

    async fn accept(&mut self) -> Result<Box<dyn Connection>> {
        match self.0.accept().await {
            Ok(connection) => Ok(Box::new(connection)),
            Err(error) => {
                let message = "no connection can be taken any more";
                Err(Error::new(ErrorKind::Infrastructure, "listen to the sandbox", message).with_source(error))
            }
        }
    }
}
