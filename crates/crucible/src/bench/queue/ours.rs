//! Our queues: tasks go in, are leased and acknowledged, in batches.

use crucible_core::{
    Enqueued, Error, ErrorKind, EvaluationId, HostPath, Lease, LeaseRequest, Priority, ProjectId, Queue, Result, Task,
};
use crucible_state::SystemClock;
use crucible_state::memory::MemoryQueue;
use crucible_state::sqlite::{SqliteFolder, SqliteQueue};
use std::sync::Arc;
use std::time::Duration;

/// How long a lease lasts: longer than any round.
const LEASE: Duration = Duration::from_secs(600);

/// A durable queue in a temporary folder.
pub(super) struct Durable {
    pub(super) queue: SqliteQueue,
    /// Removed after the queue's end.
    _folder: tempfile::TempDir,
}

impl Durable {
    pub(super) async fn start() -> Result<Self> {
        let io =
            |error| Error::new(ErrorKind::Io, "make a folder", "there can't be a temporary folder").with_source(error);
        let folder = tempfile::tempdir().map_err(io)?;
        let path = HostPath::new(folder.path().join("store"));
        let opened = SqliteFolder::open(&path)?;
        let queue = SqliteQueue::load(&opened, Arc::new(SystemClock)).await?;
        Ok(Self { queue, _folder: folder })
    }
}

pub(super) fn in_memory() -> MemoryQueue {
    MemoryQueue::new(Arc::new(SystemClock))
}

/// Passes tasks through a queue. Each step is answered before the next begins.
pub(super) async fn pass(queue: &dyn Queue, ids: &[EvaluationId]) -> Result<()> {
    let project = ProjectId::default();
    let tasks = ids.iter().map(|id| Task::new(*id, project.clone(), Priority::default())).collect();
    let added = queue.enqueue(tasks).await?;
    let request = LeaseRequest { worker: "worker-1".to_owned(), most: ids.len(), duration: LEASE };
    let leases = queue.lease(request).await?;
    let lost = queue.acknowledge(leases.iter().map(Lease::key).collect()).await?;
    if leases.len() != ids.len() || !lost.is_empty() || added.iter().any(|added| *added != Enqueued::Added) {
        return Err(Error::new(ErrorKind::Infrastructure, "measure the queue", "the queue lost tasks"));
    }
    Ok(())
}
