//! Events, in the order in which they were committed.

use super::super::failure::Done;
use super::{MOST_ON_A_PAGE, invalid, microseconds, rows, signed, time, unsigned};
use bytes::Bytes;
use crucible_core::{EvaluationId, GlobalNumber, NewEvent, ProjectId, StoredEvent, WEBHOOK_KINDS};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::sync::Arc;

/// The most bytes of one event.
const LARGEST: usize = 1 << 20;
const LONGEST_KIND: usize = 64;
/// From so many bytes on a page is full.
const MOST_BYTES_ON_A_PAGE: usize = 16 << 20;

/// Whose events they are.
pub(super) struct Subject<'a> {
    pub(super) row: i64,
    pub(super) id: EvaluationId,
    pub(super) project: &'a ProjectId,
}

/// Writes one event under a number, which must be the next.
pub(super) fn insert(
    connection: &Connection,
    subject: &Subject<'_>,
    number: i64,
    event: &NewEvent,
) -> Done<Arc<StoredEvent>> {
    if event.body.len() > LARGEST || event.kind.len() > LONGEST_KIND {
        return Err(invalid(format!("an event has {LARGEST} bytes at most, and a kind of {LONGEST_KIND}")));
    }
    connection
        .prepare_cached("INSERT INTO events (evaluation, number, project, at, kind, body) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![
            subject.row,
            number,
            subject.project.as_str(),
            microseconds(event.at),
            event.kind,
            event.body.as_ref()
        ])?;
    Ok(Arc::new(StoredEvent {
        global: GlobalNumber(unsigned(connection.last_insert_rowid())),
        project: subject.project.clone(),
        evaluation: subject.id,
        number: unsigned(number),
        at: event.at,
        kind: event.kind.clone(),
        body: event.body.clone(),
    }))
}

/// A row of events: global number, evaluation's id, number, project, time, kind, body.
type Columns = (i64, [u8; 16], i64, String, i64, String, Vec<u8>);

fn read(row: &Row<'_>) -> rusqlite::Result<Columns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
}

/// The events of a page, which ends early where they are large. It has one at least, where there is one.
fn collect(found: impl Iterator<Item = rusqlite::Result<Columns>>) -> Done<Vec<Arc<StoredEvent>>> {
    let mut last: Option<ProjectId> = None;
    let (mut events, mut bytes) = (Vec::new(), 0);
    for row in found {
        let (global, id, number, project, at, kind, body) = row?;
        // Most of them are of the same project.
        let project = match &last {
            Some(last) if last.as_str() == project => last.clone(),
            _ => last.insert(project.parse()?).clone(),
        };
        bytes += body.len();
        events.push(Arc::new(StoredEvent {
            global: GlobalNumber(unsigned(global)),
            project,
            evaluation: EvaluationId::from_bytes(id),
            number: unsigned(number),
            at: time(at),
            kind: kind.into(),
            body: Bytes::from(body),
        }));
        if bytes >= MOST_BYTES_ON_A_PAGE {
            break;
        }
    }
    Ok(events)
}

pub(super) fn of_one(
    connection: &Connection,
    project: Option<&ProjectId>,
    id: EvaluationId,
    after: u64,
    most: usize,
) -> Done<Vec<Arc<StoredEvent>>> {
    let transaction = connection.unchecked_transaction()?;
    let row = rows::find(&transaction, project, id)?;
    let mut statement = transaction.prepare_cached(
        "SELECT global, ?1, number, project, at, kind, body FROM events
         WHERE evaluation = ?2 AND number > ?3 ORDER BY number LIMIT ?4",
    )?;
    let most = signed(most.min(MOST_ON_A_PAGE));
    collect(statement.query_map(params![id.to_bytes(), row, signed(after), most], read)?)
}

pub(super) fn of_all(
    connection: &Connection,
    project: Option<&ProjectId>,
    after: GlobalNumber,
    most: usize,
) -> Done<Vec<Arc<StoredEvent>>> {
    let (after, most) = (signed(after.0), signed(most.min(MOST_ON_A_PAGE)));
    let columns = "SELECT global, evaluations.id, number, events.project, at, kind, body
                   FROM events JOIN evaluations ON evaluations.row = events.evaluation";
    match project {
        None => {
            let sql = format!("{columns} WHERE global > ? ORDER BY global LIMIT ?");
            collect(connection.prepare_cached(&sql)?.query_map(params![after, most], read)?)
        }
        Some(project) => {
            let sql = format!("{columns} WHERE events.project = ? AND global > ? ORDER BY global LIMIT ?");
            collect(connection.prepare_cached(&sql)?.query_map(params![project.as_str(), after, most], read)?)
        }
    }
}

/// What the index of the events that addresses are told of is made for, in its words: SQLite uses it for no others.
pub(super) fn wanted_by_webhooks() -> String {
    format!("kind IN ({})", WEBHOOK_KINDS.map(|kind| format!("'{kind}'")).join(", "))
}

/// Those of a project that addresses are told of, by an index of their own.
pub(super) fn for_webhooks(
    connection: &Connection,
    project: &ProjectId,
    after: GlobalNumber,
    most: usize,
) -> Done<Vec<Arc<StoredEvent>>> {
    let sql = format!(
        "SELECT global, evaluations.id, number, events.project, at, kind, body
         FROM events JOIN evaluations ON evaluations.row = events.evaluation
         WHERE events.project = ? AND global > ? AND {} ORDER BY global LIMIT ?",
        wanted_by_webhooks()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let most = signed(most.min(MOST_ON_A_PAGE));
    collect(statement.query_map(params![project.as_str(), signed(after.0), most], read)?)
}

/// The highest number that was ever given.
pub(super) fn latest(connection: &Connection) -> Done<GlobalNumber> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let found: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(GlobalNumber(unsigned(found.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_addresses_are_told_of_is_found_by_its_own_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::sqlite::migrations::apply(&mut connection).unwrap();
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT 1 FROM events WHERE project = 'a' AND global > 1 AND {}",
            wanted_by_webhooks()
        );
        let plan: String = connection.query_row(&sql, [], |row| row.get(3)).unwrap();
        assert!(plan.contains("events_for_webhooks"), "{plan}");
    }
}
