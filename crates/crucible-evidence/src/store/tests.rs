//! What the store keeps, finds and passes over.

use super::*;
use crate::attest;
use crate::fingerprint::Protection;
use crate::fingerprint::tests::{Described, layers, node};
use crate::folder::EvidenceFolder;
use crate::key::SigningKey;
use crate::predicate::tests::suite;
use crucible_core::{Policy, SuiteResult};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

struct Bench {
    _root: tempfile::TempDir,
    folder: EvidenceFolder,
    store: AttestationStore,
    key: PublicKey,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::new(HostPath::new(root.path().join("evidence")));
        let key = folder.signing_key().unwrap().public_key();
        Self { store: folder.store(), _root: root, folder, key }
    }

    /// Attests the same suite, run that many seconds after the first one.
    fn attest(&self, after: u64, policy: &Policy) -> StoredAttestation {
        let (backend, layers) = (Described::default(), layers());
        let protection = Protection { backend: &backend, layers: &layers, policy };
        let suite = SuiteResult { started: suite().started + Duration::from_secs(after), ..suite() };
        attest(&self.folder, node(), &protection, &suite).unwrap()
    }

    fn latest(&self, fingerprint: Sha256Digest) -> (Option<StoredAttestation>, usize) {
        let (found, broken) = self.store.latest(fingerprint, &self.key).unwrap();
        (found, broken.len())
    }
}

#[test]
fn the_latest_one_of_each_fingerprint_is_found() {
    let bench = Bench::new();
    let (default, strict) = (Policy::default(), Policy::strict());
    let middle = bench.attest(100, &default);
    let last = bench.attest(5000, &default);
    let first = bench.attest(0, &default);
    let other = bench.attest(9000, &strict);
    assert_ne!(other.statement.subject, last.statement.subject);
    assert_eq!(bench.latest(last.statement.subject), (Some(last.clone()), 0));
    assert_eq!(bench.latest(other.statement.subject), (Some(other.clone()), 0));
    assert_eq!(bench.latest(Sha256Digest::of(b"")), (None, 0));
    let listing = bench.store.list(&bench.key).unwrap();
    assert_eq!(listing.attestations, [other, last, middle, first]);
    assert_eq!(listing.broken, []);
    let again = bench.attest(100, &default);
    assert_eq!(bench.store.list(&bench.key).unwrap().attestations.len(), 4, "{again:?} was there already");
}

#[test]
fn nothing_that_lies_there_is_believed_for_its_name_or_place() {
    let bench = Bench::new();
    let policy = Policy::default();
    let good = bench.attest(0, &policy);
    let (path, subject) = (good.path.as_path(), good.statement.subject);
    let (folder, bytes) = (path.parent().unwrap(), fs::read(path).unwrap());
    let own = path.file_name().unwrap().to_str().unwrap();
    // Later by its name, as an old one would be put there to pass for a new one.
    fs::write(folder.join(own.replacen("2027", "2028", 1)), &bytes).unwrap();
    fs::write(folder.join("99990101T000000000Z-x.json"), b"{}").unwrap();
    fs::write(folder.join("99990101T000000000Z-y.json"), b"").unwrap();
    // By another key.
    let stranger = Bench::new();
    let theirs = stranger.attest(60, &policy);
    assert_eq!(theirs.statement.subject, subject);
    fs::copy(theirs.path.as_path(), folder.join(theirs.path.as_path().file_name().unwrap())).unwrap();
    // About something else.
    let other = bench.attest(900, &Policy::strict());
    let name = other.path.as_path().file_name().unwrap();
    fs::copy(other.path.as_path(), folder.join(name)).unwrap();
    // What was cut off in the middle has a hidden name, and isn't even looked at.
    fs::write(folder.join(".draft-1-1"), &bytes[..100]).unwrap();
    assert_eq!(bench.latest(subject), (Some(good.clone()), 5));
    fs::write(bench.folder.path().as_path().join("attestations/notes"), "").unwrap();
    let listing = bench.store.list(&bench.key).unwrap();
    assert_eq!(listing.attestations, [other, good.clone()]);
    assert_eq!(listing.broken.len(), 6, "{:?}", listing.broken);
    assert!(listing.broken.iter().all(|file| !file.reason.is_empty()));
    // With another key none of it counts.
    let stranger = SigningKey::from_seed(&[9; 32]).public_key();
    assert_eq!(bench.store.latest(subject, &stranger).unwrap().0, None);
    assert_eq!(bench.store.list(&stranger).unwrap().attestations, []);
}

#[test]
fn a_changed_file_counts_for_nothing() {
    let bench = Bench::new();
    let good = bench.attest(0, &Policy::default());
    let mut bytes = fs::read(good.path.as_path()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(good.path.as_path(), bytes).unwrap();
    assert_eq!(bench.latest(good.statement.subject), (None, 1));
}

#[test]
fn a_store_that_others_may_enter_is_refused() {
    let bench = Bench::new();
    let good = bench.attest(0, &Policy::default());
    fs::set_permissions(good.path.as_path().parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
    let error = bench.store.latest(good.statement.subject, &bench.key).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(bench.store.list(&bench.key).unwrap().broken.len(), 1);
}

#[test]
fn what_this_node_did_not_sign_is_not_stored() {
    let bench = Bench::new();
    let stranger = SigningKey::from_seed(&[9; 32]).public_key();
    let good = bench.attest(0, &Policy::default());
    let bytes = fs::read(good.path.as_path()).unwrap();
    let error = bench.store.store(&bytes, &stranger).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(bench.store.store(b"{}", &bench.key).unwrap_err().kind(), ErrorKind::InvalidInput);
}
