//! A full disk, a database that can't be written to, damage, another version, another process.

use super::{ids, leased, open, path, queue, store, tasks};
use crate::sqlite::SqliteFolder;
use crucible_core::{ErrorKind, EvaluationId, HostPath, Queue, Store, StoreCare};
use crucible_testkit::keeping::evaluation;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

async fn pragma(folder: &SqliteFolder, name: &'static str, value: i64) {
    let set = move |connection: &rusqlite::Connection| {
        Ok(connection.pragma_update_and_check(None, name, value, |_| Ok(())).or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(()),
            error => Err(error),
        })?)
    };
    folder.shared().writer.write(set).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_was_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&folder);
    let (queue, store) = (queue(&opened).await, store(&opened));
    let kept = tasks(10);
    queue.enqueue(kept.clone()).await.unwrap();
    // No more pages than there are.
    pragma(&opened, "max_page_count", 1).await;
    let error = loop {
        if let Err(error) = queue.enqueue(tasks(1000)).await {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(format!("{error} {:?}", error.hint()).contains("full"), "{error:?}");
    let refused = loop {
        let new = evaluation();
        let id = new.spec.id;
        if store.create(vec![new]).await.is_err() {
            break id;
        }
    };
    assert!(store.get(None, refused).await.is_err(), "half an evaluation is there");
    let before = queue.statistics().await.unwrap().all.waiting;
    pragma(&opened, "max_page_count", 1 << 30).await;
    queue.enqueue(tasks(1)).await.unwrap();
    assert_eq!(queue.statistics().await.unwrap().all.waiting, before + 1);
    drop((queue, store, opened));
    let queue = super::queue(&open(&folder)).await;
    let there = leased(&queue).await;
    assert_eq!(u64::try_from(there.len()).unwrap(), before + 1);
    assert_eq!(there[..10], ids(&kept));
}

#[tokio::test]
async fn a_database_that_cannot_be_written_to_is_told_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&folder);
    let store = store(&opened);
    let new = evaluation();
    let id = new.spec.id;
    store.create(vec![new]).await.unwrap();
    pragma(&opened, "query_only", 1).await;
    let error = store.create(vec![evaluation()]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.hint().is_some_and(|hint| hint.contains("written")), "{error:?}");
    assert!(store.get(None, id).await.is_ok());
    let tested = crucible_core::Component::self_test(&store).await;
    assert!(!tested.is_healthy(), "{tested:?}");
}

#[tokio::test]
async fn one_process_at_a_time_serves_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&folder);
    let error = SqliteFolder::open(&path(&folder)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("another process"), "{error}");
    drop(opened);
    drop(open(&folder));
}

#[tokio::test]
async fn a_later_version_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    pragma(&open(&folder), "user_version", 99).await;
    let database = path(&folder).as_path().join("crucible.db");
    let before = fs::read(&database).unwrap();
    let error = SqliteFolder::open(&path(&folder)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("version 99"), "{error}");
    assert_eq!(fs::read(&database).unwrap(), before);
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    pragma(&open(&folder), "application_id", 7).await;
    let error = SqliteFolder::open(&path(&folder)).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    fs::set_permissions(path(&folder).as_path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(SqliteFolder::open(&path(&folder)).unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_damaged_database_is_not_opened_and_a_check_says_so() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = store(&open(&folder));
        for _ in 0..50 {
            store.create((0..10).map(|_| evaluation()).collect()).await.unwrap();
        }
    }
    let store = store(&open(&folder));
    let database = path(&folder).as_path().join("crucible.db");
    let mut bytes = fs::read(&database).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    fs::write(&database, bytes).unwrap();
    let seen = store.check().await.unwrap();
    assert!(!seen.damage.is_empty());
    drop(store);
    let error = SqliteFolder::open(&path(&folder)).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

/// A copy of a folder that is being served, as a crash would leave it.
fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for name in ["crucible.db", "crucible.db-wal"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// What a log leaves of so many transactions of `AT_ONCE` tasks after something was done to what was written of it: whole
/// transactions, the first ones, and how many.
async fn left_after(harm: impl FnOnce(&mut Vec<u8>)) -> usize {
    const TRANSACTIONS: usize = 8;
    const AT_ONCE: usize = 5;
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&folder);
    let queue = queue(&opened).await;
    let mut brought: Vec<EvaluationId> = Vec::new();
    for _ in 0..TRANSACTIONS {
        let tasks = tasks(AT_ONCE);
        brought.extend(ids(&tasks));
        queue.enqueue(tasks).await.unwrap();
    }
    let crashed = folder.path().join("crashed");
    copy(path(&folder).as_path(), &crashed);
    let log = crashed.join("crucible.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // Its header, and whole pages with theirs.
    bytes.truncate(32 + (written - 32).div_ceil(24 + 4096) * (24 + 4096));
    harm(&mut bytes);
    fs::write(&log, bytes).unwrap();
    let Ok(opened) = SqliteFolder::open(&HostPath::new(&crashed)) else {
        // The migration was in the log, too: without it there is nothing to be served.
        return 0;
    };
    let there = leased(&super::queue(&opened).await).await;
    assert_eq!(there.len() % AT_ONCE, 0, "half a transaction is there");
    assert_eq!(there, brought[..there.len()]);
    assert_eq!(store(&opened).check().await.unwrap().damage, Vec::<String>::new());
    there.len() / AT_ONCE
}

#[tokio::test]
async fn without_harm_the_log_gives_everything() {
    assert_eq!(left_after(|_| ()).await, 8);
    // What is behind the written part is nothing, or of an earlier round.
    assert_eq!(left_after(|bytes| bytes.resize(bytes.len() + 100_000, 0)).await, 8);
    assert_eq!(left_after(|bytes| bytes.extend_from_within(32..32 + 24 + 4096)).await, 8);
}

#[tokio::test]
async fn the_log_has_its_full_length_from_the_start_where_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let opened = open(&folder);
    let log = path(&folder).as_path().join("crucible.db-wal");
    let length = || fs::metadata(&log).unwrap().len();
    let full = length();
    assert!(full > 16_000_000, "{full}");
    store(&opened).create((0..200).map(|_| evaluation()).collect()).await.unwrap();
    assert_eq!(length(), full);
}

#[tokio::test]
async fn a_damaged_last_page_of_the_log_costs_the_last_transaction_and_no_more() {
    let damage = |bytes: &mut Vec<u8>| {
        let place = bytes.len() - 2000;
        bytes[place] ^= 0xff;
    };
    assert_eq!(left_after(damage).await, 7);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_cut_log_leaves_whole_transactions(part in 0.0..1.0_f64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a part of a length")]
        let cut = |bytes: &mut Vec<u8>| bytes.truncate((bytes.len() as f64 * part) as usize);
        prop_assert!(runtime.block_on(left_after(cut)) <= 8);
    }
}
