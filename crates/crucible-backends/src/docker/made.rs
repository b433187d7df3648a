//! A container that was made, from the request to its removal.
//!
//! Invariant: whatever happens after it was made, it is removed: by itself when its first process has ended, by
//! [`Made::remove`], or else when it is dropped. The daemon is asked for as little as can be.

use super::Daemon;
use super::error;
use super::line::{Complaints, Ear, Words, line};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptionsBuilder,
};
use crucible_core::{Error, ErrorKind, Result, SandboxId};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::container::SUPERVISOR_LABEL;

/// How long a container may take to be gone once its first process was told to end.
const GOING: Duration = Duration::from_secs(10);

/// A container of ours.
pub(super) struct Made {
    daemon: Arc<Daemon>,
    pub(super) id: String,
    is_gone: bool,
}

impl Made {
    /// Makes a container. Nothing runs in it yet.
    pub(super) async fn new(
        daemon: Arc<Daemon>,
        sandbox: SandboxId,
        image: &str,
        body: ContainerCreateBody,
    ) -> Result<Self> {
        const OPERATION: &str = "make the container";
        let options = CreateContainerOptionsBuilder::default().name(&format!("crucible-{sandbox}")).build();
        match daemon.client.create_container(Some(options), body).await {
            Ok(made) => Ok(Self { daemon, id: made.id, is_gone: false }),
            Err(error) if error::is_missing(&error) => {
                let message = format!("the daemon doesn't have the image {image} any more");
                Err(Error::new(ErrorKind::NotFound, OPERATION, message)
                    .with_hint("it was removed meanwhile; make it again"))
            }
            Err(error) => Err(error::of_daemon(OPERATION, error)),
        }
    }

    /// The line to its first process, which isn't started yet.
    pub(super) async fn attach(&self) -> Result<(Words, Ear, Complaints)> {
        let options =
            AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
        let attached = self.daemon.client.attach_container(&self.id, Some(options)).await;
        attached.map(line).map_err(|error| error::of_daemon("attach to the container", error))
    }

    /// Starts its first process.
    pub(super) async fn start(&self) -> Result<()> {
        let started = self.daemon.client.start_container(&self.id, None::<StartContainerOptions>).await;
        started.map_err(|source| {
            let error = error::of_daemon("start the container", source);
            // Whatever it is that the daemon or its runtime lacks, the request itself was sound.
            Error::new(ErrorKind::Infrastructure, "start the container", "the container could not be started")
                .with_hint("the daemon's runtime says why; `crucible doctor` says what the daemon can do")
                .with_source(error)
        })
    }

    /// The first process as this machine numbers it; `None` where the daemon doesn't say.
    pub(super) async fn pid(&self) -> Result<Option<i32>> {
        let seen = self.daemon.client.inspect_container(&self.id, None).await;
        let seen = seen.map_err(|error| error::of_daemon("look at the container", error))?;
        let pid = seen.state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
        Ok(pid.filter(|pid| *pid > 0))
    }

    /// Whether there is such a path inside, before anything runs.
    pub(super) async fn has(&self, path: &str) -> Result<bool> {
        let options = bollard::query_parameters::ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        match self.daemon.client.get_container_archive_info(&self.id, Some(options)).await {
            Ok(_) => Ok(true),
            Err(error) if error::is_missing(&error) => Ok(false),
            Err(error) => Err(error::of_daemon("look into the image", error)),
        }
    }

