//! Tests of what is kept of held evaluations: it comes back as it was, one decision counts, and no moment is a bad one to be
//! killed in.

use super::*;
use crucible_core::{
    AdmissionRecord, BehaviorKind, Decision, DecisionReason, Finding, GuestPath, InputFile, Limits, Policy, Region,
    ReviewDecision, Severity, Tripwire,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, UNIX_EPOCH};

struct Bench {
    _root: tempfile::TempDir,
    folder: PathBuf,
    store: FileReviews,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/reviews");
        let store = FileReviews::new(HostPath::new(folder.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { _root: root, folder, store, runtime }
    }

    fn hold(&self, held: &HeldEvaluation) -> EvaluationId {
        self.runtime.block_on(self.store.hold(held)).unwrap();
        held.spec.id
    }

    fn get(&self, id: EvaluationId) -> Result<HeldRecord> {
        self.runtime.block_on(self.store.get(id))
    }

    fn list(&self) -> HeldList {
        self.runtime.block_on(self.store.list()).unwrap()
    }

    fn decide(&self, id: EvaluationId, decision: ReviewDecision) -> Result<()> {
        self.runtime.block_on(self.store.decide(id, review(decision, "ada")))
    }

    fn claim(&self, id: EvaluationId) -> Result<Box<dyn ReviewClaim>> {
        self.runtime.block_on(self.store.claim(id))
    }
}

fn review(decision: ReviewDecision, by: &str) -> Review {
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    Review { decision, by: by.to_owned(), reason: "it is a test".to_owned(), at }
}

fn held(code: &[u8]) -> HeldEvaluation {
    let program = Program::Source { language: "python".to_owned(), code: code.to_vec(), args: vec!["a b".to_owned()] };
    let path = GuestPath::parse("data/x").unwrap();
    let spec = EvaluationSpec {
        id: EvaluationId::generate(),
        program,
        backend: "jail".to_owned(),
        stdin: b"\x00\xff".to_vec(),
        files: vec![InputFile { path: path.clone(), content: vec![0xfe, 0], executable: true }],
        collect: vec![path],
        tripwires: vec!["credentials".parse::<Tripwire>().unwrap(), "environment=TOKEN".parse().unwrap()],
        env: BTreeMap::from([("A".to_owned(), "ü\n".to_owned())]),
        limits: Limits::default(),
        policy: Policy { limits: Some(Limits::default()), ..Policy::strict() },
        review: None,
        label: Some("nightly".parse().unwrap()),
    };
    let finding = Finding {
        rule: "net.socket".to_owned(),
        severity: Severity::High,
        group: "network".to_owned(),
        file: "main.py\u{1b}".to_owned(),
        region: Region { line: 1, column: 2, end_line: 3, end_column: 4 },
        message: "opens a socket".to_owned(),
        does: "opens a socket".to_owned(),
        foreshadows: [BehaviorKind::ConnectionRefused].into(),
    };
    let reason = DecisionReason {
        decision: Decision::Hold,
        clause: "before.hold".to_owned(),
        message: "main.py:1: net.socket (high): opens a socket".to_owned(),
    };
    let admission = AdmissionRecord {
        decision: Decision::Hold,
        reasons: vec![reason],
        review: None,
        rules_digest: Some("d1".to_owned()),
    };
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_001);
    HeldEvaluation { spec, findings: vec![finding], admission, at }
}

