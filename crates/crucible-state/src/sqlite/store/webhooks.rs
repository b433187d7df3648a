//! Addresses that are told of ends, and how far they were told.

use super::super::failure::{Done, Failure};
use super::{SqliteStore, events, invalid, microseconds, signed, time, unsigned};
use async_trait::async_trait;
use crucible_core::{
    ErrorKind, GlobalNumber, ProjectId, Result, StoredEvent, Webhook, WebhookId, WebhookProgress, WebhookSecret,
    WebhookState, WebhookStore,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::sync::Arc;
use std::time::SystemTime;

/// How many a project has at most.
const MOST_OF_A_PROJECT: i64 = 20;
const LONGEST_URL: usize = 2048;
const COLUMNS: &str = "SELECT id, project, url, secret, kinds, created, state, cursor, failures, next_try, delivered,
    given_up, given_up_in_a_row, last_delivered, last_error FROM webhooks";

fn state(name: &str) -> Done<WebhookState> {
    let found = WebhookState::ALL.into_iter().find(|state| state.as_str() == name);
    found.ok_or_else(|| Failure::damaged(format!("there is no webhook's state {name:?}")))
}

fn read(row: &Row<'_>) -> Done<Webhook> {
    let (project, kinds, named): (String, String, String) = (row.get(1)?, row.get(4)?, row.get(6)?);
    let kinds = serde_json::from_str(&kinds).map_err(|why| Failure::damaged(format!("a webhook's kinds: {why}")))?;
    let moment = |column| row.get::<_, Option<i64>>(column).map(|found| found.map(time));
    Ok(Webhook {
        id: WebhookId::from_bytes(row.get(0)?),
        project: project.parse()?,
        url: row.get(2)?,
        secret: WebhookSecret(row.get(3)?),
        kinds,
        created: time(row.get(5)?),
        state: state(&named)?,
        progress: WebhookProgress {
            cursor: GlobalNumber(unsigned(row.get(7)?)),
            failures: row.get(8)?,
            next_try: moment(9)?,
            delivered: unsigned(row.get(10)?),
            given_up: unsigned(row.get(11)?),
            given_up_in_a_row: row.get(12)?,
            last_delivered: moment(13)?,
            last_error: row.get(14)?,
        },
    })
}

fn select(connection: &Connection, filter: &str, values: impl rusqlite::Params) -> Done<Vec<Webhook>> {
    let mut statement = connection.prepare_cached(&format!("{COLUMNS} {filter} ORDER BY id"))?;
    let mut found = statement.query(values)?;
    let mut webhooks = Vec::new();
    while let Some(row) = found.next()? {
        webhooks.push(read(row)?);
    }
    Ok(webhooks)
}

fn no_webhook(id: WebhookId) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("there is no webhook {id}"))
}

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn add_webhook(&self, webhook: Webhook) -> Result<()> {
        self.write(move |connection| {
            if webhook.url.len() > LONGEST_URL {
                return Err(invalid(format!("url: it has {LONGEST_URL} bytes at most")));
            }
            let project = webhook.project.as_str();
            let sql = "SELECT count(*) FROM webhooks WHERE project = ?";
            let count: i64 = connection.query_row(sql, [project], |row| row.get(0))?;
            if count >= MOST_OF_A_PROJECT {
                let message = format!("project '{project}' has {count} webhooks, of at most {MOST_OF_A_PROJECT}");
                return Err(Failure::new(ErrorKind::Overloaded, message).hint("remove one that isn't needed"));
            }
            let kinds = serde_json::to_string(&webhook.kinds).map_err(|why| invalid(why.to_string()))?;
            let sql =
                "INSERT INTO webhooks (id, project, url, secret, kinds, created, state, cursor, failures, delivered,
                       given_up, given_up_in_a_row) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0)";
            let (id, secret, created) = (webhook.id.to_bytes(), webhook.secret.0, microseconds(webhook.created));
            let (state, cursor) = (webhook.state.as_str(), signed(webhook.progress.cursor.0));
            connection.execute(sql, params![id, project, webhook.url, secret, kinds, created, state, cursor])?;
            Ok(())
        })
        .await
    }

    async fn webhooks(&self, project: Option<&ProjectId>) -> Result<Vec<Webhook>> {
        let project = project.cloned();
        self.read(move |connection| match project {
            Some(project) => select(connection, "WHERE project = ?", [project.as_str()]),
            None => select(connection, "", []),
        })
        .await
    }

    async fn due_webhooks(&self, now: SystemTime) -> Result<Vec<Webhook>> {
        self.read(move |connection| {
            let due = format!(
                "WHERE state = 'on' AND (next_try IS NULL OR next_try <= ?) AND EXISTS (
                 SELECT 1 FROM events WHERE events.project = webhooks.project AND global > cursor AND {})",
                events::wanted_by_webhooks()
            );
            select(connection, &due, [microseconds(now)])
        })
        .await
    }

    async fn next_webhook(&self) -> Result<Option<SystemTime>> {
        self.read(|connection| {
            let sql = "SELECT min(next_try) FROM webhooks WHERE state = 'on'";
            Ok(connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?.map(time))
        })
        .await
    }

    async fn set_webhook(&self, project: Option<&ProjectId>, id: WebhookId, state: WebhookState) -> Result<Webhook> {
        let project = project.map(|project| project.as_str().to_owned());
        self.write(move |connection| {
            let sql = "UPDATE webhooks SET state = ?1, failures = 0, next_try = NULL, given_up_in_a_row = 0
                       WHERE id = ?2 AND project = coalesce(?3, project)";
            if connection.execute(sql, params![state.as_str(), id.to_bytes(), project])? == 0 {
                return Err(no_webhook(id));
            }
            select(connection, "WHERE id = ?", [id.to_bytes()])?.pop().ok_or_else(|| no_webhook(id))
        })
        .await
    }

    async fn remove_webhook(&self, project: Option<&ProjectId>, id: WebhookId) -> Result<()> {
        let project = project.map(|project| project.as_str().to_owned());
        self.write(move |connection| {
            let sql = "DELETE FROM webhooks WHERE id = ?1 AND project = coalesce(?2, project)";
            match connection.execute(sql, params![id.to_bytes(), project])? {
                0 => Err(no_webhook(id)),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn note_webhook(&self, id: WebhookId, state: WebhookState, progress: WebhookProgress) -> Result<()> {
        self.write(move |connection| {
            let sql = "SELECT state FROM webhooks WHERE id = ?";
            let now: Option<String> = connection.query_row(sql, [id.to_bytes()], |row| row.get(0)).optional()?;
            // What somebody switched off meanwhile stays off.
            let Some(now) = now else { return Ok(()) };
            let state = if now == WebhookState::On.as_str() { state.as_str().to_owned() } else { now };
            let sql =
                "UPDATE webhooks SET state = ?, cursor = ?, failures = ?, next_try = ?, delivered = ?, given_up = ?,
                       given_up_in_a_row = ?, last_delivered = ?, last_error = ? WHERE id = ?";
            connection.prepare_cached(sql)?.execute(params![
                state,
                signed(progress.cursor.0),
                progress.failures,
                progress.next_try.map(microseconds),
                signed(progress.delivered),
                signed(progress.given_up),
                progress.given_up_in_a_row,
                progress.last_delivered.map(microseconds),
                progress.last_error,
                id.to_bytes()
            ])?;
            Ok(())
        })
        .await
    }

    async fn webhook_events(
        &self,
        project: &ProjectId,
        after: GlobalNumber,
        most: usize,
    ) -> Result<Vec<Arc<StoredEvent>>> {
        let project = project.clone();
        self.read(move |connection| events::for_webhooks(connection, &project, after, most)).await
    }
}
