//! The outcome on the wire: exactly the contract's fields, in its order, and nothing of the guest's bytes lost.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_api::v1;
use crucible_core::{
    AdmissionRecord, Anomaly, BaselineRecord, Behavior, BehaviorKind, CollectedFile, Comparison, Coverage, Decision,
    DecisionReason, Enforcement, EvaluationId, Evidence, Finding, GuestPath, Isolation, Layer, LayerState, Learnt,
    LimitKind, Monitoring, Outcome, Output, PostureFact, PostureRecord, PostureState, PostureSummary, RefusedFile,
    Region, Review, ReviewDecision, Sample, Severity, Source, Start, Status, Timings, TouchKind, TouchRecord,
    TripwireKind, TripwireRecord, Usage, Validity, ValidityReason, Watchable,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn outcome() -> Outcome {
    Outcome {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".parse::<EvaluationId>().unwrap(),
        backend: "jail".to_owned(),
        language: Some("python".to_owned()),
        status: Status::Exited { code: 0 },
        exit_code: Some(0),
        signal: None,
        stdout: Output { bytes: b"1\n".to_vec(), truncated: false },
        stderr: Output::default(),
        files: vec![CollectedFile { path: GuestPath::parse("out.txt").unwrap(), content: b"abc".to_vec() }],
        files_refused: vec![RefusedFile { path: "/work/link".to_owned(), reason: "it is a link".to_owned() }],
        usage: Usage {
            wall: Duration::from_micros(3100),
            cpu: Duration::from_nanos(2_000_400),
            memory_peak_bytes: Some(123),
            processes_peak: None,
        },
        timings: Timings {
            queue: Duration::from_micros(100),
            scan: Duration::from_micros(700),
            create: Duration::from_micros(1200),
            posture: Duration::from_micros(90),
            exec: Duration::from_micros(1500),
            destroy: Duration::from_micros(300),
        },
        limits_observed: BTreeSet::from([LimitKind::Pids]),
        admission: AdmissionRecord {
            decision: Decision::Hold,
            reasons: vec![DecisionReason {
                decision: Decision::Hold,
                clause: "before.hold".to_owned(),
                message: "R1".to_owned(),
            }],
            review: Some(Review {
                decision: ReviewDecision::Approved,
                by: "somebody".to_owned(),
                reason: "harmless".to_owned(),
                at: std::time::SystemTime::UNIX_EPOCH,
            }),
            rules_digest: Some("cc".to_owned()),
        },
        findings: vec![Finding {
            rule: "R1".to_owned(),
            severity: Severity::Low,
            group: "network".to_owned(),
            file: "main.py".to_owned(),
            region: Region { line: 3, column: 1, end_line: 3, end_column: 14 },
            message: "suspicious".to_owned(),
            does: "imports socket".to_owned(),
            foreshadows: BTreeSet::from([BehaviorKind::SyscallDenied]),
        }],
        behavior: vec![Behavior {
            kind: BehaviorKind::SyscallDenied,
            name: "socket".to_owned(),
            source: Source::Host,
            count: 2,
            first_at_ms: Some(1.0),
            foretold_by: vec![0],
            message: "imports socket (line 3) and tried it".to_owned(),
        }],
        monitoring: Monitoring::from([
            (Watchable::SystemCalls, Coverage::Events),
            (Watchable::Processes, Coverage::Sampled { reason: "not root".to_owned() }),
        ]),
        samples: vec![Sample { at: Duration::from_millis(50), cpu: Duration::from_millis(9), ..Sample::default() }],
        anomalies: vec![Anomaly {
            metric: "cpu_ms".to_owned(),
            value: 9.0,
            median: 1.0,
            score: 5.5,
            runs: 12,
            message: "much".to_owned(),
        }],
        baseline: Some(BaselineRecord {
            label: "gsm8k".parse().unwrap(),
            runs: 12,
            comparison: Comparison::Compared,
            learnt: Learnt::No { reason: "it stands out".to_owned() },
        }),
        tripwires: vec![
            TripwireRecord { name: "TOKEN".to_owned(), kind: TripwireKind::Environment, touched: None },
            TripwireRecord {
                name: "/work/key".to_owned(),
                kind: TripwireKind::File,
                touched: Some(TouchRecord { how: TouchKind::Opened, first_at: Some(Duration::from_micros(1500)) }),
            },
        ],
        validity: Validity::Valid,
        validity_reasons: BTreeSet::new(),
        evidence: Evidence {
            isolation: Isolation::SharedKernel,
            layers: Layer::ALL
                .into_iter()
                .map(|layer| match layer {
                    Layer::Seccomp => (layer, LayerState::active("85 calls")),
                    _ => (layer, LayerState::absent("not here", "do this")),
                })
                .collect(),
            limits: BTreeMap::from([
                (LimitKind::Memory, Enforcement::Sandbox),
                (LimitKind::Stack, Enforcement::Process),
            ]),
            kernel: "6.18.0".to_owned(),
            backend_version: "0.1.0".to_owned(),
            interpreter: Some("/usr/bin/python3".to_owned()),
            policy: "default".to_owned(),
            policy_hash: "aa".to_owned(),
            code_hash: "bb".to_owned(),
            start: Start::Interpreter,
            former_runs: 3,
            posture: Some(PostureRecord {
                before: PostureSummary { as_planned: 23, ..PostureSummary::default() },
                after: Some(PostureSummary {
                    as_planned: 18,
                    not_visible: vec!["namespace.ipc".into()],
                    differing: vec![PostureFact::new("seccomp", "0", PostureState::Differs)],
                }),
            }),
            attestation: None,
        },
    }
}

fn json(outcome: &Outcome) -> serde_json::Value {
    serde_json::to_value(v1::Outcome::from(outcome)).unwrap()
}

#[test]
fn the_outcome_is_exactly_as_the_contract_says() {
    let absent = |name: &str| format!(r#""{name}":{{"active":false,"reason":"not here","mend":"do this"}}"#);
    let mut names: Vec<_> = Layer::ALL.iter().map(|layer| layer.as_str()).collect();
    names.sort_unstable();
    let layers: Vec<_> = names
        .into_iter()
        .map(|name| match name {
            "seccomp" => r#""seccomp":{"active":true,"detail":"85 calls"}"#.to_owned(),
            name => absent(name),
        })
        .collect();
    let head = concat!(
        r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","backend":"jail","language":"python","status":"exited","#,
        r#""exit_code":0,"signal":null,"limit":null,"stdout":"1\n","stderr":"","#,
        r#""stdout_truncated":false,"stderr_truncated":false,"#,
        r#""files":[{"path":"out.txt","size":3,"content_base64":"YWJj"}],"#,
        r#""files_refused":[{"path":"link","reason":"it is a link"}],"#,
        r#""usage":{"wall_ms":3.1,"cpu_ms":2.0,"memory_peak_bytes":123,"processes_peak":null},"#,
        r#""timings":{"queue_ms":0.1,"scan_ms":0.7,"create_ms":1.2,"posture_ms":0.09,"exec_ms":1.5,"destroy_ms":0.3},"#,
        r#""limits_observed":["pids"],"#,
        r#""admission":{"decision":"hold","reasons":[{"decision":"hold","clause":"before.hold","message":"R1"}],"#,
        r#""review":{"decision":"approved","by":"somebody","reason":"harmless","at":"1970-01-01T00:00:00.000Z"},"#,
        r#""rules_digest":"cc"},"#,
        r#""findings":[{"rule":"R1","severity":"low","line":3,"message":"suspicious","group":"network","#,
        r#""file":"main.py","column":1,"end_line":3,"end_column":14}],"#,
        r#""behavior":[{"kind":"syscall_denied","name":"socket","count":2,"first_at_ms":1.0,"source":"host","#,
        r#""foretold_by":[0],"message":"imports socket (line 3) and tried it"}],"#,
        r#""monitoring":{"files":{"state":"unavailable","reason":"the backend doesn't have it"},"#,
        r#""network":{"state":"unavailable","reason":"the backend doesn't have it"},"#,
        r#""processes":{"state":"sampled","reason":"not root"},"#,
        r#""resources":{"state":"unavailable","reason":"the backend doesn't have it"},"#,
        r#""system_calls":{"state":"events","reason":null}},"#,
        r#""samples":[{"at_ms":50.0,"cpu_ms":9.0,"memory_bytes":null,"processes":null,"read_bytes":null,"#,
        r#""written_bytes":null}],"#,
        r#""anomalies":[{"metric":"cpu_ms","value":9.0,"median":1.0,"score":5.5,"runs":12,"message":"much"}],"#,
        r#""baseline":{"label":"gsm8k","runs":12,"state":"compared","reason":null,"learnt":false,"#,
        r#""not_learnt_because":"it stands out"},"#,
        r#""tripwires":[{"name":"TOKEN","kind":"environment","touched":false,"first_at_ms":null,"how":null},"#,
        r#"{"name":"/work/key","kind":"file","touched":true,"first_at_ms":1.5,"how":"opened"}],"#,
        r#""validity":"valid","validity_reasons":[],"evidence":{"isolation":"shared_kernel","layers":{"#
    );
    let tail = concat!(
        r#"},"limits":{"cpu_time":"none","cpus":"none","disk":"none","file_size":"none","inodes":"none","memory":"sandbox","#,
        r#""open_files":"none","output":"none","pids":"none","stack":"process","timeout":"none"},"#,
        r#""kernel":"6.18.0","backend_version":"0.1.0","interpreter":"/usr/bin/python3","policy":"default","#,
        r#""policy_hash":"aa","code_hash":"bb","start":"interpreter","former_runs":3,"#,
        r#""posture":{"before":{"as_planned":23,"not_visible":[],"differing":[]},"#,
        r#""after":{"as_planned":18,"not_visible":["namespace.ipc"],"differing":[{"name":"seccomp","seen":"0"}]}},"#,
        r#""attestation":null}}"#
    );
    let expected = format!("{head}{}{tail}", layers.join(","));
    assert_eq!(serde_json::to_string(&v1::Outcome::from(&outcome())).unwrap(), expected);
}

#[test]
fn every_layer_is_listed_even_if_the_backend_mentions_none() {
    let mut outcome = outcome();
    outcome.evidence.layers.clear();
    let json = json(&outcome);
    let layers = json["evidence"]["layers"].as_object().unwrap();
    assert_eq!(layers.len(), Layer::ALL.len());
    assert!(layers.values().all(|layer| layer["active"] == false && !layer["reason"].as_str().unwrap().is_empty()));
}

#[test]
fn every_status_has_its_name_and_only_a_limit_names_a_limit() {
    let cases = [
        (Status::Exited { code: 0 }, "exited", None),
        (Status::Signaled { signal: 11 }, "signaled", None),
        (Status::TimedOut, "timed_out", None),
        (Status::OutOfMemory, "out_of_memory", None),
        (Status::LimitExceeded { limit: LimitKind::CpuTime }, "limit_exceeded", Some("cpu_time")),
        (Status::Denied, "denied", None),
        (Status::Cancelled, "cancelled", None),
    ];
    for (status, name, limit) in cases {
        let json = json(&Outcome { status, ..outcome() });
        assert_eq!((json["status"].as_str(), json["limit"].as_str()), (Some(name), limit));
    }
    for (validity, name) in [
        (Validity::InfrastructureFailure, "infrastructure_failure"),
        (Validity::SabotageSuspected, "sabotage_suspected"),
    ] {
        assert_eq!(json(&Outcome { validity, ..outcome() })["validity"], name);
    }
    let validity_reasons = BTreeSet::from([ValidityReason::RunnerEnded, ValidityReason::PostureDiffered]);
    let json = json(&Outcome { validity_reasons, ..outcome() });
    assert_eq!(json["validity_reasons"], serde_json::json!(["posture_differed", "runner_ended"]));
}

#[test]
fn a_run_that_nothing_was_compared_with_says_so_and_one_without_a_label_says_nothing() {
    let baseline = |comparison| {
        let label = "a/b".parse().unwrap();
        let record = BaselineRecord { label, runs: 3, comparison, learnt: Learnt::Yes };
        json(&Outcome { baseline: Some(record), ..outcome() })["baseline"].clone()
    };
    let few = baseline(Comparison::TooFew { needed: 8 });
    assert_eq!((&few["state"], &few["runs"], &few["learnt"]), (&"too_few".into(), &3.into(), &true.into()));
    let unavailable = baseline(Comparison::Unavailable { reason: "full".to_owned() });
    assert_eq!((&unavailable["state"], &unavailable["reason"]), (&"unavailable".into(), &"full".into()));
    assert_eq!(baseline(Comparison::NothingToCompare)["state"], "nothing_to_compare");
    assert!(json(&Outcome { baseline: None, ..outcome() })["baseline"].is_null());
}

#[test]
fn bytes_that_are_not_utf8_are_kept_exactly_beside_a_readable_text() {
    let stdout = Output { bytes: b"a\xff\0b".to_vec(), truncated: true };
    let json = json(&Outcome { stdout, ..outcome() });
    assert_eq!(json["stdout"], "a\u{fffd}\0b");
    assert_eq!(json["stdout_base64"], "Yf8AYg==");
    assert_eq!(json["stdout_truncated"], true);
    assert!(json.get("stderr_base64").is_none());
}

#[test]
fn a_file_outside_the_work_folder_keeps_its_absolute_path() {
    let file = |path: &str| CollectedFile { path: GuestPath::parse(path).unwrap(), content: vec![] };
    let files = vec![file("/tmp/x"), file("/workshop/y"), file("a/b")];
    let json = json(&Outcome { files, ..outcome() });
    let paths: Vec<_> = json["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/tmp/x", "/workshop/y", "a/b"]);
}

#[test]
fn a_reader_accepts_fields_that_it_does_not_know_and_old_outcomes_without_the_extra_ones() {
    let mut json = json(&outcome());
    let fields = json.as_object_mut().unwrap();
    fields.insert("news".to_owned(), serde_json::json!({"a": [1]}));
    for extra in
        ["files_refused", "limits_observed", "validity_reasons", "tripwires", "admission", "monitoring", "samples"]
    {
        fields.remove(extra);
    }
    for extra in ["isolation", "limits", "interpreter", "policy", "posture"] {
        fields["evidence"].as_object_mut().unwrap().remove(extra);
    }
    let read: v1::Outcome = serde_json::from_value(json).unwrap();
    assert_eq!((read.stdout.as_str(), read.files_refused.len()), ("1\n", 0));
}

proptest! {
    #[test]
    fn what_is_written_reads_back_and_no_byte_of_the_guest_is_lost(
        stdout in proptest::collection::vec(any::<u8>(), 0..200),
        stderr in "\\PC{0,40}",
        content in proptest::collection::vec(any::<u8>(), 0..200),
        micros in 0_u64..10_000_000_000,
        exit_code in proptest::option::of(any::<i32>()),
        truncated in any::<bool>(),
    ) {
        let outcome = Outcome {
            exit_code,
            stdout: Output { bytes: stdout.clone(), truncated },
            stderr: Output { bytes: stderr.clone().into_bytes(), truncated: false },
            files: vec![CollectedFile { path: GuestPath::parse("f").unwrap(), content: content.clone() }],
            usage: Usage { wall: Duration::from_micros(micros), ..Usage::default() },
            ..outcome()
        };
        let wire = v1::Outcome::from(&outcome);
        let read: v1::Outcome = serde_json::from_str(&serde_json::to_string(&wire).unwrap()).unwrap();
        prop_assert_eq!(&read, &wire);
        let exact = match &read.stdout_base64 {
            Some(text) => STANDARD.decode(text).unwrap(),
            None => read.stdout.clone().into_bytes(),
        };
        prop_assert_eq!(exact, stdout);
        prop_assert_eq!(read.stderr, stderr);
        prop_assert_eq!(STANDARD.decode(&read.files[0].content_base64).unwrap(), content);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
        let _ = serde_json::from_str::<v1::Outcome>(&text);
        let _ = serde_json::from_str::<v1::Problem>(&text);
    }
}
