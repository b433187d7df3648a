//! Finding evaluations.

use super::super::failure::Done;
use super::rows::{COLUMNS, state, summary};
use super::{MOST_ON_A_PAGE, invalid, microseconds, signed, unsigned};
use crucible_core::{
    EvaluationId, EvaluationSummary, ListOrder, Page, Priority, ProjectId, ProjectUse, Query, Unfinished,
};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use std::time::SystemTime;

/// How many rows a search looks through for one page: one that finds little must not hold up the others.
const SEARCHED: i64 = 50_000;

/// What the cursors of a list begin with: those of one order are none of the other.
const fn mark(order: ListOrder) -> &'static str {
    match order {
        ListOrder::Newest => "e1-",
        ListOrder::Oldest => "o1-",
    }
}

fn cursor(order: ListOrder, row: i64) -> String {
    format!("{}{row:x}", mark(order))
}

fn read_cursor(order: ListOrder, text: &str) -> Done<i64> {
    let row = text.strip_prefix(mark(order)).and_then(|row| i64::from_str_radix(row, 16).ok());
    row.ok_or_else(|| invalid("the cursor isn't one of this store's").hint("give the one that the page before had"))
}

/// Where a search has to stop on this page; `None` where it gets to the end.
fn searched_to(connection: &Connection, query: &Query, from: Option<i64>) -> Done<Option<i64>> {
    let ends = "SELECT ifnull(min(row), 0), ifnull(max(row), 0) FROM evaluations";
    let (first, last): (i64, i64) =
        connection.prepare_cached(ends)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match query.order {
        ListOrder::Newest => Some(from.unwrap_or(last + 1) - SEARCHED).filter(|to| *to > first),
        ListOrder::Oldest => Some(from.unwrap_or(first - 1) + SEARCHED).filter(|to| *to < last),
    })
}

pub(super) fn list(connection: &Connection, query: &Query) -> Done<Page<EvaluationSummary>> {
    let from = query.cursor.as_deref().map(|text| read_cursor(query.order, text)).transpose()?;
    let to = match &query.search {
        Some(_) => searched_to(connection, query, from)?,
        None => None,
    };
    let (after, before, direction) = match query.order {
        ListOrder::Newest => ("row < ?", "row >= ?", "DESC"),
        ListOrder::Oldest => ("row > ?", "row <= ?", "ASC"),
    };
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
        (after, from),
        (before, to),
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
    if let Some(search) = &query.search {
        let search = search.to_ascii_lowercase();
        // An id is written with dashes and kept without.
        let of_id: String = search.chars().filter(|letter| *letter != '-').collect();
        conditions.push(
            "(instr(lower(hex(id)), ?) > 0 OR EXISTS (SELECT 1 FROM json_each(labels)
              WHERE instr(lower(key), ?) > 0 OR instr(lower(value), ?) > 0))",
        );
        values.extend([of_id, search.clone(), search].map(Value::Text));
    }
    let limit = query.limit.clamp(1, MOST_ON_A_PAGE);
    // One more shows whether there is another page.
    values.push(Value::Integer(signed(limit + 1)));
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let sql = format!("SELECT {COLUMNS} FROM evaluations {filter} ORDER BY row {direction} LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let (mut items, mut last) = (Vec::new(), None);
    while let Some(row) = found.next()? {
        if items.len() == limit {
            return Ok(Page { items, next: last.map(|row| cursor(query.order, row)) });
        }
        let (row, summary) = summary(row)?;
        items.push(summary);
        last = Some(row);
    }
    // Where a search stopped before the end, it goes on there.
    Ok(Page { items, next: to.map(|row| cursor(query.order, row)) })
}

pub(super) fn unfinished(connection: &Connection, after: Option<EvaluationId>, most: usize) -> Done<Vec<Unfinished>> {
    let sql = "SELECT id, project, state, priority FROM evaluations
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
