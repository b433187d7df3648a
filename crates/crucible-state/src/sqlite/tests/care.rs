//! Retention, backups and looking through everything.

use super::{open, path, store};
use crate::sqlite::{SqliteFolder, SqliteStore};
use bytes::Bytes;
use crucible_core::{
    Change, Document, ErrorKind, EvaluationId, FinalState, GlobalNumber, HostPath, KeyHash, KeyId, KeyRecord, KeyStore,
    NewEvaluation, ProjectId, ProjectStore, Quotas, Retention, Role, Started, Store, StoreCare, StoreCheck,
};
use crucible_testkit::keeping::{evaluation, event};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn second(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

/// An evaluation that ended then, with an outcome of its own.
async fn ended(store: &SqliteStore, at: u64, bytes: usize) -> EvaluationId {
    let mut new: NewEvaluation = evaluation();
    new.labels.insert("kept".to_owned(), "no".to_owned());
    let id = new.spec.id;
    store.create(vec![new]).await.unwrap();
    let begun = store.start(id, "node".to_owned(), Change::at(second(at))).await.unwrap();
    let Started::Started { token, .. } = begun else { panic!("{begun:?}") };
    // Nothing that compresses well.
    let body: Vec<u8> =
        (0..bytes.div_ceil(32)).flat_map(|n| *blake3::hash(format!("{id}{n}").as_bytes()).as_bytes()).collect();
    let outcome = Some(Document { format: "test.v1".to_owned(), body: Bytes::from(body) });
    let change = Change { outcome, events: vec![event("finished")], ..Change::at(second(at)) };
    store.finish(id, token, FinalState::Finished, change).await.unwrap();
    id
}

#[tokio::test]
async fn what_is_old_is_forgotten_with_all_that_belongs_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    let old = ended(&store, 100, 50_000).await;
    let young = ended(&store, 200, 50_000).await;
    store.create(vec![evaluation()]).await.unwrap();
    let forgotten =
        store.collect_garbage(Retention { finished_before: Some(second(150)), most_bytes: None }).await.unwrap();
    assert_eq!((forgotten.evaluations, forgotten.events, forgotten.blobs), (1, 2, 1));
    assert!(store.get(None, old).await.is_err() && store.get(None, young).await.is_ok());
    assert_eq!(store.check().await.unwrap(), StoreCheck { evaluations: 2, blobs: 1, ..StoreCheck::default() });
    // Numbers aren't given again, even of events that are forgotten.
    let latest = store.latest_event().await.unwrap();
    assert_eq!(latest, GlobalNumber(5));
}

/// Where it is known since it has just ended, and where it is read.
#[tokio::test]
async fn one_that_has_just_ended_is_the_same_as_later_and_goes_when_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let other: ProjectId = "other".parse().unwrap();
    let mut kept = Vec::new();
    {
        let store = store(&open(&folder));
        for bytes in [0, 100, 50_000] {
            let id = ended(&store, 100, bytes).await;
            let found = store.get(None, id).await.unwrap();
            assert_eq!(store.get(Some(&found.summary.project), id).await.unwrap(), found);
            assert_eq!(store.get(Some(&other), id).await.unwrap_err().kind(), ErrorKind::NotFound);
            kept.push((id, found));
        }
    }
    let store = store(&open(&folder));
    for (id, found) in &kept {
        assert_eq!(store.get(None, *id).await.unwrap(), *found);
    }
    let young = ended(&store, 200, 100).await;
    store.collect_garbage(Retention { finished_before: Some(second(300)), most_bytes: None }).await.unwrap();
    for id in kept.into_iter().map(|(id, _)| id).chain([young]) {
        assert_eq!(store.get(None, id).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// Its earlier tries left documents, which the last one doesn't have.
#[tokio::test]
async fn one_that_was_tried_again_ends_with_all_of_its_documents() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    let new = evaluation();
    let id = new.spec.id;
    store.create(vec![new]).await.unwrap();
    let start = async || match store.start(id, "node".to_owned(), Change::at(second(1))).await.unwrap() {
        Started::Started { token, .. } => token,
        other => panic!("{other:?}"),
    };
    let document = |text: &'static str| Some(Document { format: "test.v1".to_owned(), body: Bytes::from(text) });
    let first = start().await;
    store.requeue(id, first, Change { outcome: document("half"), ..Change::at(second(2)) }).await.unwrap();
    let second_try = start().await;
    let change = Change { failure: document("why"), ..Change::at(second(3)) };
    store.finish(id, second_try, FinalState::Dead, change).await.unwrap();
    let found = store.get(None, id).await.unwrap();
    assert_eq!((found.outcome, found.failure), (document("half"), document("why")));
}

#[tokio::test]
async fn what_is_too_much_is_forgotten_from_the_oldest_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    for at in 0..600 {
        ended(&store, at, 17_000).await;
    }
    let waiting = evaluation();
    let id = waiting.spec.id;
    store.create(vec![waiting]).await.unwrap();
    let most_bytes = Some(8 << 20);
    let forgotten = store.collect_garbage(Retention { finished_before: None, most_bytes }).await.unwrap();
    assert!((1..600).contains(&forgotten.evaluations), "{forgotten:?}");
    assert!(store.get(None, id).await.is_ok());
    assert_eq!(store.check().await.unwrap().damage, Vec::<String>::new());
    store.collect_garbage(Retention { finished_before: None, most_bytes: Some(0) }).await.unwrap();
    assert_eq!(store.check().await.unwrap().evaluations, 1);
}

