//! Evaluations as rows.

use super::super::blobs::Blobs;
use super::super::failure::{Done, Failure};
use super::documents::{self, Kind};
use super::{not_found, time, unsigned};
use crucible_core::{
    Cancellation, EvaluationId, EvaluationState, EvaluationSummary, Indexed, Priority, ProjectId, StoredEvaluation,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::Duration;

/// What a summary is made of, in this order.
pub(super) const COLUMNS: &str = "row, id, project, state, cancellation, priority, attempt, node, labels, backend, \
                                  status, validity, verdict, created, started, finished, version, language, wall";

pub(super) fn state(text: &str) -> Done<EvaluationState> {
    let found = EvaluationState::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| Failure::damaged(format!("an evaluation has the state {text:?}")))
}

pub(super) const fn cancellation(number: i64) -> Cancellation {
    match number {
        0 => Cancellation::NotRequested,
        _ => Cancellation::Requested,
    }
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Done<&'a str> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

/// A row with [`COLUMNS`], and its number.
pub(super) fn summary(row: &Row<'_>) -> Done<(i64, EvaluationSummary)> {
    let labels = match text(row, 8)? {
        "{}" => Ok(std::collections::BTreeMap::new()),
        labels => serde_json::from_str(labels),
    };
    let summary = EvaluationSummary {
        id: EvaluationId::from_bytes(row.get(1)?),
        project: text(row, 2)?.parse()?,
        state: state(text(row, 3)?)?,
        cancellation: cancellation(row.get(4)?),
        priority: Priority(row.get(5)?),
        attempt: row.get(6)?,
        node: row.get(7)?,
        labels: labels.map_err(|_| Failure::damaged("an evaluation's labels can't be read"))?,
        indexed: Indexed {
            backend: row.get(9)?,
            status: row.get(10)?,
            validity: row.get(11)?,
            verdict: row.get(12)?,
            wall: row.get::<_, Option<i64>>(18)?.map(|wall| Duration::from_micros(unsigned(wall))),
        },
        language: row.get(17)?,
        created: time(row.get(13)?),
        started: row.get::<_, Option<i64>>(14)?.map(time),
        finished: row.get::<_, Option<i64>>(15)?.map(time),
        version: unsigned(row.get(16)?),
    };
    Ok((row.get(0)?, summary))
}

/// The row of an evaluation. One of another project isn't there.
pub(super) fn find(connection: &Connection, project: Option<&ProjectId>, id: EvaluationId) -> Done<i64> {
    let mut statement = connection.prepare_cached("SELECT row, project FROM evaluations WHERE id = ?")?;
    let mut found = statement.query([id.to_bytes()])?;
    let row = found.next()?.ok_or_else(|| not_found(id))?;
    match project {
        Some(project) if text(row, 1)? != project.as_str() => Err(not_found(id)),
        _ => Ok(row.get(0)?),
    }
}

pub(super) fn get(
    connection: &Connection,
    blobs: &Blobs,
    project: Option<&ProjectId>,
    id: EvaluationId,
) -> Done<StoredEvaluation> {
    // Row and documents as they were at one moment.
    let transaction = connection.unchecked_transaction()?;
    let sql = format!("SELECT {COLUMNS} FROM evaluations WHERE id = ?");
    let found =
        transaction.prepare_cached(&sql)?.query_row(params![id.to_bytes()], |row| Ok(summary(row))).optional()?;
    let (row, summary) = found.ok_or_else(|| not_found(id))??;
    if project.is_some_and(|project| *project != summary.project) {
        return Err(not_found(id));
    }
    let mut stored = StoredEvaluation { summary, review: None, outcome: None, failure: None, admission: None };
    let mut statement =
        transaction.prepare_cached("SELECT key, format, body, blob FROM documents WHERE key BETWEEN ? AND ?")?;
    let mut found = statement.query([Kind::Outcome.key(row), Kind::Review.key(row)])?;
    while let Some(row) = found.next()? {
        let document = documents::unpack(blobs, row, 1)?;
        match Kind::of_key(row.get(0)?) {
            Some(Kind::Outcome) => stored.outcome = Some(document),
            Some(Kind::Failure) => stored.failure = Some(document),
            Some(Kind::Admission) => stored.admission = Some(document),
            Some(Kind::Review) => stored.review = documents::review(Some(document))?,
            Some(Kind::Specification) | None => {}
        }
    }
    Ok(stored)
}
