//! The folder with the database, and who may serve it.
//!
//! Invariant: one process at a time, by a lock that ends with it. Folder and files are their owner's alone. What is damaged, of a
//! later version or another program's is refused, and left as it is.

use super::blobs::Blobs;
use super::failure::{Done, Failure};
use super::log::Log;
use super::migrations;
use super::readers::Readers;
use super::store::Ended;
use super::writer::Writer;
use crate::file::private;
use crucible_core::{HostPath, Result};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The database's file.
pub(super) const DATABASE: &str = "crucible.db";
/// What SQLite calls the log of it, which is there for as long as a connection is.
const LOG: &str = "crucible.db-wal";
const LOCK: &str = ".lock";
const OPERATION: &str = "open the store";
/// A database larger than this is looked through by `check` alone, and not each time that it is opened.
const LARGE: u64 = 256 << 20;
/// How long a connection waits for another one's lock. Only backups and checks make one wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a process that was killed may take to be gone, and how often is looked whether it is.
const CLEARED_AWAY: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// More statements than a connection ever has.
const STATEMENTS: usize = 128;
/// After how many pages in the log they go to the main file. Ones that come and go between are written there once.
const PAGES_IN_LOG: i64 = 4000;

/// How long the log is by then: its own header, and each page with one. SQLite's format for the file.
const LOG_BYTES: u64 = 32 + PAGES_IN_LOG.unsigned_abs() * (24 + 4096);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

pub(super) fn connect(path: &Path, access: Access) -> Done<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // What a savepoint might have to undo would be written to a file from 64 KiB on.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    match access {
        Access::Read => connection.pragma_update(None, "query_only", "ON")?,
        Access::Write => {
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "wal_autocheckpoint", PAGES_IN_LOG)?;
        }
    }
    Ok(connection)
}

/// What the parts of one folder share.
#[derive(Debug)]
pub(super) struct Shared {
    // The writer comes first: it ends, and with it the last connection that writes, before the lock is let go.
    pub(super) writer: Writer,
    pub(super) log: Log,
    pub(super) readers: Arc<Readers>,
    pub(super) blobs: Blobs,
    pub(super) folder: HostPath,
    pub(super) ended: Ended,
    _lock: File,
}

/// An open folder, whose store and queue this process serves.
#[derive(Clone, Debug)]
pub struct SqliteFolder {
    shared: Arc<Shared>,
}

impl SqliteFolder {
    /// Opens the folder, making it first where there is none. It waits for the disk.
    ///
    /// # Errors
    /// `Unavailable` where another process serves it, where others may enter it, or where its database is of a later version;
    /// `Io` where it is damaged or can't be read or written.
    pub fn open(folder: &HostPath) -> Result<Self> {
        let shared = open(folder).map_err(|failure| {
            let error = failure.told(OPERATION);
            let message = format!("the store in {folder} can't be opened: {error}");
            let told = crucible_core::Error::new(error.kind(), OPERATION, message);
            match error.hint() {
                Some(hint) => told.with_hint(hint.to_owned()),
                None => told,
            }
        })?;
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

/// Gives the log its full length. A file that grows has its new length and its blocks written down at each sync, which takes as
/// long as the sync itself; one that is written over hasn't. SQLite reads nothing of what it hasn't written, since each page there
/// has a checksum and the number of its round. Where there is no room, the log grows as it would have.
fn fill(log: &File) {
    let zeros = vec![0; 1 << 20];
    let Ok(before) = log.metadata().map(|found| found.len()) else { return };
    let mut at = before;
    while at < LOG_BYTES {
        let wanted = usize::try_from(LOG_BYTES - at).map_or(zeros.len(), |left| left.min(zeros.len()));
        if log.write_all_at(zeros.get(..wanted).unwrap_or(&zeros), at).is_err() {
            break;
        }
        at += wanted as u64;
    }
    let is_filled = at >= LOG_BYTES && log.sync_data().is_ok();
    if !is_filled {
        // What it holds already is before that.
        let _given_back = log.set_len(before);
    }
}

fn open(folder: &HostPath) -> Done<Shared> {
    let opened = private::open_or_create(folder.as_path()).map_err(|error| {
        if error.kind() == std::io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            return Failure::unavailable(error.to_string());
        }
        error.into()
    })?;
    let create = |name: &str| {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&opened, name, flags, Mode::RUSR | Mode::WUSR).map(File::from).map_err(std::io::Error::from)
    };
    let lock = create(LOCK)?;
    // One that was killed holds it until the kernel has cleared it away, which whoever starts the next one needn't wait for.
    let deadline = Instant::now() + CLEARED_AWAY;
    let mut locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
    while locked == Err(Errno::WOULDBLOCK) && Instant::now() < deadline {
        std::thread::sleep(BETWEEN_LOOKS);
        locked = flock(&lock, FlockOperation::NonBlockingLockExclusive);
    }
    match locked {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(Failure::unavailable("another process serves it".to_owned())
                .hint("end that one first, or use another folder"));
        }
        Err(error) => return Err(std::io::Error::from(error).into()),
    }
    // SQLite makes its other files with the database's permissions.
    let file = create(DATABASE)?;
    let size = file.metadata()?.len();
    drop(file);
    let path = folder.as_path().join(DATABASE);
    let mut connection = connect(&path, Access::Write)?;
    if size <= LARGE {
        let seen: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if seen != "ok" {
            return Err(Failure::damaged(format!("its database is damaged: {seen}")));
        }
    }
    migrations::apply(&mut connection)?;
    let blobs = Blobs::open(&folder.as_path().join("blobs"))?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let log = openat(&opened, LOG, flags, Mode::empty()).map(File::from).map_err(std::io::Error::from)?;
    fill(&log);
    // The names of what was made just now are on the disk before anything is answered.
    rustix::fs::fsync(&opened).map_err(std::io::Error::from)?;
    let above = folder.as_path().parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(above)?.sync_all()?;
    Ok(Shared {
        writer: Writer::start(connection)?,
        log: Log::new(log),
        readers: Arc::new(Readers::new(&path)),
        blobs,
        folder: folder.clone(),
        ended: Ended::default(),
        _lock: lock,
    })
}
