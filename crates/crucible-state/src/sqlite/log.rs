//! Syncs of the log that SQLite writes ahead, beside the thread that writes it.
//!
//! Invariant: what was committed before a sync was asked for survives the end of the machine once that is answered. A commit is
//! in the log, which is synced here, or in the main file by then, which SQLite syncs before it overwrites the log. Those who ask
//! while one sync is on its way share the next one, and its failure: what failed once isn't known to be there later.

use super::failure::{Done, Failure};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

#[derive(Debug)]
pub(super) struct Log {
    file: Arc<File>,
    asked: AtomicU64,
    answered: Mutex<Answered>,
}

/// Those who asked are numbered.
#[derive(Debug, Default)]
struct Answered {
    /// The last whose sync has been.
    last: u64,
    /// The last whose sync failed, and why.
    failed: Option<(u64, Failure)>,
}

impl Log {
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(file), asked: AtomicU64::new(0), answered: Mutex::default() }
    }

    pub(super) async fn sync(&self) -> Done<()> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut answered = self.answered.lock().await;
        if answered.last < number {
            let all = self.asked.load(Ordering::SeqCst);
            let file = Arc::clone(&self.file);
            let synced = tokio::task::spawn_blocking(move || file.sync_data());
            let synced = synced.await.map_err(|_| Failure::stopped())?;
            answered.last = all;
            if let Err(error) = synced {
                answered.failed = Some((all, error.into()));
            }
        }
        match &answered.failed {
            Some((last, failure)) if number <= *last => Err(failure.clone()),
            _ => Ok(()),
        }
    }
}
