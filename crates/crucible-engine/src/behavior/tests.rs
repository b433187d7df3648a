//! The behaviour list as a whole.

use super::*;
use crucible_core::{Observation, Region, Severity, TouchRecord, TripwireKind};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn finding(file: &str, line: u64, does: &str, foreshadows: &[BehaviorKind]) -> Finding {
    Finding {
        rule: "r".to_owned(),
        severity: Severity::Low,
        group: "network".to_owned(),
        file: file.to_owned(),
        region: Region { line, column: 1, end_line: line, end_column: 2 },
        message: "a message".to_owned(),
        does: does.to_owned(),
        foreshadows: foreshadows.iter().copied().collect(),
    }
}

fn observed(start: Instant, kind: BehaviorKind, name: &str, at_ms: u64, count: u64) -> Observed {
    let at = start + Duration::from_millis(at_ms);
    Observed { first: Observation { kind, name: name.to_owned(), source: Source::Host, at }, count }
}

/// What is made of observations and findings in a program `/work/main.py`.
fn told(observed: &[Observed], started: Instant, findings: &[Finding]) -> Vec<Behavior> {
    let (limits, program) = (Limits::default(), GuestPath::parse("main.py").unwrap());
    let screened = Screened::As { findings, program: Some(&program) };
    behavior(&Seen { observed, started, limits: &limits, reached: &[], tripwires: &[], screened })
}

fn messages(behavior: &[Behavior]) -> Vec<&str> {
    behavior.iter().map(|one| one.message.as_str()).collect()
}

#[test]
fn a_finding_and_what_came_of_it_are_one_sentence() {
    let start = Instant::now();
    let seen = [observed(start, BehaviorKind::ConnectionRefused, "127.0.0.1:80", 12, 1)];
    let findings = [
        finding("main.py", 1, "imports os", &[BehaviorKind::ProcessStarted]),
        finding("main.py", 3, "imports socket", &[BehaviorKind::ConnectionRefused, BehaviorKind::SyscallDenied]),
    ];
    let told = told(&seen, start, &findings);
    assert_eq!(messages(&told), ["imports socket (line 3) and tried to connect to 127.0.0.1:80 at 12 ms, refused"]);
    assert_eq!((told[0].foretold_by.as_slice(), told[0].first_at_ms), (&[1][..], Some(12.0)));
}

#[test]
fn what_no_finding_foretold_is_said_to_come_unannounced_but_only_where_somebody_looked() {
    let start = Instant::now();
    let seen = [observed(start, BehaviorKind::ConnectionRefused, "127.0.0.1:80", 12, 1)];
    let told = told(&seen, start, &[]);
    let expected = "tried to connect to 127.0.0.1:80 at 12 ms, refused; nothing in the source foretold it";
    assert_eq!(messages(&told), [expected]);
    let limits = Limits::default();
    let unscreened = Seen {
        observed: &seen,
        started: start,
        limits: &limits,
        reached: &[],
        tripwires: &[],
        screened: Screened::Not,
    };
    assert_eq!(messages(&behavior(&unscreened)), ["tried to connect to 127.0.0.1:80 at 12 ms, refused"]);
}

#[test]
fn the_program_goes_before_its_files_and_what_fits_the_name_before_what_does_not() {
    let start = Instant::now();
    let kind = BehaviorKind::ProcessStarted;
    let seen = [observed(start, kind, "curl -s x", 1, 1), observed(start, kind, "ls", 2, 1)];
    let findings = [
        finding("lib.py", 9, "calls system with \"curl -s x\"", &[kind]),
        finding("/work/main.py", 4, "calls system with \"rm\"", &[kind]),
        finding("main.py", 5, "calls system with \"curl\"", &[kind]),
    ];
    let both = told(&seen, start, &findings);
    assert_eq!(both[0].foretold_by, [2]);
    assert_eq!(both[1].foretold_by, [1, 2]);
    assert!(both[0].message.starts_with("calls system with \"curl\" (main.py, line 5) and started \"curl -s x\" at"));
    let elsewhere = told(&seen, start, &findings[..1]);
    assert_eq!(elsewhere[0].foretold_by, [0]);
    assert!(elsewhere[0].message.contains("(lib.py, line 9)"));
}

#[test]
fn at_most_three_findings_are_named_and_none_twice() {
    let start = Instant::now();
    let kind = BehaviorKind::SyscallDenied;
    let mut findings: Vec<_> = (1..=9).map(|line| finding("main.py", line, &format!("does {line}"), &[kind])).collect();
    findings[1].does = "does 1".to_owned();
    findings[7].severity = Severity::Critical;
    let told = told(&[observed(start, kind, "mount", 0, 1)], start, &findings);
    assert_eq!(told[0].foretold_by, [0, 2, 7]);
}

