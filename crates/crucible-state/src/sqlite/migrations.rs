//! How a database of an earlier version becomes one of this version.
//!
//! Invariant: each step is whole or not done; a database of another program, or of a later version, isn't touched.

use super::failure::{Done, Failure};
use rusqlite::Connection;

/// Each brings a database from one version to the next. A file that was released is never changed.
const STEPS: [&str; 3] =
    [include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql"), include_str!("migrations/0003.sql")];
/// What marks a database as ours.
const APPLICATION: i32 = 0x4352_5543;

/// Brings a database to this version.
pub(super) fn apply(connection: &mut Connection) -> Done<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (tables > 0 || application != 0) {
        return Err(Failure::unavailable("its database is another program's".to_owned()));
    }
    let (done, latest) = (usize::try_from(version).unwrap_or(usize::MAX), STEPS.len());
    if done > latest {
        let message = format!(
            "its database has version {version}, made by a later Crucible; this one knows versions up to {latest}"
        );
        return Err(Failure::unavailable(message).hint("install the later version again, or use another folder"));
    }
    for (step, number) in STEPS.iter().zip(1_i64..).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
