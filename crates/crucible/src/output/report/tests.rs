//! The report of a run: what is in it, and what can't get into it.

use super::*;
use crucible_core::{
    Anomaly, Behavior, BehaviorKind, DecisionReason, EvaluationId, Evidence, Isolation, Monitoring, Output, Region,
    Source, Start, Timings, Usage, ValidityReason,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn outcome() -> Outcome {
    Outcome {
        id: EvaluationId::generate(),
        backend: "jail".to_owned(),
        language: Some("python".to_owned()),
        status: Status::Exited { code: 0 },
        exit_code: Some(0),
        signal: None,
        stdout: Output::default(),
        stderr: Output::default(),
        files: Vec::new(),
        files_refused: Vec::new(),
        usage: Usage {
            wall: Duration::from_millis(31),
            cpu: Duration::from_millis(12),
            memory_peak_bytes: Some(9 << 20),
            processes_peak: None,
        },
        timings: Timings::default(),
        limits_observed: BTreeSet::new(),
        admission: AdmissionRecord::unexamined(),
        findings: Vec::new(),
        behavior: Vec::new(),
        monitoring: Monitoring::new(),
        samples: Vec::new(),
        anomalies: Vec::new(),
        baseline: None,
        tripwires: Vec::new(),
        validity: Validity::Valid,
        validity_reasons: BTreeSet::new(),
        evidence: Evidence {
            isolation: Isolation::SharedKernel,
            layers: BTreeMap::new(),
            limits: BTreeMap::new(),
            kernel: String::new(),
            backend_version: String::new(),
            interpreter: None,
            policy: "default".to_owned(),
            policy_hash: String::new(),
            code_hash: String::new(),
            start: Start::default(),
            former_runs: 0,
            posture: None,
            attestation: None,
        },
    }
}

fn finding(severity: Severity, message: &str) -> Finding {
    Finding {
        rule: "net.socket".to_owned(),
        severity,
        group: "network".to_owned(),
        file: "main.py".to_owned(),
        region: Region { line: 3, column: 1, end_line: 3, end_column: 2 },
        message: message.to_owned(),
        does: "imports socket".to_owned(),
        foreshadows: BTreeSet::new(),
    }
}

fn behavior(message: &str) -> Behavior {
    Behavior {
        kind: BehaviorKind::ConnectionRefused,
        name: "127.0.0.1:80".to_owned(),
        source: Source::Claimed,
        count: 1,
        first_at_ms: Some(12.0),
        foretold_by: vec![0],
        message: message.to_owned(),
    }
}

fn plain(outcome: &Outcome) -> String {
    anstream::adapter::strip_str(&text(outcome, &Limits::default())).to_string()
}

#[test]
fn all_parts_of_the_record_are_told() {
    let label = || "gsm8k".parse().unwrap();
    let mut told = outcome();
    told.status = Status::TimedOut;
    told.validity = Validity::SabotageSuspected;
    told.validity_reasons.insert(ValidityReason::TripwireTouched);
    told.admission.rules_digest = Some("aa".to_owned());
    told.admission.reasons.push(DecisionReason {
        decision: Decision::Hold,
        clause: "before.hold".to_owned(),
        message: "main.py:3: a socket".to_owned(),
    });
    told.findings = vec![finding(Severity::Low, "opens a socket"), finding(Severity::Critical, "runs a blob")];
    told.behavior = vec![behavior("imports socket (line 3) and tried to connect to 127.0.0.1:80 at 12 ms, refused")];
    told.baseline = Some(BaselineRecord {
        label: label(),
        runs: 40,
        comparison: Comparison::Compared,
        learnt: Learnt::No { reason: "it stands out".to_owned() },
    });
    told.anomalies.push(Anomaly {
        metric: "cpu_ms".to_owned(),
        value: 1.0,
        median: 0.0,
        score: 9.0,
        runs: 40,
        message: "used 9.1 s of processor time".to_owned(),
    });
    told.monitoring.insert(Watchable::Files, Coverage::Unavailable { reason: "nobody looks".to_owned() });
    let sample = |n: u64| Sample {
        at: Duration::from_millis(50 * n),
        cpu: Duration::from_millis(10 * n * n),
        memory_bytes: Some(n << 20),
        ..Sample::default()
    };
    told.samples = (0..5).map(sample).collect();
    assert_eq!(
        plain(&told),
        "\
crucible: report
  status     timed out: the 10s time limit was reached, after 31 ms
  validity   sabotage suspected: tripwire touched
  decision   allow
    hold (before.hold): main.py:3: a socket
  findings   2
    critical main.py:3  runs a blob [net.socket]
    low      main.py:3  opens a socket [net.socket]
  behaviour  1
    imports socket (line 3) and tried to connect to 127.0.0.1:80 at 12 ms, refused
  baseline   stands out from the 40 earlier runs of 'gsm8k'; not remembered: it stands out
    used 9.1 s of processor time
  used       31 ms of 10s wall-clock time, 12 ms of 10s processor time, 9 MiB of 256MiB memory
    memory     ▁▂▄▆█
    processor  ▂▄▆█
  watched
    processes    not
    system calls not
    network      not
    files        not: nobody looks
    resources    not
"
    );
}

#[test]
fn a_quiet_run_is_short() {
    let text = plain(&outcome());
    for part in ["exited with code 0, after 31 ms", "findings   nobody looked", "behaviour  nothing to tell"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("baseline") && !text.contains("memory     "));
}

#[test]
fn what_there_is_too_much_of_is_counted() {
    let mut flooded = outcome();
    flooded.findings = (0..500).map(|_| finding(Severity::Info, &"x".repeat(5000))).collect();
    flooded.behavior = (0..500).map(|_| behavior("y")).collect();
    let text = plain(&flooded);
    assert_eq!(text.matches("and 480 more, which the JSON outcome has").count(), 2);
    assert!(text.lines().count() < 70 && text.lines().all(|line| line.chars().count() < LONGEST_ENTRY + 10));
}

#[test]
fn curves_are_as_high_as_their_highest_value() {
    assert_eq!(bars(&[0.0, 0.0]), "▁▁");
    assert_eq!(bars(&[0.0, 1.0, 2.0, 4.0, 8.0]), "▁▁▂▄█");
    assert_eq!(bars(&[]), "");
    assert_eq!(bars(&(0..256).map(f64::from).collect::<Vec<_>>()).chars().count(), COLUMNS);
}

proptest! {
    #[test]
    fn no_hostile_text_gets_a_line_of_its_own_or_steers_the_terminal(hostile in "(.|\\x1b|\n|\u{202e}){0,60}") {
        let mut told = outcome();
        told.findings = vec![Finding { file: hostile.clone(), rule: hostile.clone(), ..finding(Severity::High, &hostile) }];
        told.behavior = vec![behavior(&hostile)];
        told.baseline = Some(BaselineRecord {
            label: "a".parse().unwrap(),
            runs: 0,
            comparison: Comparison::Unavailable { reason: hostile.clone() },
            learnt: Learnt::Failed { reason: hostile.clone() },
        });
        told.monitoring.insert(Watchable::Files, Coverage::Sampled { reason: hostile.clone() });
        let lines = text(&outcome(), &Limits::default()).lines().count();
        let text = text(&told, &Limits::default());
        prop_assert_eq!(text.lines().count(), lines + 3);
        // Our own colours are the only sequences.
        let plain = anstream::adapter::strip_str(&text).to_string();
        let ours = |c: char| c == '\n' || !crate::output::terminal::is_control(c);
        prop_assert!(plain.chars().all(ours));
    }
}
