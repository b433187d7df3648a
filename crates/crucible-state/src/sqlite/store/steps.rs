//! The steps of an evaluation from one state to another.
//!
//! Invariant: a try's steps are made with the latest token, while the evaluation is running, or not at all. A final state is
//! left by none.

use super::super::failure::Done;
use super::documents::{Kind, PackedChange, inline, put};
use super::{events, microseconds, not_found, rows};
use crate::documents::write_review;
use crucible_core::{
    Cancellation, CancelledEvaluation, Decided, EvaluationId, EvaluationState, EvaluationSummary, FencingToken,
    NewEvent, ProjectId, Review, ReviewDecision, Started, Step, StoredEvaluation, StoredEvent,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

type Told<T> = (T, Vec<Arc<StoredEvent>>);

const REVIEW: &str = "crucible.review.v1";

/// What a step is decided by.
struct Current {
    row: i64,
    project: ProjectId,
    state: EvaluationState,
    cancellation: Cancellation,
    token: i64,
    attempt: u32,
    events: i64,
}

fn current(connection: &Connection, project: Option<&ProjectId>, id: EvaluationId) -> Done<Current> {
    let sql = "SELECT row, project, state, cancellation, token, attempt, events FROM evaluations WHERE id = ?";
    let found = connection
        .prepare_cached(sql)?
        .query_row([id.to_bytes()], |row| {
            let (project, state): (String, String) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, project, state, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?))
        })
        .optional()?;
    let (row, owner, state, cancellation, token, attempt, events) = found.ok_or_else(|| not_found(id))?;
    if project.is_some_and(|project| project.as_str() != owner) {
        return Err(not_found(id));
    }
    let (state, cancellation) = (rows::state(&state)?, rows::cancellation(cancellation));
    Ok(Current { row, project: owner.parse()?, state, cancellation, token, attempt, events })
}

fn tell(connection: &Connection, id: EvaluationId, current: &Current, new: &[NewEvent]) -> Done<Vec<Arc<StoredEvent>>> {
    let subject = events::Subject { row: current.row, id, project: &current.project };
    (current.events + 1..).zip(new).map(|(number, event)| events::insert(connection, &subject, number, event)).collect()
}

/// Writes a change with a new state, and says how the evaluation's row is then.
fn apply(
    connection: &Connection,
    id: EvaluationId,
    current: &Current,
    state: EvaluationState,
    change: &PackedChange,
) -> Done<Told<EvaluationSummary>> {
    let told = tell(connection, id, current, &change.events)?;
    for (kind, document) in &change.documents {
        put(connection, current.row, *kind, document)?;
    }
    let finished = state.is_final().then(|| microseconds(change.at));
    let indexed = &change.indexed;
    let sql = format!(
        "UPDATE evaluations SET state = ?, version = version + 1, events = events + ?, finished = ?,
         backend = coalesce(?, backend), status = coalesce(?, status), validity = coalesce(?, validity),
         verdict = coalesce(?, verdict), wall = coalesce(?, wall) WHERE row = ? RETURNING {}",
        rows::COLUMNS
    );
    let (_, summary) = connection.prepare_cached(&sql)?.query_row(
        params![
            state.as_str(),
            super::signed(told.len()),
            finished,
            indexed.backend,
            indexed.status,
            indexed.validity,
            indexed.verdict,
            indexed.wall.map(|wall| super::signed(wall.as_micros())),
            current.row
        ],
        |row| Ok(rows::summary(row)),
    )??;
    Ok((summary, told))
}