    /// A folder of the image's as an archive, before anything runs; empty where there is none.
    ///
    /// # Errors
    /// `InvalidInput` where it is longer than `most` bytes.
    pub(super) async fn archive(&self, folder: &str, most: usize) -> Result<Vec<u8>> {
        const OPERATION: &str = "read a folder of the image";
        let options = DownloadFromContainerOptionsBuilder::default().path(folder).build();
        let mut pieces = self.daemon.client.download_from_container(&self.id, Some(options));
        let mut archive = Vec::new();
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) if archive.len() + piece.len() <= most => archive.extend_from_slice(&piece),
                Ok(_) => {
                    let message = format!("the image has too much in {folder} for a sandbox with root inside");
                    return Err(Error::new(ErrorKind::InvalidInput, OPERATION, message)
                        .with_hint("take a smaller image, or a policy with users = \"guest\""));
                }
                Err(error) if error::is_missing(&error) => return Ok(Vec::new()),
                Err(error) => return Err(error::of_daemon(OPERATION, error)),
            }
        }
        Ok(archive)
    }

    /// Sets the limit on processes to its final value.
    pub(super) async fn limit_processes(&self, most: i64) -> Result<()> {
        let update = bollard::models::ContainerUpdateBody {
            pids_limit: Some(most),
            ..bollard::models::ContainerUpdateBody::default()
        };
        let updated = self.daemon.client.update_container(&self.id, update).await;
        updated.map(drop).map_err(|error| error::of_daemon("limit the container's processes", error))
    }

    /// Removes one that was never started.
    pub(super) async fn discard(mut self) -> Result<()> {
        force(&self.daemon, &self.id).await?;
        self.is_gone = true;
        Ok(())
    }

    /// Waits until the container is gone, having had its first process told to end meanwhile. One that doesn't go by itself
    /// is removed with everything in it.
    pub(super) async fn remove(mut self, tell_to_end: impl FnOnce()) -> Result<()> {
        let client = &self.daemon.client;
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut removal = client.wait_container(&self.id, Some(options));
        // The daemon has to know that somebody waits before there is nothing left to wait for.
        let waiting = tokio::time::timeout(Duration::from_millis(1), removal.next()).await;
        tell_to_end();
        let waited = match waiting {
            Ok(answer) => Some(answer),
            Err(_) => tokio::time::timeout(GOING, removal.next()).await.ok(),
        };
        drop(removal);
        let is_removed = match waited {
            // An exit code that isn't 0 is an answer, too.
            Some(Some(Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. }))) => true,
            Some(Some(Err(error))) => error::is_missing(&error),
            _ => false,
        };
        if !is_removed {
            force(&self.daemon, &self.id).await?;
        }
        self.is_gone = true;
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.is_gone {
            return;
        }
        // Without a runtime the line is cut, too: the agent ends, and the container is removed with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (daemon, id) = (Arc::clone(&self.daemon), std::mem::take(&mut self.id));
            runtime.spawn(async move { force(&daemon, &id).await.is_ok() });
        }
    }
}

/// Removes a container whatever it does. One that is gone, or is being removed, is as good.
async fn force(daemon: &Daemon, id: &str) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let deadline = tokio::time::Instant::now() + GOING;
    loop {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match daemon.client.remove_container(id, Some(options)).await {
            Err(error) if error::is_missing(&error) => return Ok(()),
            // Until the daemon says that there is no such container, there is something left of it.
            Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. })
                if tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(()) => return Ok(()),
            Err(error) => return Err(error::of_daemon("remove the container", error)),
        }
    }
}

/// Removes containers that supervisors made and could not start any more. Those that were started go by themselves.
pub(super) async fn remove_left(daemon: &Daemon, is_alive: impl Fn(&str) -> bool) {
    let filters = HashMap::from([
        ("label".to_owned(), vec![SUPERVISOR_LABEL.to_owned()]),
        ("status".to_owned(), vec!["created".to_owned()]),
    ]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    for found in daemon.client.list_containers(Some(options)).await.unwrap_or_default() {
        let supervisor = found.labels.as_ref().and_then(|labels| labels.get(SUPERVISOR_LABEL));
        if let (Some(id), Some(supervisor)) = (&found.id, supervisor)
            && !is_alive(supervisor)
        {
            // What can't be removed is in nobody's way, and the next one tries again.
            let _removed = force(daemon, id).await.is_ok();
        }
    }
}
