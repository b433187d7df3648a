//! Finding evaluations.

use super::super::failure::Done;
use super::rows::{COLUMNS, state, summary};
use super::{MOST_ON_A_PAGE, invalid, microseconds, signed, unsigned};
use crucible_core::{EvaluationId, EvaluationSummary, Page, Priority, ProjectId, ProjectUse, Query, Unfinished};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use std::time::SystemTime;

const CURSOR: &str = "e1-";

fn cursor(row: i64) -> String {
    format!("{CURSOR}{row:x}")
}

fn read_cursor(text: &str) -> Done<i64> {
    let row = text.strip_prefix(CURSOR).and_then(|row| i64::from_str_radix(row, 16).ok());
    row.ok_or_else(|| invalid("the cursor isn't one of this store's").hint("give the one that the page before had"))
}

pub(super) fn list(connection: &Connection, query: &Query) -> Done<Page<EvaluationSummary>> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let texts = [
        ("project = ?", query.project.as_ref().map(|project| project.as_str().to_owned())),
        ("state = ?", query.state.map(|state| state.as_str().to_owned())),
        ("status = ?", query.status.clone()),
        ("backend = ?", query.backend.clone()),
        ("validity = ?", query.validity.clone()),
        ("verdict = ?", query.verdict.clone()),
    ];
    let numbers = [
        ("created >= ?", query.created_from.map(microseconds)),
        ("created < ?", query.created_before.map(microseconds)),
        ("row < ?", query.cursor.as_deref().map(read_cursor).transpose()?),
    ];
    let texts = texts.into_iter().filter_map(|(condition, text)| Some((condition, Value::Text(text?))));
    let numbers = numbers.into_iter().filter_map(|(condition, number)| Some((condition, Value::Integer(number?))));
    for (condition, value) in texts.chain(numbers) {
        conditions.push(condition);
        values.push(value);
    }
    if let Some((name, value)) = &query.label {
        conditions.push("row IN (SELECT evaluation FROM labels WHERE name = ? AND value = ?)");
        values.extend([Value::Text(name.clone()), Value::Text(value.clone())]);
    }
    let limit = query.limit.clamp(1, MOST_ON_A_PAGE);
    // One more shows whether there is another page.
    values.push(Value::Integer(signed(limit + 1)));
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let sql = format!("SELECT {COLUMNS} FROM evaluations {filter} ORDER BY row DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let (mut items, mut last) = (Vec::new(), None);
    while let Some(row) = found.next()? {
        if items.len() == limit {
            return Ok(Page { items, next: last.map(cursor) });
        }
        let (row, summary) = summary(row)?;
        items.push(summary);
        last = Some(row);
    }
    Ok(Page { items, next: None })
}

pub(super) fn unfinished(connection: &Connection, after: Option<EvaluationId>, most: usize) -> Done<Vec<Unfinished>> {
    let sql = "SELECT id, project, state, priority, attempt FROM evaluations
               WHERE finished IS NULL AND id > ? ORDER BY id LIMIT ?";
    let mut statement = connection.prepare_cached(sql)?;
    let after = after.map_or_else(Vec::new, |id| id.to_bytes().to_vec());
    let mut found = statement.query(params![after, signed(most.min(MOST_ON_A_PAGE))])?;
    let mut unfinished = Vec::new();
    while let Some(row) = found.next()? {
        let (project, state_text): (String, String) = (row.get(1)?, row.get(2)?);
        unfinished.push(Unfinished {
            id: EvaluationId::from_bytes(row.get(0)?),
            project: project.parse()?,
            state: state(&state_text)?,
            priority: Priority(row.get(3)?),
            attempt: row.get(4)?,
        });
    }
    Ok(unfinished)
}

pub(super) fn project_use(connection: &Connection, project: &ProjectId, since: SystemTime) -> Done<ProjectUse> {
    let of_state = "SELECT count(*) FROM evaluations WHERE project = ? AND state = ?";
    let count = |state: &str| -> Done<u64> {
        let mut statement = connection.prepare_cached(of_state)?;
        Ok(unsigned(statement.query_row(params![project.as_str(), state], |row| row.get(0))?))
    };
    let since_then = "SELECT count(*) FROM evaluations WHERE project = ? AND created >= ?";
    let created = connection
        .prepare_cached(since_then)?
        .query_row(params![project.as_str(), microseconds(since)], |row| row.get(0))?;
    Ok(ProjectUse { queued: count("queued")?, running: count("running")?, created: unsigned(created) })
}