#[tokio::test]
async fn a_backup_can_be_served_and_others_write_on_while_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    let id = ended(&store, 100, 100_000).await;
    let target = HostPath::new(folder.path().join("backup"));
    let (done, written) = tokio::join!(store.backup(&target), store.create(vec![evaluation()]));
    done.unwrap();
    written.unwrap();
    assert!(store.backup(&target).await.is_err(), "a backup took the place of another");
    let whole = store.get(None, id).await.unwrap();
    let copy = super::store(&SqliteFolder::open(&target).unwrap());
    assert_eq!(copy.get(None, id).await.unwrap(), whole);
    assert_eq!(copy.check().await.unwrap().damage, Vec::<String>::new());
    for name in [folder.path().join("backup"), folder.path().join("store")] {
        for file in ["crucible.db", "blobs"] {
            let mode = fs::metadata(name.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file} of {}", name.display());
        }
    }
}

#[tokio::test]
async fn a_check_names_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    let damaged = ended(&store, 100, 50_000).await;
    ended(&store, 100, 50_000).await;
    let blob = |folder: &std::path::Path| {
        let mut files = Vec::new();
        for inner in fs::read_dir(folder.join("blobs")).unwrap() {
            files.extend(fs::read_dir(inner.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
        files
    };
    let files = blob(path(&folder).as_path());
    for file in &files {
        let mut bytes = fs::read(file).unwrap();
        let place = bytes.len() / 2;
        bytes[place] ^= 0x55;
        fs::write(file, bytes).unwrap();
    }
    fs::write(path(&folder).as_path().join("blobs/.draft-left"), b"half").unwrap();
    let seen = store.check().await.unwrap();
    assert_eq!((seen.damage.len(), seen.orphans), (2, 1), "{seen:?}");
    assert!(store.get(None, damaged).await.unwrap_err().to_string().contains("damaged"));
    store.collect_garbage(Retention::default()).await.unwrap();
    assert_eq!(store.check().await.unwrap().orphans, 0);
}

#[tokio::test]
async fn keys_are_found_by_their_hash_until_they_are_revoked_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    let key = KeyRecord {
        id: KeyId::generate(),
        project: ProjectId::default(),
        hash: KeyHash([7; 32]),
        role: Role::Submitter,
        name: "ci".to_owned(),
        created: second(1),
        revoked: None,
        last_used: None,
    };
    store.add_key(key.clone()).await.unwrap();
    let other = KeyRecord { id: KeyId::generate(), ..key.clone() };
    assert!(store.add_key(other).await.is_err(), "two keys have one hash");
    assert_eq!(store.find_key(key.hash).await.unwrap(), Some(key.clone()));
    assert_eq!(store.find_key(KeyHash([8; 32])).await.unwrap(), None);
    store.note_key_uses(vec![(key.id, second(5)), (key.id, second(3))]).await.unwrap();
    store.revoke_key(key.id, second(9)).await.unwrap();
    store.revoke_key(key.id, second(10)).await.unwrap();
    assert!(store.revoke_key(KeyId::generate(), second(9)).await.is_err());
    let seen = KeyRecord { revoked: Some(second(9)), last_used: Some(second(5)), ..key };
    let of_project = store.keys(Some(&ProjectId::default())).await.unwrap();
    assert_eq!(of_project, store.keys(None).await.unwrap());
    assert_eq!(of_project, [seen]);
}

#[tokio::test]
async fn a_projects_quotas_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    let project: ProjectId = "team".parse().unwrap();
    assert_eq!(store.quotas(&project).await.unwrap(), None);
    let quotas = Quotas { most_running: Some(2), most_queued: None, most_per_day: Some(1 << 40) };
    store.set_quotas(&project, Quotas::default()).await.unwrap();
    store.set_quotas(&project, quotas).await.unwrap();
    assert_eq!(store.quotas(&project).await.unwrap(), Some(quotas));
    assert_eq!(store.projects().await.unwrap(), [(project, quotas)]);
}
