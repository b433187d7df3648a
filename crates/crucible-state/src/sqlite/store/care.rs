//! Retention, backups and looking through everything.
//!
//! Invariant: only what has a final state is forgotten, with all that belongs to it. A document's file goes after nothing
//! refers to it, on the disk too. A backup is a whole folder that can be served, or nothing.

use super::super::blobs::Hash;
use super::super::failure::{Done, Failure};
use super::super::folder::DATABASE;
use super::super::writer::Lasting;
use super::documents::Kind;
use super::{OPERATION, SqliteStore, invalid_error, microseconds, signed, unsigned};
use async_trait::async_trait;
use crucible_core::{Forgotten, HostPath, Result, Retention, StoreCare, StoreCheck};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// How many evaluations are forgotten in one transaction: others write in between.
const AT_ONCE: usize = 256;
/// The most damage that is listed.
const MOST_DAMAGE: usize = 100;

/// Forgets evaluations that ended before a time, the oldest first, and says how many they and their events were.
fn forget(connection: &Connection, before: i64, most: usize) -> Done<(u64, u64)> {
    let sql =
        "SELECT row, labels FROM evaluations WHERE finished IS NOT NULL AND finished < ? ORDER BY finished LIMIT ?";
    let found = connection
        .prepare_cached(sql)?
        .query_map(params![before, signed(most)], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    let mut events = 0;
    for (row, labels) in &found {
        let labels: BTreeMap<String, String> = serde_json::from_str(labels).unwrap_or_default();
        for (name, value) in labels {
            let sql = "DELETE FROM labels WHERE name = ? AND value = ? AND evaluation = ?";
            connection.prepare_cached(sql)?.execute(params![name, value, row])?;
        }
        let sql = "DELETE FROM documents WHERE key BETWEEN ? AND ?";
        connection.prepare_cached(sql)?.execute([Kind::Specification.key(*row), Kind::Review.key(*row)])?;
        let deleted = connection.prepare_cached("DELETE FROM events WHERE evaluation = ?")?.execute([row])?;
        events += u64::try_from(deleted).unwrap_or(0);
        connection.prepare_cached("DELETE FROM evaluations WHERE row = ?")?.execute([row])?;
    }
    Ok((u64::try_from(found.len()).unwrap_or(0), events))
}

/// Bytes of the database that are in use.
fn database_bytes(connection: &Connection) -> Done<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(unsigned(pages.saturating_mul(number("page_size")?)))
}

fn referred(connection: &Connection) -> Done<HashSet<Hash>> {
    let mut statement = connection.prepare("SELECT DISTINCT blob FROM documents WHERE blob IS NOT NULL")?;
    let hashes = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(hashes)
}

impl SqliteStore {
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> Done<T> + Send + 'static) -> Result<T> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|_| Err(Failure::stopped())).map_err(|failure| failure.told(OPERATION))
    }

    /// Forgets in small transactions what ended before a time; a bound on how many is for one batch alone.
    async fn forget_before(&self, before: i64, forgotten: &mut Forgotten) -> Result<u64> {
        let shared = Arc::clone(&self.shared);
        let work = move |connection: &Connection| forget(connection, before, AT_ONCE);
        let forgotten_now = self.shared.writer.write_then(Lasting::Machine, work, move |_| shared.ended.forget()).await;
        let (evaluations, events) = forgotten_now.map_err(|failure| failure.told(OPERATION))?;
        forgotten.evaluations += evaluations;
        forgotten.events += events;
        Ok(evaluations)
    }

    /// Removes files that nothing refers to.
    async fn sweep(&self, forgotten: &mut Forgotten) -> Result<()> {
        let guard = self.shared.blobs.removing().await;
        // Nobody is about to refer to one now; what was committed is what is referred to.
        let referred = self.read(referred).await?;
        let (blobs, bytes) = self
            .aside(move |store| {
                let (hashes, others) = store.shared.blobs.all()?;
                let (mut blobs, mut bytes) = (0, 0);
                for hash in hashes.iter().filter(|hash| !referred.contains(*hash)) {
                    bytes += store.shared.blobs.remove(&guard, hash)?;
                    blobs += 1;
                }
                for draft in others.iter().filter(|path| path.is_file()) {
                    fs::remove_file(draft)?;
                }
                Ok((blobs, bytes))
            })
            .await?;
        forgotten.blobs += blobs;
        forgotten.bytes += bytes;
        Ok(())
    }

    async fn bytes(&self) -> Result<u64> {
        let database = self.read(database_bytes).await?;
        let files = self
            .aside(|store| {
                let (hashes, _) = store.shared.blobs.all()?;
                Ok(hashes.iter().map(|hash| store.shared.blobs.size(hash)).sum::<u64>())
            })
            .await?;
        Ok(database.saturating_add(files))
    }
}

