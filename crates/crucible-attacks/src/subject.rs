//! What a probe is put into: a sandbox as it is used, or a weakened one. The probe can't tell, and the runner treats both
//! alike.

use crucible_core::{
    Backend, Command, ControlArms, ControlSandbox, Counters, Error, ErrorKind, Execution, GuestPath, Layer, Result,
    Sandbox, SandboxRequest,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::io::AsyncReadExt;

/// What makes the sandboxes of one arm.
#[derive(Clone)]
pub enum Subject {
    /// Sandboxes as they are used.
    Protected(Arc<dyn Backend>),
    /// Weakened ones, without these layers.
    Weakened(Arc<dyn ControlArms>, BTreeSet<Layer>),
}

impl Subject {
    pub(crate) async fn create(&self, request: SandboxRequest) -> Result<Place> {
        Ok(match self {
            Self::Protected(backend) => Place::Sandbox(backend.create(request).await?),
            Self::Weakened(arms, without) => Place::Control(arms.create_control(request, without).await?),
        })
    }
}

/// One sandbox.
pub(crate) enum Place {
    Sandbox(Box<dyn Sandbox>),
    Control(ControlSandbox),
}

impl Place {
    pub(crate) fn interpreter(&self) -> Option<&str> {
        match self {
            Self::Sandbox(sandbox) => sandbox.interpreter(),
            Self::Control(sandbox) => sandbox.interpreter(),
        }
    }

    pub(crate) async fn exec(&self, command: Command) -> Result<Execution> {
        match self {
            Self::Sandbox(sandbox) => sandbox.exec(command).await,
            Self::Control(sandbox) => sandbox.exec(command).await,
        }
    }

    pub(crate) async fn write_file(&self, path: &GuestPath, mut content: &[u8]) -> Result<()> {
        match self {
            Self::Sandbox(sandbox) => sandbox.write_file(path, &mut content, true).await,
            Self::Control(sandbox) => sandbox.write_file(path, &mut content, true).await,
        }
    }

    /// Reads a file as files are collected; the most that is read is a mebibyte.
    pub(crate) async fn read_file(&self, path: &GuestPath) -> Result<Vec<u8>> {
        let file = match self {
            Self::Sandbox(sandbox) => sandbox.read_file(path).await?,
            Self::Control(sandbox) => sandbox.read_file(path).await?,
        };
        let mut bytes = Vec::new();
        let read = file.bytes.take(1 << 20).read_to_end(&mut bytes).await;
        read.map_err(|error| Error::new(ErrorKind::Io, "read a file", "it can't be read").with_source(error))?;
        Ok(bytes)
    }

    pub(crate) async fn counters(&self) -> Result<Counters> {
        match self {
            Self::Sandbox(sandbox) => sandbox.counters().await,
            Self::Control(sandbox) => sandbox.counters().await,
        }
    }

    pub(crate) async fn destroy(self) -> Result<()> {
        match self {
            Self::Sandbox(sandbox) => sandbox.destroy().await,
            Self::Control(sandbox) => sandbox.destroy().await,
        }
    }
}
