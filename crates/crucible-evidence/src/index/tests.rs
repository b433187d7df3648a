//! What covers a run, and what doesn't.

use super::*;
use crate::attest;
use crate::fingerprint::tests::{Described, layers};
use crate::node::tests::made_up;
use crate::predicate::tests::suite;
use crucible_core::{Layer, LayerState, Layers, Policy, SuiteResult};
use std::fs;
use std::path::Path;

struct Bench {
    root: tempfile::TempDir,
    folder: EvidenceFolder,
    backend: Described,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        made_up(&root.path().join("node"), &[]);
        let folder = EvidenceFolder::new(HostPath::new(root.path().join("evidence")));
        Self { root, folder, backend: Described::default() }
    }

    fn node(&self) -> HostPath {
        HostPath::new(self.root.path().join("node"))
    }

    fn index(&self) -> StoredAttestations {
        StoredAttestations::new(self.folder.clone(), self.node())
    }

    fn attest(&self, after: u64) -> String {
        let (layers, policy) = (layers(), Policy::default());
        let protection = Protection { backend: &self.backend, layers: &layers, policy: &policy };
        let suite = SuiteResult { started: suite().started + Duration::from_secs(after), ..suite() };
        let node = Node::read(&self.node()).unwrap();
        attest(&self.folder, node, &protection, &suite).unwrap().statement.id.to_string()
    }

    fn ask(&self, index: &StoredAttestations, layers: &Layers, policy: &Policy) -> Option<String> {
        index.latest(&Protection { backend: &self.backend, layers, policy })
    }

    fn ask_usual(&self, index: &StoredAttestations) -> Option<String> {
        self.ask(index, &layers(), &Policy::default())
    }
}

/// Makes a folder look as if it had been changed long ago.
fn settle(folder: &Path) {
    let file = fs::File::open(folder).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

#[test]
fn a_run_is_covered_by_the_latest_attestation_of_exactly_what_protects_it() {
    let bench = Bench::new();
    let index = bench.index();
    assert_eq!(bench.ask_usual(&index), None);
    assert!(!bench.folder.path().as_path().exists(), "asking made something");
    let first = bench.attest(0);
    assert_eq!(bench.ask_usual(&index), Some(first));
    let second = bench.attest(60);
    assert_eq!(bench.ask_usual(&index), Some(second.clone()));
    assert_eq!(bench.ask_usual(&bench.index()), Some(second.clone()));
    // Anything else isn't covered.
    let mut weaker = layers();
    weaker.insert(Layer::Seccomp, LayerState::absent("", ""));
    assert_eq!(bench.ask(&index, &weaker, &Policy::default()), None);
    assert_eq!(bench.ask(&index, &layers(), &Policy::strict()), None);
    let mut own_id = layers();
    own_id.insert(Layer::DistinctUid, LayerState::active("another one"));
    assert_eq!(bench.ask(&index, &own_id, &Policy::default()), Some(second));
}

#[test]
fn after_a_kernel_update_nothing_is_covered_any_more() {
    let bench = Bench::new();
    let id = bench.attest(0);
    assert_eq!(bench.ask_usual(&bench.index()), Some(id));
    made_up(bench.node().as_path(), &[("proc/sys/kernel/osrelease", "6.1.0-19\n")]);
    assert_eq!(bench.ask_usual(&bench.index()), None);
}

#[test]
fn an_answer_is_remembered_until_the_folder_changes() {
    let bench = Bench::new();
    let id = bench.attest(0);
    let index = bench.index();
    let attestations = bench.folder.path().as_path().join("attestations");
    let folder = fs::read_dir(attestations).unwrap().next().unwrap().unwrap().path();
    settle(&folder);
    assert_eq!(bench.ask_usual(&index), Some(id.clone()));
    // Neither the node nor the files are read again.
    fs::remove_dir_all(bench.node().as_path()).unwrap();
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, "").unwrap();
    assert_eq!(bench.ask_usual(&index), Some(id.clone()));
    // A change of the folder has them looked at.
    fs::write(folder.join("x"), "").unwrap();
    assert_eq!(bench.ask_usual(&index), None);
    fs::write(&file, bytes).unwrap();
    assert_eq!(bench.ask_usual(&index), Some(id));
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(bench.ask_usual(&index), None);
}

#[test]
fn without_the_key_or_the_node_nothing_is_covered() {
    let bench = Bench::new();
    bench.attest(0);
    fs::remove_dir_all(bench.folder.path().as_path().join("key")).unwrap();
    assert_eq!(bench.ask_usual(&bench.index()), None);
    bench.folder.signing_key().unwrap();
    assert_eq!(bench.ask_usual(&bench.index()), None, "another key than the one that signed");
    let id = bench.attest(0);
    assert_eq!(bench.ask_usual(&bench.index()), Some(id));
    fs::remove_dir_all(bench.node().as_path()).unwrap();
    assert_eq!(bench.ask_usual(&bench.index()), None);
}

#[test]
fn many_kinds_of_protection_are_told_apart() {
    let bench = Bench::new();
    let id = bench.attest(0);
    let index = bench.index();
    for number in 0..3 * MOST_KNOWN {
        let policy = Policy { name: number.to_string(), ..Policy::default() };
        assert_eq!(bench.ask(&index, &layers(), &policy), None);
    }
    assert_eq!(bench.ask_usual(&index), Some(id));
    assert!(index.known.lock().unwrap().len() <= MOST_KNOWN);
}
