//! New evaluations.
//!
//! Invariant: of one project and idempotency key there is one evaluation, and who asks for something else with it is told so.

use super::super::blobs::{Blobs, Writing};
use super::super::failure::{Done, Failure};
use super::documents::{Kind, Packed, pack, put};
use super::{events, invalid, microseconds};
use crate::documents::write_specification;
use crucible_core::{
    Created, Document, EvaluationId, EvaluationState, NewEvaluation, NewEvent, Program, ProjectId, StoredEvent,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::sync::Arc;

const MOST_LABELS: usize = 64;
const LONGEST_LABEL: usize = 256;
const LONGEST_KEY: usize = 256;
const SPECIFICATION: &str = "crucible.specification.v1";

/// A new evaluation, as it will be written.
pub(super) struct Prepared {
    id: EvaluationId,
    project: ProjectId,
    labels: BTreeMap<String, String>,
    labels_text: String,
    key: Option<String>,
    digest: [u8; 32],
    priority: i8,
    created: i64,
    language: Option<String>,
    specification: Packed,
    first_event: NewEvent,
}

/// Bytes of specifications for which no other thread is asked: they are written down in microseconds, and into no file.
const LITTLE: usize = 4 << 10;

/// Looks at new evaluations and writes their large specifications as files.
pub(super) async fn prepare(blobs: &Blobs, guard: &Writing, evaluations: Vec<NewEvaluation>) -> Done<Vec<Prepared>> {
    if let [one] = evaluations.as_slice()
        && one.spec.bytes() < LITTLE
    {
        return evaluations.into_iter().map(|evaluation| prepare_one(blobs, guard, evaluation)).collect();
    }
    let (blobs, guard) = (blobs.clone(), guard.clone());
    let work = move || evaluations.into_iter().map(|evaluation| prepare_one(&blobs, &guard, evaluation)).collect();
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Failure::stopped()))
}

fn prepare_one(blobs: &Blobs, guard: &Writing, evaluation: NewEvaluation) -> Done<Prepared> {
    let NewEvaluation { spec, project, labels, idempotency_key: key, priority, at, first_event } = evaluation;
    let is_long = |text: &String| text.len() > LONGEST_LABEL;
    if labels.len() > MOST_LABELS
        || labels.iter().any(|(name, value)| name.is_empty() || is_long(name) || is_long(value))
    {
        return Err(invalid(format!("an evaluation has {MOST_LABELS} labels at most, of {LONGEST_LABEL} bytes each")));
    }
    if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > LONGEST_KEY) {
        return Err(invalid(format!("an idempotency key has 1 to {LONGEST_KEY} bytes")));
    }
    let malformed = |why| invalid(format!("the evaluation can't be kept: {why}"));
    let labels_text = serde_json::to_string(&labels).map_err(|why| invalid(why.to_string()))?;
    let id = spec.id;
    let language = match &spec.program {
        Program::Source { language, .. } => Some(language.clone()),
        Program::Command { .. } => None,
    };
    let body = write_specification(&spec).map_err(malformed)?;
    let digest = match &key {
        None => [0; 32],
        Some(_) => {
            // The same whatever id it was given.
            let anonymous = crucible_core::EvaluationSpec { id: EvaluationId::from_bytes([0; 16]), ..spec };
            let mut hasher = blake3::Hasher::new();
            hasher.update(&write_specification(&anonymous).map_err(malformed)?);
            hasher.update(&[0]).update(labels_text.as_bytes()).update(&priority.0.to_le_bytes());
            *hasher.finalize().as_bytes()
        }
    };
    let specification = pack(blobs, guard, Document { format: SPECIFICATION.to_owned(), body: body.into() })?;
    let (priority, created) = (priority.0, microseconds(at));
    Ok(Prepared {
        id,
        project,
        labels,
        labels_text,
        key,
        digest,
        priority,
        created,
        language,
        specification,
        first_event,
    })
}

pub(super) fn insert(connection: &Connection, new: Vec<Prepared>) -> Done<(Vec<Created>, Vec<Arc<StoredEvent>>)> {
    let mut told = Vec::with_capacity(new.len());
    let created = new.into_iter().map(|prepared| insert_one(connection, prepared, &mut told)).collect::<Done<_>>()?;
    Ok((created, told))
}

fn insert_one(connection: &Connection, new: Prepared, told: &mut Vec<Arc<StoredEvent>>) -> Done<Created> {
    if let Some(key) = &new.key {
        let sql = "SELECT id, digest FROM evaluations WHERE project = ? AND idempotency_key = ?";
        let found = connection
            .prepare_cached(sql)?
            .query_row(params![new.project.as_str(), key], |row| Ok((row.get(0)?, row.get::<_, [u8; 32]>(1)?)))
            .optional()?;
        if let Some((id, digest)) = found {
            let id = EvaluationId::from_bytes(id);
            return Ok(if digest == new.digest { Created::Existing(id) } else { Created::Conflict(id) });
        }
    }
    let digest = new.key.as_ref().map(|_| new.digest);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO evaluations (id, project, state, priority, labels, created, idempotency_key, digest, language, events)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            new.id.to_bytes(),
            new.project.as_str(),
            EvaluationState::Queued.as_str(),
            new.priority,
            new.labels_text,
            new.created,
            new.key,
            digest,
            new.language
        ])?;
    if inserted == 0 {
        return Ok(Created::Conflict(new.id));
    }
    let row = connection.last_insert_rowid();
    put(connection, row, Kind::Specification, &new.specification)?;
    for (name, value) in &new.labels {
        let mut statement =
            connection.prepare_cached("INSERT INTO labels (name, value, evaluation) VALUES (?, ?, ?)")?;
        statement.execute(params![name, value, row])?;
    }
    let subject = events::Subject { row, id: new.id, project: &new.project };
    told.push(events::insert(connection, &subject, 1, &new.first_event)?);
    Ok(Created::New)
}
