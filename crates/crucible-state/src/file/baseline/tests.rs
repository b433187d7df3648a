//! The store on a real disk: what is kept, what is refused, what a crash and other processes do to it.

use super::*;
use crucible_core::{BehaviorKind, ExitKind, Severity, Tally};
use proptest::prelude::*;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// In a process with this variable, the test of the same name is the one that writes until it is killed.
const WRITER: &str = "CRUCIBLE_TEST_BASELINE_WRITER";

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn profile(wall_us: u64) -> Profile {
    Profile {
        at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_780_000_000_123),
        backend: "jail".to_owned(),
        ended: ExitKind::Failed,
        wall: Duration::from_micros(wall_us),
        cpu: Duration::from_micros(7),
        memory_peak_bytes: Some(u64::MAX),
        processes_peak: None,
        output_bytes: 3,
        behavior: BehaviorKind::ALL
            .into_iter()
            .map(|kind| (kind, Tally { count: u64::MAX, names: u64::MAX }))
            .collect(),
        findings: Severity::ALL.into_iter().map(|severity| (severity, u64::MAX)).collect(),
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

struct Place {
    _root: tempfile::TempDir,
    path: PathBuf,
    store: FileBaselines,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("state/baselines");
    let store = FileBaselines::new(HostPath::new(&path));
    Place { _root: root, path, store }
}

impl Place {
    fn history(&self, text: &str) -> History {
        run(self.store.history(&label(text))).unwrap()
    }

    fn append(&self, text: &str, profile: &Profile) {
        run(self.store.append(&label(text), profile)).unwrap();
    }

    fn file(&self, text: &str) -> PathBuf {
        self.path.join(file_name(&label(text)))
    }

    fn add_bytes(&self, text: &str, bytes: &[u8]) {
        fs::OpenOptions::new().append(true).open(self.file(text)).unwrap().write_all(bytes).unwrap();
    }
}

fn walls(history: &History) -> Vec<u128> {
    history.profiles.iter().map(|profile| profile.wall.as_micros()).collect()
}

#[test]
fn what_is_kept_comes_back_and_labels_are_kept_apart() {
    let place = place();
    assert_eq!(place.history("gsm8k"), History::default());
    assert_eq!(run(place.store.labels()).unwrap(), []);
    assert_eq!(run(place.store.forget(&label("gsm8k"))).unwrap(), None);
    assert!(!place.path.exists(), "looking made something");
    for wall in [1, 2, 3] {
        place.append("gsm8k", &profile(wall));
    }
    place.append("humaneval/12", &profile(9));
    assert_eq!(place.history("gsm8k").profiles, [profile(1), profile(2), profile(3)]);
    assert_eq!(place.history("humaneval/12").profiles, [profile(9)]);
    assert_eq!(place.history("gsm"), History::default());
    let summaries = run(place.store.labels()).unwrap();
    let at = Some(profile(0).at);
    assert_eq!(
        summaries,
        [
            LabelSummary { label: label("gsm8k"), runs: 3, latest: at, broken: 0 },
            LabelSummary { label: label("humaneval/12"), runs: 1, latest: at, broken: 0 },
        ]
    );
    assert_eq!(run(place.store.forget(&label("gsm8k"))).unwrap(), Some(3));
    assert_eq!(place.history("gsm8k"), History::default());
    assert_eq!(place.history("humaneval/12").profiles.len(), 1);
}

#[test]
fn the_longest_profile_fits_in_a_line() {
    let place = place();
    let longest = Profile { backend: "x".repeat(64), processes_peak: Some(u64::MAX), ..profile(u64::MAX) };
    let longest = Profile { cpu: Duration::from_micros(u64::MAX), output_bytes: u64::MAX, ..longest };
    place.append(&"x".repeat(Label::LONGEST), &longest);
    assert_eq!(place.history(&"x".repeat(Label::LONGEST)).profiles, [longest]);
    let longer = Profile { backend: "x".repeat(65), ..profile(1) };
    let error = run(place.store.append(&label("a"), &longer)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn only_the_latest_runs_are_kept_and_the_file_stays_small() {
    let place = place();
    let mut largest = 0;
    for wall in 0..1500 {
        place.append("a", &profile(wall));
        largest = largest.max(fs::metadata(place.file("a")).unwrap().len());
    }
    assert!(largest <= LARGE + 2048, "{largest}");
    let history = place.history("a");
    assert_eq!(history.broken, 0);
    let expected: Vec<u128> = (1300..1500).collect();
    assert_eq!(walls(&history), expected);
    assert_eq!(fs::read_dir(&place.path).unwrap().count(), 2, "something was left beside the file and the lock");
}

#[test]
fn broken_lines_are_passed_over_and_counted() {
    let place = place();
    place.append("a", &profile(1));
    let good = fs::read_to_string(place.file("a")).unwrap();
    let long = format!("{{\"label\":\"{}\"}}\n", "x".repeat(3000));
    for line in [
        "not json\n".to_owned(),
        "\n\n".to_owned(),
        "{}\n".to_owned(),
        "[1]\n".to_owned(),
        long,
        good.replace("\"a\"", "\"b\""),
        good.replace("\"v\":1", "\"v\":2"),
        good.replace("\"wall_us\":1", "\"wall_us\":-1"),
        good.replace("\"wall_us\":1", "\"wall_us\":1e300"),
        good.replace("process_started", "process_stopped"),
        good.replace("\"at_ms\":1780000000123", "\"at_ms\":18446744073709551615"),
    ] {
        place.add_bytes("a", line.as_bytes());
    }
    place.add_bytes("a", b"\xff\xfe\n");
    place.add_bytes("a", &[0; 100]);
    place.append("a", &profile(2));
    let history = place.history("a");
    let read: Vec<_> = walls(&history);
    assert!(read.starts_with(&[1]) && read.ends_with(&[2]), "{read:?}");
    assert!((10..=11).contains(&history.broken), "{}", history.broken);
    assert_eq!(run(place.store.labels()).unwrap()[0].broken, history.broken);
}

#[test]
fn a_line_that_was_never_finished_costs_no_other_line() {
    let place = place();
    place.append("a", &profile(1));
    let whole = fs::read(place.file("a")).unwrap();
    for cut in [1, whole.len() / 2, whole.len() - 1] {
        place.append("a", &profile(1));
        place.add_bytes("a", &whole[..cut]);
        place.append("a", &profile(2));
        let history = place.history("a");
        assert_eq!(walls(&history).last(), Some(&2));
        // Cut before its end, the last one of them is whole nevertheless.
        run(place.store.forget(&label("a"))).unwrap();
        assert!(history.broken <= 1 && history.profiles.len() >= 2, "{cut}: {}", history.broken);
    }
}

#[test]
fn a_file_that_somebody_filled_is_read_within_bounds() {
    let place = place();
    place.append("a", &profile(1));
    place.add_bytes("a", &b"x\n".repeat(4 << 20));
    place.append("a", &profile(2));
    assert_eq!(walls(&place.history("a")), [2]);
    assert!(fs::metadata(place.file("a")).unwrap().len() < LARGE);
}

#[test]
fn labels_beyond_the_bound_are_refused_and_known_ones_are_not() {
    let place = place();
    for number in 0..MOST_LABELS {
        place.append(&format!("l{number}"), &profile(1));
    }
    let error = run(place.store.append(&label("more"), &profile(1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.hint().unwrap().contains("baseline forget"));
    place.append("l7", &profile(2));
    run(place.store.forget(&label("l8"))).unwrap();
    place.append("more", &profile(1));
    assert_eq!(run(place.store.labels()).unwrap().len(), MOST_LABELS);
}

#[test]
fn what_others_can_write_to_is_not_used() {
    let place = place();
    place.append("a", &profile(1));
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let refused = |kind| {
        for error in [
            run(place.store.history(&label("a"))).unwrap_err(),
            run(place.store.append(&label("a"), &profile(2))).unwrap_err(),
            run(place.store.forget(&label("a"))).unwrap_err(),
            run(place.store.labels()).unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(!error.to_string().contains(place.path.to_str().unwrap()), "{error}");
            assert!(error.hint().unwrap().contains(place.path.to_str().unwrap()));
        }
    };
    assert_eq!(fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(place.file("a")).unwrap().permissions().mode() & 0o777, 0o600);
    mode(&place.path, 0o750);
    refused(ErrorKind::Unavailable);
    mode(&place.path, 0o700);
    mode(&place.file("a"), 0o620);
    refused(ErrorKind::Unavailable);
    mode(&place.file("a"), 0o600);
    let elsewhere = place.path.with_file_name("elsewhere");
    fs::rename(place.file("a"), &elsewhere).unwrap();
    symlink(&elsewhere, place.file("a")).unwrap();
    refused(ErrorKind::Unavailable);
    fs::remove_file(place.file("a")).unwrap();
    fs::create_dir(place.file("a")).unwrap();
    let error = run(place.store.history(&label("a"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    fs::remove_dir(place.file("a")).unwrap();
    let whole = place.path.with_file_name("whole");
    fs::rename(&place.path, &whole).unwrap();
    symlink(&whole, &place.path).unwrap();
    refused(ErrorKind::Unavailable);
}

#[test]
fn another_holder_of_the_lock_is_waited_for_and_then_told() {
    let place = place();
    place.append("a", &profile(1));
    let folder = OwnedFolder::open(&place.path).unwrap().unwrap();
    let reader = folder.lock(Hold::ToRead).unwrap();
    assert_eq!(place.history("a").profiles.len(), 1);
    let error = run(place.store.append(&label("a"), &profile(2))).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("another process holds its lock"), "{error}");
    drop(reader);
    place.append("a", &profile(2));
    assert_eq!(place.history("a").profiles.len(), 2);
}

#[test]
fn of_many_writers_at_once_no_line_is_lost_or_torn() {
    let place = place();
    // Close to the bound, so that some of them write the file anew.
    for wall in 0..700 {
        place.append("a", &profile(wall));
    }
    std::thread::scope(|scope| {
        for writer in 1..=8_u64 {
            let place = &place;
            scope.spawn(move || (0..20).for_each(|n| place.append("a", &profile(1_000_000 * writer + n))));
        }
    });
    let history = place.history("a");
    assert_eq!((history.broken, history.profiles.len()), (0, BASELINE_WINDOW));
    let written = walls(&history);
    for writer in 1..=8_u128 {
        let of_it: Vec<_> = written.iter().filter(|wall| **wall / 1_000_000 == writer).collect();
        assert!(of_it.len() == 20 && of_it.is_sorted(), "{of_it:?}");
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_what_it_wrote_before() {
    if let Some(path) = std::env::var_os(WRITER) {
        let store = FileBaselines::new(HostPath::new(PathBuf::from(path)));
        for wall in 1.. {
            run(store.append(&label("a"), &profile(wall))).unwrap();
            println!("{wall}");
        }
    }
    let place = place();
    let mut broken = 0;
    for round in 0..20 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "file::baseline::tests::a_writer_killed_at_any_moment_leaves_what_it_wrote_before",
            ])
            .env(WRITER, &place.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = std::io::BufReader::new(writer.stdout.take().unwrap());
        let mut text = String::new();
        let mut acknowledged = 0_u64;
        // The runner's own lines come before.
        while acknowledged < 150 + 40 * round {
            text.clear();
            assert!(std::io::BufRead::read_line(&mut said, &mut text).unwrap() > 0, "the writer ended by itself");
            acknowledged = text.trim().parse().unwrap_or(acknowledged);
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        for line in std::io::BufRead::lines(said) {
            acknowledged = line.unwrap().trim().parse().unwrap_or(acknowledged);
        }
        let history = place.history("a");
        let last = *walls(&history).last().unwrap();
        assert!(last == u128::from(acknowledged) || last == u128::from(acknowledged) + 1, "{last}, {acknowledged}");
        assert!(history.broken <= broken + 1, "{}", history.broken);
        broken = history.broken;
        place.append("a", &profile(0));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic_and_no_line_is_hidden(
        junk in proptest::collection::vec(any::<u8>(), 0..500), after in proptest::collection::vec(any::<u8>(), 0..500),
    ) {
        let label = label("a");
        let good = line::write(&label, &profile(5)).unwrap();
        let bytes = [junk.as_slice(), b"\n", good.as_bytes(), b"\n", &after].concat();
        let history = Lines::of(&bytes, &label).history();
        prop_assert!(history.profiles.contains(&profile(5)));
        let _found = label_in(&bytes, "x");
        prop_assert_eq!(label_in(&bytes, &file_name(&label)), Some(label));
    }

    #[test]
    fn every_profile_comes_back_as_it_was(
        numbers in proptest::array::uniform6(any::<u64>()), counts in proptest::collection::vec((0_usize..9, any::<u64>()), 0..9),
        at in 0_u64..4_000_000_000_000,
    ) {
        let [wall, cpu, memory, processes, output, findings] = numbers;
        let profile = Profile {
            at: SystemTime::UNIX_EPOCH + Duration::from_millis(at),
            backend: "x\"\n\\é".to_owned(),
            ended: ExitKind::Signaled,
            wall: Duration::from_micros(wall),
            cpu: Duration::from_micros(cpu),
            memory_peak_bytes: (memory % 2 == 0).then_some(memory),
            processes_peak: (processes % 2 == 0).then_some(processes),
            output_bytes: output,
            behavior: counts.iter().map(|(kind, count)| (BehaviorKind::ALL[*kind], Tally { count: *count, names: 1 })).collect(),
            findings: [(Severity::High, findings)].into(),
        };
        let text = line::write(&label("a/b"), &profile).unwrap();
        prop_assert!(!text.contains('\n'));
        prop_assert_eq!(line::read(text.as_bytes(), &label("a/b")), Some(profile));
        prop_assert_eq!(line::read(text.as_bytes(), &label("a/c")), None);
    }
}
