//! Connections that only read.
//!
//! Invariant: none of them can write. There are never more than a few, and each is used by one reader at a time.

use super::failure::{Done, Failure};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// How many readers there are at one time.
const MOST: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::default(), places: Semaphore::new(MOST) }
    }

    /// Reads something, on a thread that may wait.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Done<T> + Send + 'static,
    ) -> Done<T> {
        let _place = self.places.acquire().await.map_err(|_| Failure::stopped())?;
        let readers = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let connection = readers.take()?;
            let done = work(&connection);
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            done
        });
        done.await.unwrap_or_else(|_| {
            Err(Failure::new(crucible_core::ErrorKind::Infrastructure, "reading the database was given up"))
        })
    }

    fn take(&self) -> Done<Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => super::folder::connect(&self.path, super::folder::Access::Read),
        }
    }
}