pub(super) fn start(
    connection: &Connection,
    id: EvaluationId,
    node: &str,
    change: &PackedChange,
) -> Done<Told<Started>> {
    let current = current(connection, None, id)?;
    match current.state {
        EvaluationState::Queued | EvaluationState::Running => {}
        state => return Ok((Started::Refused(state), Vec::new())),
    }
    let token = current.token + 1;
    let fencing = FencingToken(super::unsigned(token));
    match current.cancellation {
        // It stays as it is, but for the token, which only the one who is to end it has.
        Cancellation::Requested => {
            connection
                .prepare_cached("UPDATE evaluations SET token = ? WHERE row = ?")?
                .execute(params![token, current.row])?;
            Ok((Started::CancelRequested { token: fencing }, Vec::new()))
        }
        Cancellation::NotRequested => {
            let attempt = current.attempt.saturating_add(1);
            connection
                .prepare_cached("UPDATE evaluations SET token = ?, attempt = ?, node = ?, started = ? WHERE row = ?")?
                .execute(params![token, attempt, node, microseconds(change.at), current.row])?;
            let (_, told) = apply(connection, id, &current, EvaluationState::Running, change)?;
            Ok((Started::Started { token: fencing, attempt }, told))
        }
    }
}

fn is_latest(current: &Current, token: FencingToken) -> bool {
    current.state == EvaluationState::Running && super::unsigned(current.token) == token.0
}

/// Ends a try, with a final state or another one. Where it was the first one, the answer has the whole evaluation, too, unless a
/// part of it is a file: nobody wrote a document of it before.
pub(super) fn end_try(
    connection: &Connection,
    id: EvaluationId,
    token: FencingToken,
    state: EvaluationState,
    change: &PackedChange,
) -> Done<Told<(Step, Option<StoredEvaluation>)>> {
    let current = current(connection, None, id)?;
    if !is_latest(&current, token) {
        return Ok(((Step::Stale, None), Vec::new()));
    }
    if current.cancellation == Cancellation::Requested && !state.is_final() {
        return Ok(((Step::CancelRequested, None), Vec::new()));
    }
    let (summary, told) = apply(connection, id, &current, state, change)?;
    let whole = if summary.attempt == 1 { change.whole(summary) } else { None };
    Ok(((Step::Committed, whole), told))
}

pub(super) fn append(
    connection: &Connection,
    id: EvaluationId,
    token: FencingToken,
    new: &[NewEvent],
) -> Done<Told<Step>> {
    let current = current(connection, None, id)?;
    if !is_latest(&current, token) {
        return Ok((Step::Stale, Vec::new()));
    }
    let told = tell(connection, id, &current, new)?;
    connection
        .prepare_cached("UPDATE evaluations SET events = events + ? WHERE row = ?")?
        .execute(params![super::signed(told.len()), current.row])?;
    Ok((Step::Committed, told))
}

pub(super) fn decide(
    connection: &Connection,
    project: Option<&ProjectId>,
    id: EvaluationId,
    review: &Review,
    change: &PackedChange,
) -> Done<Told<Decided>> {
    let current = current(connection, project, id)?;
    if current.state != EvaluationState::Held {
        return Ok((Decided::NotHeld(current.state), Vec::new()));
    }
    let state = match review.decision {
        ReviewDecision::Approved => EvaluationState::Queued,
        ReviewDecision::Rejected => EvaluationState::Finished,
    };
    put(connection, current.row, Kind::Review, &inline(REVIEW, write_review(review)?))?;
    let (_, told) = apply(connection, id, &current, state, change)?;
    Ok((Decided::Committed(state), told))
}

pub(super) fn cancel(
    connection: &Connection,
    project: Option<&ProjectId>,
    id: EvaluationId,
    change: &PackedChange,
) -> Done<Told<CancelledEvaluation>> {
    let current = current(connection, project, id)?;
    match current.state {
        EvaluationState::Queued | EvaluationState::Held => {
            let (_, told) = apply(connection, id, &current, EvaluationState::Cancelled, change)?;
            Ok((CancelledEvaluation::Cancelled, told))
        }
        EvaluationState::Running => {
            if current.cancellation == Cancellation::NotRequested {
                connection
                    .prepare_cached("UPDATE evaluations SET cancellation = 1, version = version + 1 WHERE row = ?")?
                    .execute([current.row])?;
            }
            Ok((CancelledEvaluation::Requested, Vec::new()))
        }
        state => Ok((CancelledEvaluation::AlreadyFinal(state), Vec::new())),
    }
}