fn modes(folder: &std::path::Path) -> Vec<u32> {
    let mut found = vec![fs::metadata(folder).unwrap().permissions().mode() & 0o777];
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(modes(&entry.path()));
        } else {
            found.push(entry.metadata().unwrap().permissions().mode() & 0o777);
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn what_is_held_comes_back_as_it_was_and_only_its_owner_can_read_it() {
    let bench = Bench::new();
    let held = held(b"print(1)\xff");
    assert_eq!(bench.list(), HeldList::default());
    let id = bench.hold(&held);
    assert_eq!(bench.get(id).unwrap(), HeldRecord { held: held.clone(), state: HeldState::Held });
    let HeldList { held: listed, unreadable } = bench.list();
    let expected = HeldSummary {
        id,
        at: held.at,
        policy: "strict".to_owned(),
        program: "python".to_owned(),
        findings: 1,
        admission: held.admission.clone(),
        state: HeldState::Held,
        review: None,
    };
    assert_eq!((listed, unreadable), (vec![expected], vec![]));
    assert_eq!(modes(&bench.folder), [0o600, 0o700]);
    assert_eq!(bench.runtime.block_on(bench.store.hold(&held)).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn one_decision_counts_and_an_approval_is_for_one_run() {
    let bench = Bench::new();
    let id = bench.hold(&held(b"1"));
    assert_eq!(bench.claim(id).err().unwrap().kind(), ErrorKind::Held);
    bench.decide(id, ReviewDecision::Approved).unwrap();
    let error = bench.decide(id, ReviewDecision::Rejected).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("ada has approved"), "{error}");
    let record = bench.get(id).unwrap();
    let approved = Some(review(ReviewDecision::Approved, "ada"));
    assert_eq!((record.state, &record.held.spec.review), (HeldState::Approved, &approved));
    assert_eq!(record.held.admission.review, approved);

    let claim = bench.claim(id).unwrap();
    assert_eq!(claim.spec().review, approved);
    assert!(bench.claim(id).err().unwrap().to_string().contains("being run already"));
    assert!(bench.runtime.block_on(bench.store.remove(id)).unwrap_err().to_string().contains("being run"));
    drop(claim);
    // It came to nothing, so it may be run after all.
    bench.runtime.block_on(bench.claim(id).unwrap().finish()).unwrap();
    assert_eq!(bench.get(id).unwrap().state, HeldState::Finished);
    assert!(bench.claim(id).err().unwrap().to_string().contains("has run already"));

    let other = bench.hold(&held(b"2"));
    bench.decide(other, ReviewDecision::Rejected).unwrap();
    assert!(bench.claim(other).err().unwrap().to_string().contains("ada has rejected"));
    assert_eq!(bench.list().held.len(), 2);
    bench.runtime.block_on(bench.store.remove(id)).unwrap();
    assert_eq!(bench.get(id).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(bench.list().held.iter().map(|summary| summary.id).collect::<Vec<_>>(), [other]);
}

#[test]
fn of_many_who_decide_at_once_exactly_one_does() {
    let bench = Bench::new();
    for _ in 0..20 {
        let id = bench.hold(&held(b"1"));
        let (start, store) = (Barrier::new(6), &bench.store);
        let decide = |number: usize| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let decision = if number.is_multiple_of(2) { ReviewDecision::Approved } else { ReviewDecision::Rejected };
            start.wait();
            runtime.block_on(store.decide(id, review(decision, &format!("person {number}")))).is_ok()
        };
        let won: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|number| scope.spawn(move || decide(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        let by = bench.get(id).unwrap().held.spec.review.unwrap().by;
        assert_eq!(by, format!("person {}", won.iter().position(|won| *won).unwrap()));
    }
}

#[test]
fn a_review_says_who_and_why_in_one_line_each() {
    let bench = Bench::new();
    let id = bench.hold(&held(b"1"));
    let good = review(ReviewDecision::Approved, "ada");
    for bad in [
        Review { by: " ".to_owned(), ..good.clone() },
        Review { reason: String::new(), ..good.clone() },
        Review { reason: "a\nb".to_owned(), ..good.clone() },
        Review { by: "x\u{1b}[2J".to_owned(), ..good.clone() },
        Review { by: "x".repeat(MOST_NAME + 1), ..good.clone() },
        Review { reason: "x".repeat(MOST_REASON + 1), ..good },
    ] {
        assert_eq!(bench.runtime.block_on(bench.store.decide(id, bad)).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert_eq!(bench.get(id).unwrap().state, HeldState::Held);
}

#[test]
fn garbage_is_told_and_stands_in_nobodys_way() {
    let bench = Bench::new();
    let id = bench.hold(&held(b"1"));
    let broken = |name: &str, file: &str, bytes: &[u8]| {
        let id = bench.hold(&held(name.as_bytes()));
        let path = bench.folder.join(id.to_string()).join(file);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        id
    };
    let unread = [
        broken("a", SCREENING, b"{"),
        broken("b", SCREENING, b"[[[[[["),
        broken("c", SCREENING, &fs::read(bench.folder.join(id.to_string()).join(SCREENING)).unwrap()),
        broken("d", SCREENING, br#"{"format":"crucible.held.v2"}"#),
        broken("e", REVIEW, b"\xff\xfe"),
    ];
    let no_program = broken("f", SPECIFICATION, b"null");
    let nothing = EvaluationId::generate();
    fs::create_dir(bench.folder.join(nothing.to_string())).unwrap();
    fs::set_permissions(bench.folder.join(nothing.to_string()), Permissions::from_mode(0o700)).unwrap();
    fs::write(bench.folder.join("notes.txt"), "x").unwrap();
    fs::create_dir(bench.folder.join(".draft-x")).unwrap();
    symlink(bench.folder.join(id.to_string()), bench.folder.join(EvaluationId::generate().to_string())).unwrap();
    let open = bench.hold(&held(b"g"));
    fs::set_permissions(bench.folder.join(open.to_string()), Permissions::from_mode(0o755)).unwrap();

    let HeldList { held: listed, unreadable } = bench.list();
    let listed: Vec<_> = listed.iter().map(|summary| summary.id).collect();
    assert_eq!(listed, [id, no_program]);
    assert_eq!(unreadable.len(), unread.len() + 4, "{unreadable:#?}");
    for id in unread {
        assert!(unreadable.iter().any(|line| line.starts_with(&id.to_string())), "{unreadable:#?}");
        assert_eq!(bench.get(id).unwrap_err().kind(), ErrorKind::Io);
    }
    assert!(bench.get(no_program).unwrap_err().to_string().contains("specification.json can't be read"));
    assert!(!bench.runtime.block_on(bench.store.self_test()).is_healthy());
    bench.decide(id, ReviewDecision::Approved).unwrap();
}

#[test]
fn a_folder_that_others_may_enter_is_not_used() {
    let bench = Bench::new();
    bench.hold(&held(b"1"));
    fs::set_permissions(&bench.folder, Permissions::from_mode(0o770)).unwrap();
    let error = bench.runtime.block_on(bench.store.list()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("chmod 700"), "{error}");
    let error = bench.runtime.block_on(bench.store.hold(&held(b"2"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_written() {
    let bench = Bench::new();
    let mut held = held(b"1");
    held.findings[0].message = "x".repeat(usize::try_from(MOST_SCREENING).unwrap());
    assert_eq!(bench.runtime.block_on(bench.store.hold(&held)).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(!bench.folder.exists());
}

/// The variable that makes the test below one who holds and decides without end.
const VICTIM: &str = "HOLDS_REVIEWS_IN";

#[test]
fn whoever_is_killed_leaves_nothing_by_halves() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        let store = FileReviews::new(HostPath::new(folder));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        loop {
            let held = held(&[b'x'; 100_000]);
            runtime.block_on(store.hold(&held)).unwrap();
            runtime.block_on(store.decide(held.spec.id, review(ReviewDecision::Approved, "ada"))).unwrap();
            let claim = runtime.block_on(store.claim(held.spec.id)).unwrap();
            runtime.block_on(claim.finish()).unwrap();
        }
    }
    let bench = Bench::new();
    let mut seen = 0;
    for round in 0..12_u64 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "file::review::tests::whoever_is_killed_leaves_nothing_by_halves"])
            .env(VICTIM, &bench.folder)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        // Until it is at work, and then a little longer each time.
        while bench.list().held.len() <= seen {
            assert!(std::time::Instant::now() < deadline, "it holds nothing");
            std::thread::yield_now();
        }
        let more = std::time::Instant::now() + Duration::from_micros(700 * round);
        while std::time::Instant::now() < more {}
        victim.kill().unwrap();
        victim.wait().unwrap();
        let HeldList { held, unreadable } = bench.list();
        assert_eq!(unreadable, [""; 0]);
        seen = held.len();
        for summary in held {
            let record = bench.get(summary.id).unwrap();
            if record.state == HeldState::Approved {
                // Whoever ran it is gone, and its claim with it.
                drop(bench.claim(summary.id).unwrap());
            }
        }
    }
    assert!(seen >= 12);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let id = EvaluationId::generate();
        prop_assert!(Screening::read(&bytes, id).is_err());
        prop_assert!(documents::read_specification(&bytes, id).is_err());
        prop_assert!(documents::read_review(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_is_an_error_or_another_record(at in 0_usize..2000, byte in any::<u8>()) {
        let held = held(b"print(1)");
        let mut bytes = documents::write_specification(&held.spec).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _either = documents::read_specification(&bytes, held.spec.id);
    }

    #[test]
    fn every_program_comes_back(code in proptest::collection::vec(any::<u8>(), 0..64), argv in proptest::collection::vec(".*", 1..4)) {
        let held = held(&code);
        let command = EvaluationSpec { program: Program::Command { argv }, label: None, ..held.spec.clone() };
        for spec in [held.spec, command] {
            let bytes = documents::write_specification(&spec).unwrap();
            prop_assert_eq!(documents::read_specification(&bytes, spec.id).unwrap(), spec);
        }
    }
}