#[async_trait]
impl StoreCare for SqliteStore {
    async fn collect_garbage(&self, retention: Retention) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        if let Some(before) = retention.finished_before {
            while self.forget_before(microseconds(before), &mut forgotten).await? > 0 {}
        }
        self.sweep(&mut forgotten).await?;
        if let Some(most) = retention.most_bytes {
            while self.bytes().await? > most && self.forget_before(i64::MAX, &mut forgotten).await? > 0 {
                self.sweep(&mut forgotten).await?;
            }
        }
        Ok(forgotten)
    }

    async fn backup(&self, folder: &HostPath) -> Result<()> {
        // No file goes while they are copied.
        let guard = self.shared.blobs.writing().await;
        let (target, source) = (folder.as_path().to_owned(), self.shared.folder.clone());
        if target.exists() {
            return Err(invalid_error(format!("{folder} is there already: a backup is written into a new folder")));
        }
        let mut draft = target.clone().into_os_string();
        draft.push(".draft");
        let draft = std::path::PathBuf::from(draft);
        let blobs = self.shared.blobs.clone();
        self.read(move |connection| {
            let _guard = guard;
            let done = copy(connection, &draft, source.as_path(), |hash| blobs.path(hash)).and_then(|()| {
                fs::rename(&draft, &target)?;
                let above = target.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Ok(File::open(above)?.sync_all()?)
            });
            if done.is_err() {
                // What is left has a name that says that it is none.
                let _left = fs::remove_dir_all(&draft);
            }
            done
        })
        .await
    }

    async fn check(&self) -> Result<StoreCheck> {
        let guard = self.shared.blobs.writing().await;
        let store = self.clone();
        self.read(move |connection| {
            let _guard = guard;
            look_through(connection, &store)
        })
        .await
    }
}

fn copy(connection: &Connection, draft: &Path, source: &Path, path: impl Fn(&Hash) -> std::path::PathBuf) -> Done<()> {
    DirBuilder::new().mode(0o700).create(draft)?;
    let database = draft.join(DATABASE);
    // SQLite makes the file with the permissions that it finds.
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&database)?;
    let mut copied = Connection::open(&database)?;
    // All pages in one step: as they were at one moment.
    rusqlite::backup::Backup::new(connection, &mut copied)?.run_to_completion(
        i32::MAX,
        std::time::Duration::ZERO,
        None,
    )?;
    let hashes = referred(&copied)?;
    copied.close().map_err(|(_, error)| error)?;
    File::open(&database)?.sync_all()?;
    for hash in hashes {
        let from = path(&hash);
        let to = draft.join(from.strip_prefix(source).unwrap_or(&from));
        let folder = to.parent().unwrap_or(draft);
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        fs::copy(&from, &to)?;
        File::open(&to)?.sync_all()?;
        File::open(folder)?.sync_all()?;
    }
    Ok(File::open(draft)?.sync_all()?)
}

fn look_through(connection: &Connection, store: &SqliteStore) -> Done<StoreCheck> {
    let mut seen = StoreCheck::default();
    let note = |seen: &mut StoreCheck, damage: String| {
        if seen.damage.len() < MOST_DAMAGE {
            seen.damage.push(damage);
        }
    };
    let lines = connection.prepare("PRAGMA integrity_check(100)").and_then(|mut statement| {
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
    });
    match lines {
        Ok(lines) => lines.into_iter().filter(|line| line != "ok").for_each(|line| note(&mut seen, line)),
        Err(error) => note(&mut seen, error.to_string()),
    }
    let questions = [
        (
            "evaluations whose events have holes",
            "SELECT count(*) FROM evaluations WHERE events <> (SELECT count(*) FROM events WHERE evaluation = row)
             OR events <> (SELECT coalesce(max(number), 0) FROM events WHERE evaluation = row)",
        ),
        (
            "evaluations without a specification",
            "SELECT count(*) FROM evaluations WHERE NOT EXISTS (SELECT 1 FROM documents WHERE key = row * 8 + 1)",
        ),
        (
            "documents of no evaluation",
            "SELECT count(*) FROM documents WHERE NOT EXISTS (SELECT 1 FROM evaluations WHERE row = key / 8)",
        ),
        (
            "events of no evaluation",
            "SELECT count(*) FROM events WHERE NOT EXISTS (SELECT 1 FROM evaluations WHERE row = evaluation)",
        ),
    ];
    for (what, sql) in questions {
        match connection.query_row(sql, [], |row| row.get::<_, i64>(0)) {
            Ok(0) => {}
            Ok(count) => note(&mut seen, format!("{count} {what}")),
            Err(error) => note(&mut seen, format!("{what} can't be counted: {error}")),
        }
    }
    match connection.query_row("SELECT count(*) FROM evaluations", [], |row| row.get(0)) {
        Ok(count) => seen.evaluations = unsigned(count),
        Err(error) => note(&mut seen, error.to_string()),
    }
    let referred = match referred(connection) {
        Ok(referred) => referred,
        Err(failure) => {
            note(&mut seen, format!("documents can't be looked at: {}", failure.told(OPERATION)));
            return Ok(seen);
        }
    };
    for hash in &referred {
        seen.blobs += 1;
        if let Err(failure) = store.shared.blobs.read(hash) {
            note(&mut seen, failure.told(OPERATION).to_string());
        }
    }
    let (hashes, others) = store.shared.blobs.all()?;
    let orphans = hashes.iter().filter(|hash| !referred.contains(*hash)).count() + others.len();
    seen.orphans = u64::try_from(orphans).unwrap_or(0);
    Ok(seen)
}
