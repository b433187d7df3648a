//! The one thread that writes.
//!
//! Invariant: whoever is answered without an error finds what they wrote after any end of this process, and, but for what is
//! [`Lasting::Process`], after any end of the machine. What waits at one time is one transaction; a part of it that fails is undone
//! alone. Answers, and what follows from them, come in the order of the commits.

use super::failure::{Done, Failure};
use rusqlite::Connection;
use std::fmt;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

/// How many parts one transaction has at most.
const MOST_IN_ONE: usize = 512;
/// How many parts may wait; whoever comes after them waits to be let in.
const MOST_WAITING: usize = 4096;

/// What something that was written must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// The end of the machine: it is synced before it is answered.
    Machine,
    /// The end of this process. Where the machine ends, the database is as it was at an earlier commit that was synced.
    Process,
}

/// Something to be written.
trait Part: Send {
    /// What it must survive.
    fn lasting(&self) -> Lasting;
    /// Writes it.
    fn write(&mut self, connection: &Connection) -> Written;
    /// Hears whether it was committed.
    fn end(self: Box<Self>, committed: Done<()>);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Yes,
    /// It failed, and must be undone.
    No,
}

struct Change<W, A, T> {
    lasting: Lasting,
    work: Option<W>,
    after: A,
    /// `None` until it was tried.
    done: Option<Done<T>>,
    answer: oneshot::Sender<Done<T>>,
}

impl<W, A, T> Part for Change<W, A, T>
where
    W: FnOnce(&Connection) -> Done<T> + Send,
    A: FnOnce(&Done<T>) + Send,
    T: Send,
{
    fn lasting(&self) -> Lasting {
        self.lasting
    }

    fn write(&mut self, connection: &Connection) -> Written {
        let Some(work) = self.work.take() else { return Written::No };
        let done = work(connection);
        let written = if done.is_ok() { Written::Yes } else { Written::No };
        self.done = Some(done);
        written
    }

    fn end(self: Box<Self>, committed: Done<()>) {
        let Self { after, done, answer, .. } = *self;
        let done = match (done, committed) {
            (Some(Ok(done)), Ok(())) => Ok(done),
            (Some(Err(failure)), _) | (_, Err(failure)) => Err(failure),
            (None, Ok(())) => Err(Failure::stopped()),
        };
        after(&done);
        // Whoever asked may have gone away.
        let _gone = answer.send(done);
    }
}

/// Where changes are brought to be written. Dropping it ends the thread, after what waits.
pub(super) struct Writer {
    parts: Option<mpsc::Sender<Box<dyn Part>>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Done<Self> {
        let (parts, waiting) = mpsc::channel(MOST_WAITING);
        let thread =
            std::thread::Builder::new().name("crucible-writer".to_owned()).spawn(move || serve(connection, waiting))?;
        Ok(Self { parts: Some(parts), thread: Some(thread) })
    }

    /// Writes something, and waits until it is on the disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Done<T> + Send + 'static,
    ) -> Done<T> {
        self.write_then(Lasting::Machine, work, |_| ()).await
    }

    /// Writes something; `after` hears on the writer's thread what became of it, before anything later is written. Once it
    /// was let in, it is done whether or not anyone waits for the answer.
    pub(super) async fn write_then<T: Send + 'static>(
        &self,
        lasting: Lasting,
        work: impl FnOnce(&Connection) -> Done<T> + Send + 'static,
        after: impl FnOnce(&Done<T>) + Send + 'static,
    ) -> Done<T> {
        let (answer, answered) = oneshot::channel();
        let part = Change { lasting, work: Some(work), after, done: None, answer };
        let parts = self.parts.as_ref().ok_or_else(Failure::stopped)?;
        parts.send(Box::new(part)).await.map_err(|_| Failure::stopped())?;
        answered.await.unwrap_or_else(|_| Err(Failure::stopped()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.parts.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ended = thread.join();
        }
    }
}

fn serve(connection: Connection, mut waiting: mpsc::Receiver<Box<dyn Part>>) {
    let mut parts = Vec::new();
    while waiting.blocking_recv_many(&mut parts, MOST_IN_ONE) > 0 {
        commit(&connection, &mut parts);
    }
    // What a reader would otherwise have to look through. Where it can't be done, the next one who opens it does it.
    let _checkpoint = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

/// Writes all parts in one transaction.
fn commit(connection: &Connection, parts: &mut Vec<Box<dyn Part>>) {
    let committed = write_all(connection, parts);
    if committed.is_err() && !connection.is_autocommit() {
        // It may have been undone already.
        let _undone = connection.execute_batch("ROLLBACK");
    }
    for part in parts.drain(..) {
        part.end(committed.clone());
    }
}

fn write_all(connection: &Connection, parts: &mut [Box<dyn Part>]) -> Done<()> {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop);
    // In a log that is written ahead, NORMAL leaves out the sync of a commit and nothing else.
    let is_synced = parts.iter().any(|part| part.lasting() == Lasting::Machine);
    connection.execute_batch(if is_synced { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" })?;
    run("BEGIN IMMEDIATE")?;
    // One alone is undone with the whole transaction.
    if let [alone] = parts {
        let written = alone.write(connection);
        return Ok(run(if written == Written::Yes { "COMMIT" } else { "ROLLBACK" })?);
    }
    for part in parts.iter_mut() {
        run("SAVEPOINT part")?;
        if part.write(connection) == Written::No {
            if connection.is_autocommit() {
                // SQLite has undone everything, as it does when the disk is full.
                return Err(Failure::new(
                    crucible_core::ErrorKind::Io,
                    "what was written at the same time failed, and was undone together with it",
                ));
            }
            run("ROLLBACK TO part")?;
        }
        run("RELEASE part")?;
    }
    Ok(run("COMMIT")?)
}
