//! Keys and projects.

use super::super::failure::{Done, Failure};
use super::{SqliteStore, invalid, microseconds, signed, time, unsigned};
use async_trait::async_trait;
use crucible_core::{ErrorKind, KeyHash, KeyId, KeyRecord, KeyStore, ProjectId, ProjectStore, Quotas, Result};
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

const LONGEST_NAME: usize = 200;
const COLUMNS: &str = "SELECT id, project, hash, role, name, created, revoked, last_used FROM keys";

fn read(row: &Row<'_>) -> Done<KeyRecord> {
    let (project, role): (String, String) = (row.get(1)?, row.get(3)?);
    Ok(KeyRecord {
        id: KeyId::from_bytes(row.get(0)?),
        project: project.parse()?,
        hash: KeyHash(row.get(2)?),
        role: role.parse()?,
        name: row.get(4)?,
        created: time(row.get(5)?),
        revoked: row.get::<_, Option<i64>>(6)?.map(time),
        last_used: row.get::<_, Option<i64>>(7)?.map(time),
    })
}

fn select(connection: &Connection, filter: &str, values: impl rusqlite::Params) -> Done<Vec<KeyRecord>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} {filter}"))?;
    let mut found = statement.query(values)?;
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        keys.push(read(row)?);
    }
    Ok(keys)
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn add_key(&self, key: KeyRecord) -> Result<()> {
        self.write(move |connection| {
            if key.name.len() > LONGEST_NAME {
                return Err(invalid(format!("a key's name has {LONGEST_NAME} bytes at most")));
            }
            let sql = "INSERT INTO keys (id, project, hash, role, name, created, revoked, last_used)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
            let (id, project, role) = (key.id.to_bytes(), key.project.as_str(), key.role.as_str());
            let (created, revoked) = (microseconds(key.created), key.revoked.map(microseconds));
            let values =
                params![id, project, key.hash.0, role, key.name, created, revoked, key.last_used.map(microseconds)];
            match connection.execute(sql, values)? {
                0 => Err(invalid("there is such a key already")),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn find_key(&self, hash: KeyHash) -> Result<Option<KeyRecord>> {
        self.read(move |connection| Ok(select(connection, "WHERE hash = ?", [hash.0])?.pop())).await
    }

    async fn keys(&self, project: Option<&ProjectId>) -> Result<Vec<KeyRecord>> {
        let project = project.map(|project| project.as_str().to_owned());
        self.read(move |connection| match project {
            Some(project) => select(connection, "WHERE project = ? ORDER BY id", [project]),
            None => select(connection, "ORDER BY id", []),
        })
        .await
    }

    async fn revoke_key(&self, id: KeyId, at: SystemTime) -> Result<()> {
        self.write(move |connection| {
            let sql = "UPDATE keys SET revoked = coalesce(revoked, ?) WHERE id = ?";
            match connection.execute(sql, params![microseconds(at), id.to_bytes()])? {
                0 => Err(Failure::new(ErrorKind::NotFound, format!("there is no key {id}"))),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn note_key_uses(&self, uses: Vec<(KeyId, SystemTime)>) -> Result<()> {
        self.write(move |connection| {
            let sql = "UPDATE keys SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?";
            let mut statement = connection.prepare_cached(sql)?;
            for (id, at) in uses {
                statement.execute(params![microseconds(at), id.to_bytes()])?;
            }
            Ok(())
        })
        .await
    }
}

/// How many projects' quotas are known without being read.
const MOST_KNOWN: usize = 4096;

/// Quotas as they were last read or set. This process alone sets them.
#[derive(Debug, Default)]
pub(super) struct KnownQuotas(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    of: HashMap<ProjectId, Option<Quotas>>,
    /// Grows with each change: what was read before one isn't known after it.
    generation: u64,
}

impl KnownQuotas {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn quotas(row: &Row<'_>, first: usize) -> rusqlite::Result<Quotas> {
    let bound = |column| row.get::<_, Option<i64>>(column).map(|bound| bound.map(unsigned));
    Ok(Quotas { most_running: row.get(first)?, most_queued: bound(first + 1)?, most_per_day: bound(first + 2)? })
}

#[async_trait]
impl ProjectStore for SqliteStore {
    async fn quotas(&self, project: &ProjectId) -> Result<Option<Quotas>> {
        let generation = {
            let known = self.quotas.lock();
            if let Some(quotas) = known.of.get(project) {
                return Ok(*quotas);
            }
            known.generation
        };
        let name = project.as_str().to_owned();
        let found = self.read(move |connection| {
            let sql = "SELECT most_running, most_queued, most_per_day FROM projects WHERE name = ?";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_map([name], |row| quotas(row, 0))?.next().transpose()?)
        });
        let found = found.await?;
        let mut known = self.quotas.lock();
        if known.generation == generation && known.of.len() < MOST_KNOWN {
            known.of.insert(project.clone(), found);
        }
        Ok(found)
    }

    async fn set_quotas(&self, project: &ProjectId, quotas: Quotas) -> Result<()> {
        let project = project.as_str().to_owned();
        let set = self.write(move |connection| {
            let Quotas { most_running, most_queued, most_per_day } = quotas;
            let sql =
                "INSERT OR REPLACE INTO projects (name, most_running, most_queued, most_per_day) VALUES (?, ?, ?, ?)";
            connection
                .execute(sql, params![project, most_running, most_queued.map(signed), most_per_day.map(signed)])?;
            Ok(())
        });
        let set = set.await;
        let mut known = self.quotas.lock();
        known.generation += 1;
        known.of.clear();
        set
    }

    async fn projects(&self) -> Result<Vec<(ProjectId, Quotas)>> {
        self.read(move |connection| {
            let sql = "SELECT name, most_running, most_queued, most_per_day FROM projects ORDER BY name";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, quotas(row, 1)?)))?;
            found.map(|row| row.map_err(Failure::from).and_then(|(name, quotas)| Ok((name.parse()?, quotas)))).collect()
        })
        .await
    }
}
