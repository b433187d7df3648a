//! What an operator decided about backends, and runs of the attack suite.

use super::super::failure::{Done, Failure};
use super::{SqliteStore, microseconds, signed, time};
use async_trait::async_trait;
use crucible_core::{AttackId, AttackRecord, AttackStore, BackendSetting, BackendStore, ErrorKind, Result, Switch};
use rusqlite::{OptionalExtension, Row, params};

#[async_trait]
impl BackendStore for SqliteStore {
    async fn backend_settings(&self) -> Result<Vec<(String, BackendSetting)>> {
        self.read(|connection| {
            let sql = "SELECT name, enabled, most_running FROM backends ORDER BY name";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map([], |row| {
                let switch = if row.get(1)? { Switch::On } else { Switch::Off };
                Ok((row.get(0)?, BackendSetting { switch, most_running: row.get(2)? }))
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn set_backend_setting(&self, backend: &str, setting: BackendSetting) -> Result<()> {
        let backend = backend.to_owned();
        self.write(move |connection| {
            let sql = "INSERT OR REPLACE INTO backends (name, enabled, most_running) VALUES (?, ?, ?)";
            connection.execute(sql, params![backend, setting.switch == Switch::On, setting.most_running])?;
            Ok(())
        })
        .await
    }
}

/// A row with id, time, summary and report.
fn record(row: &Row<'_>) -> Done<AttackRecord> {
    Ok(AttackRecord {
        id: AttackId::from_bytes(row.get(0)?),
        created: time(row.get(1)?),
        summary: row.get::<_, Vec<u8>>(2)?.into(),
        report: row.get::<_, Option<Vec<u8>>>(3)?.map(Into::into),
    })
}

#[async_trait]
impl AttackStore for SqliteStore {
    async fn put_attack(&self, attack: AttackRecord, most: usize) -> Result<()> {
        self.write(move |connection| {
            let AttackRecord { id, created, summary, report } = attack;
            let sql = "INSERT OR REPLACE INTO attacks (id, created, summary, report) VALUES (?, ?, ?, ?)";
            let values = params![id.to_bytes(), microseconds(created), summary.as_ref(), report.as_deref()];
            connection.prepare_cached(sql)?.execute(values)?;
            let sql =
                "DELETE FROM attacks WHERE id NOT IN (SELECT id FROM attacks ORDER BY created DESC, id DESC LIMIT ?)";
            connection.prepare_cached(sql)?.execute([signed(most)])?;
            Ok(())
        })
        .await
    }

    async fn attacks(&self) -> Result<Vec<AttackRecord>> {
        self.read(|connection| {
            let sql = "SELECT id, created, summary, NULL FROM attacks ORDER BY created DESC, id DESC";
            let mut statement = connection.prepare_cached(sql)?;
            let mut found = statement.query([])?;
            let mut attacks = Vec::new();
            while let Some(row) = found.next()? {
                attacks.push(record(row)?);
            }
            Ok(attacks)
        })
        .await
    }

    async fn attack(&self, id: AttackId) -> Result<AttackRecord> {
        self.read(move |connection| {
            let sql = "SELECT id, created, summary, report FROM attacks WHERE id = ?";
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_row([id.to_bytes()], |row| Ok(record(row))).optional()?;
            found.unwrap_or_else(|| Err(Failure::new(ErrorKind::NotFound, format!("there is no attack {id}"))))
        })
        .await
    }
}
