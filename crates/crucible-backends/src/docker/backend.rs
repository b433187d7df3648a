//! Containers of a Docker daemon's as a backend.

use super::maker::Maker;
use super::{Daemon, DockerConfig, Hardening, self_test};
use crate::ahead::Unready;
use async_trait::async_trait;
use crucible_agent::host::digest;
use crucible_core::{Backend, Capabilities, Component, Language, Result, Sandbox, SandboxRequest, SelfTest};
use std::sync::Arc;

/// Containers of a Docker daemon's.
pub struct DockerBackend {
    maker: Arc<Maker>,
    unready: Unready,
}

impl DockerBackend {
    /// Connects to the daemon and finds out what it can do.
    ///
    /// # Errors
    /// As [`Daemon::connect`]; `Unavailable` where the agent can't be put in place.
    pub async fn start(config: &DockerConfig) -> Result<Self> {
        Ok(Self { maker: Arc::new(Maker::start(config).await?), unready: Unready::default() })
    }

    /// What is known of the daemon.
    #[must_use]
    pub fn daemon(&self) -> &Daemon {
        &self.maker.daemon
    }

    /// A language of the table that Crucible comes with whose image the daemon has.
    pub(super) async fn first_language_with_an_image(&self) -> Result<Arc<Language>> {
        self.maker.first_language_with_an_image().await
    }

    /// Why there are languages whose interpreters don't wait in sandboxes that are made ahead.
    pub(super) fn cold_languages(&self) -> Vec<String> {
        self.unready.reasons()
    }
}

#[async_trait]
impl Component for DockerBackend {
    fn name(&self) -> &str {
        match self.maker.hardening {
            Hardening::Full => "docker",
            Hardening::Stock => "docker-stock",
        }
    }

    async fn self_test(&self) -> SelfTest {
        self_test::run(self).await
    }
}

#[async_trait]
impl Backend for DockerBackend {
    fn version(&self) -> String {
        format!("{} ({})", env!("CARGO_PKG_VERSION"), self.maker.daemon.describe())
    }

    fn runtime_digest(&self) -> Option<String> {
        Some(format!("sha256:{}", digest()))
    }

    fn capabilities(&self) -> &Capabilities {
        &self.maker.capabilities
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        self.maker.capabilities.admit(self.name(), &request.policy)?;
        let (language, image) = self.maker.furnishing(&request).await?;
        self.unready.make(&request, &language, || Arc::clone(&self.maker).make(&request, &language, &image)).await
    }
}
