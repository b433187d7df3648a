//! One container as a sandbox: the agent's side for commands and files, the kernel's for evidence.

use super::Daemon;
use super::container::AGENT;
use super::evidence::Evidence;
use super::images::Image;
use super::made::Made;
use super::maker::Maker;
use crate::agent::AgentSide;
use crate::ahead::HasOneWait;
use crate::fork::{FORK, kept_if};
use async_trait::async_trait;
use crucible_core::{
    Command, Counters, Door, Error, ErrorKind, Execution, FileContent, FileEntry, GuestPath, Language, Layers,
    LimitKind, LiveFeature, Loss, Monitoring, Observer, Posture, Readiness, Result, Sandbox, SandboxId, SandboxRequest,
    SeesNothing, TripwireWatch, WatchedPlace,
};
use crucible_jail::host::posture::Aspect;
use std::sync::Arc;
use tokio::io::AsyncRead;

/// What is being done when a sandbox is looked at.
const LOOK: &str = "look at the sandbox from outside";

/// What a container's sandbox is made of.
pub(super) struct Parts {
    pub(super) id: SandboxId,
    pub(super) daemon: Arc<Daemon>,
    /// Before the container, so that the line is cut first.
    pub(super) agent: AgentSide,
    pub(super) container: Made,
    pub(super) evidence: Arc<Evidence>,
    pub(super) layers: Layers,
    pub(super) monitoring: Monitoring,
    pub(super) interpreter: Option<String>,
    /// The image's name and digest.
    pub(super) image: String,
    /// By what one more is made, if it may be.
    pub(super) again: Option<Recipe>,
}

/// What another sandbox is made by that is like this one.
pub(super) struct Recipe {
    pub(super) maker: Arc<Maker>,
    pub(super) request: SandboxRequest,
    pub(super) language: Arc<Language>,
    pub(super) image: Arc<Image>,
}

impl Recipe {
    async fn make(&self, id: SandboxId) -> Result<DockerSandbox> {
        let request = SandboxRequest { id, ..self.request.clone() };
        Arc::clone(&self.maker).make(&request, &self.language, &self.image).await
    }
}

/// A container that runs.
pub(super) struct DockerSandbox(pub(super) Parts);

impl DockerSandbox {
    /// What was seen, if the agent still lived when all was: else it may be another process that was looked at.
    async fn seen(&self, aspects: &'static [Aspect]) -> Result<Posture> {
        let evidence = Arc::clone(&self.0.evidence);
        let looked = tokio::task::spawn_blocking(move || evidence.posture(aspects)).await;
        let seen = looked.map_err(|source| {
            Error::new(ErrorKind::Infrastructure, LOOK, "it can't be looked at").with_source(source)
        })?;
        // An answer from the agent says more than that nothing was heard of its end.
        if self.0.agent.usage().await.is_none() {
            return Err(Error::new(ErrorKind::Infrastructure, LOOK, "the sandbox is lost"));
        }
        Ok(seen)
    }
}

#[async_trait]
impl HasOneWait for DockerSandbox {
    async fn have_one_wait(&mut self, language: &Language) -> Result<()> {
        self.0.agent.have_one_wait(language, self.0.interpreter.as_deref()).await?;
        // Nobody else knows of it yet.
        if let Some(evidence) = Arc::get_mut(&mut self.0.evidence) {
            evidence.begin_anew();
        }
        Ok(())
    }
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn id(&self) -> SandboxId {
        self.0.id
    }

    fn layers(&self) -> &Layers {
        &self.0.layers
    }

    fn interpreter(&self) -> Option<&str> {
        self.0.interpreter.as_deref()
    }

    fn readiness(&self) -> Readiness {
        self.0.agent.readiness()
    }

    fn image(&self) -> Option<&str> {
        Some(&self.0.image)
    }

    async fn exec(&self, command: Command) -> Result<Execution> {
        self.0.agent.exec(command).await
    }

    async fn write_file(
        &self,
        path: &GuestPath,
        content: &mut (dyn AsyncRead + Send + Unpin),
        executable: bool,
    ) -> Result<()> {
        self.0.agent.write_file(path, content, executable).await
    }

    async fn read_file(&self, path: &GuestPath) -> Result<FileContent> {
        self.0.agent.read_file(path).await
    }

    async fn list_files(&self, path: &GuestPath) -> Result<Vec<FileEntry>> {
        self.0.agent.list_files(path).await
    }

    async fn fork(&self, id: SandboxId) -> Result<Box<dyn Sandbox>> {
        let Some(again) = &self.0.again else { return Err(LiveFeature::Forks.refusal(FORK)) };
        let fork = again.make(id).await?;
        let copied = self.0.agent.copy_into(&fork.0.agent, AGENT).await;
        kept_if(fork, copied).await
    }

    async fn end_processes(&self) -> Result<()> {
        self.0.agent.end_processes().await
    }

    async fn counters(&self) -> Result<Counters> {
        let mut counters = self.0.evidence.counters();
        // Where this user may not look into the container, there is only the agent's word for its files.
        if !self.0.evidence.sees_files()
            && let Some(usage) = self.0.agent.usage().await
        {
            counters.refused.extend(usage.free.iter().any(|free| free.bytes == 0).then_some(LimitKind::Disk));
            counters.refused.extend(usage.free.iter().any(|free| free.inodes == 0).then_some(LimitKind::Inodes));
        }
        Ok(counters)
    }

    async fn posture(&self) -> Result<Posture> {
        self.seen(&[Aspect::Privileges, Aspect::Reach]).await
    }

    async fn posture_again(&self) -> Result<Posture> {
        self.seen(&[Aspect::Privileges]).await
    }

    async fn watch(&self, _: &[WatchedPlace]) -> Result<Box<dyn TripwireWatch>> {
        let message = "this backend can't watch what is planted in a sandbox";
        Err(Error::new(ErrorKind::Refused, "plant the tripwires", message).with_hint("use the jail"))
    }

    async fn observe(&self) -> Result<Box<dyn Observer>> {
        Ok(Box::new(SeesNothing::but(self.0.monitoring.clone())))
    }

    fn door(&self) -> Result<Box<dyn Door>> {
        self.0.agent.door()
    }

    fn loss(&self) -> Option<Loss> {
        match self.0.agent.loss()? {
            // With the daemon, every line to a container ends, whatever the agent does.
            Loss::RunnerEnded if !self.0.daemon.endpoint.is_reachable() => Some(Loss::MachineryLost),
            loss => Some(loss),
        }
    }

    async fn destroy(self: Box<Self>) -> Result<()> {
        let Parts { agent, container, .. } = self.0;
        container.remove(|| agent.shut_down()).await
    }
}