#[test]
fn entries_come_in_the_order_of_time_and_those_without_one_last() {
    let start = Instant::now();
    let limits = Limits::default();
    let seen = [
        observed(start, BehaviorKind::SyscallDenied, "mount", 7, 2),
        observed(start, BehaviorKind::ProcessStarted, "ls", 3, 1),
    ];
    let touch = TouchRecord { how: TouchKind::Opened, first_at: Some(Duration::from_millis(5)) };
    let tripwire = |name: &str, touched| TripwireRecord { name: name.to_owned(), kind: TripwireKind::File, touched };
    let all = Seen {
        observed: &seen,
        started: start,
        limits: &limits,
        reached: &[
            Reached { limit: LimitKind::Pids, at: None },
            Reached { limit: LimitKind::Timeout, at: Some(limits.timeout.get()) },
        ],
        tripwires: &[tripwire("/work/key", Some(touch)), tripwire("/work/other", None)],
        screened: Screened::Not,
    };
    let behavior = behavior(&all);
    assert_eq!(
        messages(&behavior),
        [
            "started \"ls\" at 3.0 ms",
            "touched the tripwire /work/key (opened) at 5.0 ms",
            "tried the system call mount 2 times, first at 7.0 ms, refused each time",
            "reached the 10s time limit at 10.0 s",
            "reached the limit of 64 processes",
        ]
    );
    assert_eq!(behavior[4].first_at_ms, None);
}

#[test]
fn many_names_of_one_kind_are_counted_and_push_no_other_kind_out() {
    let start = Instant::now();
    let mut seen: Vec<_> =
        (0..1000).map(|n| observed(start, BehaviorKind::FileOpened, &format!("/f{n}"), n, 2)).collect();
    seen.push(observed(start, BehaviorKind::ConnectionRefused, "127.0.0.1:80", 2000, 1));
    seen.push(observed(start, BehaviorKind::FileOpened, "/f0", 2001, 5));
    let told = told(&seen, start, &[]);
    assert_eq!(told.len(), MOST_NAMES + 2);
    assert_eq!((told[0].name.as_str(), told[0].count, told[0].first_at_ms), ("/f0", 7, Some(0.0)));
    let flooded = told.iter().find(|one| one.kind == BehaviorKind::Flooded).unwrap();
    let beyond = u64::try_from(1000 - MOST_NAMES).unwrap() * 2;
    assert_eq!((flooded.name.as_str(), flooded.count), ("file_opened", beyond));
    assert!(told.iter().any(|one| one.kind == BehaviorKind::ConnectionRefused));
}

#[test]
fn findings_without_end_are_weighed_within_a_bound() {
    let start = Instant::now();
    let seen: Vec<_> = (0..500)
        .map(|n| observed(start, BehaviorKind::ProcessStarted, &format!("a{n} {}", "word ".repeat(60)), n, 1))
        .collect();
    let long = "x".repeat(100_000);
    let findings: Vec<_> =
        (0..5000).map(|line| finding("main.py", line, &long, &[BehaviorKind::ProcessStarted])).collect();
    let before = Instant::now();
    let told = told(&seen, start, &findings);
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert!(told.iter().all(|one| one.message.len() < 4096));
}

proptest! {
    #[test]
    fn whatever_is_seen_every_entry_is_told_once_and_whole(
        seen in proptest::collection::vec((0_usize..9, "[a-c\u{202e}\n\"]{0,3}|\\PC{0,300}", any::<bool>(), any::<u64>(), 0_u64..100), 0..40),
        deeds in proptest::collection::vec((0_usize..9, "\\PC{0,200}", 0_u64..5), 0..10),
    ) {
        let start = Instant::now();
        let kinds: BTreeSet<_> = seen.iter().map(|(kind, ..)| BehaviorKind::ALL[*kind]).collect();
        let seen: Vec<_> = seen.into_iter().map(|(kind, name, claimed, count, at)| {
            let source = if claimed { Source::Claimed } else { Source::Host };
            let mut one = observed(start, BehaviorKind::ALL[kind], &name, at, count);
            one.first.source = source;
            one
        }).collect();
        let findings: Vec<_> =
            deeds.into_iter().map(|(kind, does, line)| finding("main.py", line, &does, &[BehaviorKind::ALL[kind]])).collect();
        let told = told(&seen, start, &findings);
        let keys: BTreeSet<_> = told.iter().map(|one| (one.kind, one.name.clone())).collect();
        prop_assert_eq!(keys.len(), told.len());
        prop_assert_eq!(told.iter().map(|one| one.kind).collect::<BTreeSet<_>>(), kinds);
        prop_assert!(told.windows(2).all(|pair| pair[0].first_at_ms <= pair[1].first_at_ms));
        for one in &told {
            prop_assert!(one.foretold_by.len() <= 3);
            // What wants to connect foretells a connection, refused or made.
            let made = one.kind == BehaviorKind::ConnectionMade;
            let kind = if made { BehaviorKind::ConnectionRefused } else { one.kind };
            prop_assert!(one.foretold_by.iter().all(|index| findings[*index].foreshadows.contains(&kind)));
            prop_assert!(one.message.chars().count() < 1500);
            let steers = |c: char| c.is_control() || c == '\u{202e}';
            prop_assert!(!one.message.chars().any(steers));
            prop_assert!(!one.name.chars().any(char::is_control));
        }
    }
}
