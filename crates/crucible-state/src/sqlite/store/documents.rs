//! Documents: small ones in the database, large ones as files.

use super::super::blobs::{Blobs, Hash, LARGEST, Writing};
use super::super::failure::{Done, Failure};
use super::{invalid, not_found, rows};
use crate::documents::{read_review, read_specification};
use crucible_core::{
    Change, Document, EvaluationId, EvaluationSpec, EvaluationSummary, Indexed, NewEvent, ProjectId, Review,
    StoredEvaluation,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::SystemTime;

/// From so many bytes on a document is a file.
const LARGE: usize = 16 << 10;

/// What a document is of its evaluation. The numbers are in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Specification = 1,
    Outcome = 2,
    Failure = 3,
    Admission = 4,
    Review = 5,
}

impl Kind {
    pub(super) const fn key(self, row: i64) -> i64 {
        row * 8 + self as i64
    }

    pub(super) const fn of_key(key: i64) -> Option<Self> {
        match key % 8 {
            1 => Some(Self::Specification),
            2 => Some(Self::Outcome),
            3 => Some(Self::Failure),
            4 => Some(Self::Admission),
            5 => Some(Self::Review),
            _ => None,
        }
    }
}

/// A document as the database has it.
#[derive(Debug)]
pub(super) struct Packed {
    format: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Here(bytes::Bytes),
    File(Hash),
}

/// A change whose large documents are written.
#[derive(Debug)]
pub(super) struct PackedChange {
    pub(super) at: SystemTime,
    pub(super) indexed: Indexed,
    pub(super) documents: Vec<(Kind, Packed)>,
    pub(super) events: Vec<NewEvent>,
}

impl PackedChange {
    /// An evaluation that has no other documents than these, where none of them is a file.
    pub(super) fn whole(&self, summary: EvaluationSummary) -> Option<StoredEvaluation> {
        let mut whole = StoredEvaluation { summary, review: None, outcome: None, failure: None, admission: None };
        for (kind, packed) in &self.documents {
            let Content::Here(body) = &packed.content else { return None };
            let place = match kind {
                Kind::Outcome => &mut whole.outcome,
                Kind::Failure => &mut whole.failure,
                Kind::Admission => &mut whole.admission,
                Kind::Specification | Kind::Review => return None,
            };
            *place = Some(Document { format: packed.format.clone(), body: body.clone() });
        }
        Some(whole)
    }
}

/// Writes a document's file, where it is large. It waits for the disk.
pub(super) fn pack(blobs: &Blobs, guard: &Writing, document: Document) -> Done<Packed> {
    let Document { format, body } = document;
    if body.len() > LARGEST {
        return Err(invalid(format!("a document has {} bytes; the most is {LARGEST}", body.len())));
    }
    let content = if body.len() < LARGE { Content::Here(body) } else { Content::File(blobs.write(guard, &body)?) };
    Ok(Packed { format, content })
}

pub(super) async fn pack_change(blobs: &Blobs, guard: &Writing, change: Change) -> Done<PackedChange> {
    let Change { at, indexed, outcome, failure, admission, events } = change;
    let documents: Vec<(Kind, Document)> =
        [(Kind::Outcome, outcome), (Kind::Failure, failure), (Kind::Admission, admission)]
            .into_iter()
            .filter_map(|(kind, document)| document.map(|document| (kind, document)))
            .collect();
    let mut packed = Vec::with_capacity(documents.len());
    for (kind, document) in documents {
        let done = if document.body.len() < LARGE {
            pack(blobs, guard, document)?
        } else {
            let (blobs, guard) = (blobs.clone(), guard.clone());
            let done = tokio::task::spawn_blocking(move || pack(&blobs, &guard, document));
            done.await.unwrap_or_else(|_| Err(Failure::stopped()))?
        };
        packed.push((kind, done));
    }
    Ok(PackedChange { at, indexed, documents: packed, events })
}

pub(super) fn put(connection: &Connection, row: i64, kind: Kind, document: &Packed) -> Done<()> {
    let sql = "INSERT OR REPLACE INTO documents (key, format, body, blob) VALUES (?, ?, ?, ?)";
    let mut statement = connection.prepare_cached(sql)?;
    let (body, blob) = match &document.content {
        Content::Here(body) => (Some(body.as_ref()), None),
        Content::File(hash) => (None, Some(hash)),
    };
    statement.execute(params![kind.key(row), document.format, body, blob])?;
    Ok(())
}

/// A row of the documents' table: format, body, blob, beginning with that column.
pub(super) fn unpack(blobs: &Blobs, row: &rusqlite::Row<'_>, first: usize) -> Done<Document> {
    let body: Option<Vec<u8>> = row.get(first + 1)?;
    let body = match (body, row.get::<_, Option<Hash>>(first + 2)?) {
        (Some(body), _) => body,
        (None, Some(hash)) => blobs.read(&hash)?,
        (None, None) => return Err(Failure::damaged("a document has no content")),
    };
    Ok(Document { format: row.get(first)?, body: body.into() })
}

fn one(connection: &Connection, blobs: &Blobs, row: i64, kind: Kind) -> Done<Option<Document>> {
    let mut statement = connection.prepare_cached("SELECT format, body, blob FROM documents WHERE key = ?")?;
    let found = statement.query_row([kind.key(row)], |row| Ok(unpack(blobs, row, 0))).optional()?;
    found.transpose()
}

pub(super) fn specification(
    connection: &Connection,
    blobs: &Blobs,
    project: Option<&ProjectId>,
    id: EvaluationId,
) -> Done<EvaluationSpec> {
    let transaction = connection.unchecked_transaction()?;
    let row = rows::find(&transaction, project, id)?;
    let document = one(&transaction, blobs, row, Kind::Specification)?.ok_or_else(|| not_found(id))?;
    let mut specification = read_specification(&document.body, id)?;
    specification.review = review(one(&transaction, blobs, row, Kind::Review)?)?;
    Ok(specification)
}

pub(super) fn review(document: Option<Document>) -> Done<Option<Review>> {
    Ok(document.map(|document| read_review(&document.body)).transpose()?)
}

pub(super) fn inline(format: &str, body: Vec<u8>) -> Packed {
    Packed { format: format.to_owned(), content: Content::Here(body.into()) }
}
