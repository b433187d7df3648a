//! Control arms: sandboxes with layers left off on purpose, which show that a probe works.
//!
//! Invariant: a [`ControlSandbox`] is no [`Sandbox`](crate::Sandbox) and gives none away, so that no evaluation can be given
//! one. What makes them runs in a range that the attack suite made for them, never beside anything of the host.

use crate::backend::{Command, Counters, Execution, FileContent, FileEntry, Sandbox, SandboxRequest};
use crate::error::Result;
use crate::evidence::Posture;
use crate::layer::{Layer, Layers};
use crate::path::GuestPath;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use tokio::io::AsyncRead;

/// A backend that can leave layers off.
#[async_trait]
pub trait ControlArms: Send + Sync {
    /// The layers that can be left off, each with those that it can't stand without: they are left off together.
    fn removable(&self) -> BTreeMap<Layer, BTreeSet<Layer>>;

    /// Makes a sandbox without some layers. [`ControlSandbox::layers`] says what it has: some layers rest on others, and are
    /// left off with them.
    ///
    /// # Errors
    /// `Refused` anywhere but in a range, and for a layer that can't be left off; else as
    /// [`Backend::create`](crate::Backend::create).
    async fn create_control(&self, request: SandboxRequest, without: &BTreeSet<Layer>) -> Result<ControlSandbox>;
}

/// A deliberately weakened sandbox, for probes of the attack suite alone.
pub struct ControlSandbox(Box<dyn Sandbox>);

impl ControlSandbox {
    /// Marks a sandbox as weakened, for good.
    #[must_use]
    pub fn new(weakened: Box<dyn Sandbox>) -> Self {
        Self(weakened)
    }

    /// The layers that it has.
    #[must_use]
    pub fn layers(&self) -> &Layers {
        self.0.layers()
    }

    /// The path inside of the language's interpreter.
    #[must_use]
    pub fn interpreter(&self) -> Option<&str> {
        self.0.interpreter()
    }

    /// As [`Sandbox::exec`].
    ///
    /// # Errors
    /// As there.
    pub async fn exec(&self, command: Command) -> Result<Execution> {
        self.0.exec(command).await
    }

    /// As [`Sandbox::write_file`].
    ///
    /// # Errors
    /// As there.
    pub async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        self.0.write_file(path, content, executable).await
    }

    /// As [`Sandbox::read_file`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        self.0.read_file(path).await
    }

    /// As [`Sandbox::list_files`].
    ///
    /// # Errors
    /// As there.
    pub async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        self.0.list_files(path).await
    }

    /// As [`Sandbox::end_processes`].
    ///
    /// # Errors
    /// As there.
    pub async fn end_processes(&self) -> Result<()> {
        self.0.end_processes().await
    }

    /// As [`Sandbox::counters`].
    ///
    /// # Errors
    /// As there.
    pub async fn counters(&self) -> Result<Counters> {
        self.0.counters().await
    }

    /// As [`Sandbox::posture`].
    ///
    /// # Errors
    /// As there.
    pub async fn posture(&self) -> Result<Posture> {
        self.0.posture().await
    }

    /// As [`Sandbox::destroy`].
    ///
    /// # Errors
    /// As there.
    pub async fn destroy(self) -> Result<()> {
        self.0.destroy().await
    }
}
