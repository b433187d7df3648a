//! Tripwires on a fake backend: what is planted, what counts as touched, and what becomes of the result.

use crate::support::{Bench, spec};
use crucible_core::{
    Capabilities, ErrorKind, EvaluationSpec, GuestPath, InputFile, Loss, Outcome, Status, Stream, TouchKind, Tripwire,
    TripwireKind, Validity, ValidityReason,
};
use crucible_testkit::fake::{FakeFile, Fault, Script, Step, everything};
use std::collections::{BTreeMap, BTreeSet};

fn tripwires(all: &[&str]) -> Vec<Tripwire> {
    all.iter().map(|text| text.parse().unwrap()).collect()
}

fn with(all: &[&str]) -> EvaluationSpec {
    EvaluationSpec { tripwires: tripwires(all), ..spec() }
}

fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).unwrap()
}

fn touched(outcome: &Outcome) -> Vec<(&str, Option<TouchKind>)> {
    outcome.tripwires.iter().map(|wire| (wire.name.as_str(), wire.touched.map(|touch| touch.how))).collect()
}

#[tokio::test(start_paused = true)]
async fn tripwires_that_are_left_alone_are_recorded_and_change_nothing() {
    let bench = Bench::new(Script::of([Step::Write(Stream::Stdout, b"honest".to_vec())]));
    let outcome = bench.evaluate(with(&["credentials", "file=/tmp/key", "environment", "listener"])).await.unwrap();
    assert_eq!(
        touched(&outcome),
        [
            ("/work/.aws/credentials", None),
            ("/tmp/key", None),
            ("AWS_SECRET_ACCESS_KEY", None),
            ("/tmp/agent.sock", None)
        ]
    );
    assert_eq!((outcome.validity, outcome.validity_reasons.len()), (Validity::Valid, 0));
    let written = bench.ledger.written();
    let secret = &bench.ledger.commands()[0].env["AWS_SECRET_ACCESS_KEY"];
    let credentials = String::from_utf8(written[&path(".aws/credentials")].0.clone()).unwrap();
    assert!(credentials.contains("aws_secret_access_key = ") && !credentials.contains(secret.as_str()));
    assert!(secret.len() == 40 && written[&path("/tmp/key")].0.len() == 41);
}

#[tokio::test(start_paused = true)]
async fn every_touch_that_the_host_sees_makes_the_result_suspect() {
    for (wire, place, how) in [
        ("credentials", "/work/.aws/credentials", TouchKind::Opened),
        ("file=answers", "/work/answers", TouchKind::Moved),
        ("listener=/tmp/x.sock", "/tmp/x.sock", TouchKind::Called),
    ] {
        let bench = Bench::new(Script::of([Step::Touch(path(place), how), Step::Exit(0)]));
        let outcome = bench.evaluate(with(&["file=/tmp/other", wire])).await.unwrap();
        assert_eq!(touched(&outcome), [("/tmp/other", None), (place, Some(how))]);
        assert!(outcome.tripwires[1].touched.unwrap().first_at.is_some());
        assert_eq!((outcome.status, outcome.validity), (Status::Exited { code: 0 }, Validity::SabotageSuspected));
        assert_eq!(outcome.validity_reasons, BTreeSet::from([ValidityReason::TripwireTouched]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_comes_out_is_noticed_on_either_stream() {
    for stream in [Stream::Stdout, Stream::Stderr] {
        let write = |text: &str| Step::Write(stream, text.as_bytes().to_vec());
        let steps = [write("the key is "), Step::WriteVariable(stream, "TOKEN".to_owned()), write(".")];
        let outcome = Bench::new(Script::of(steps)).evaluate(with(&["environment=TOKEN"])).await.unwrap();
        assert_eq!(touched(&outcome), [("TOKEN", Some(TouchKind::SecretInOutput))]);
        assert!(outcome.tripwires[0].touched.unwrap().first_at.is_some());
        assert_eq!(outcome.validity, Validity::SabotageSuspected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_planted_file_is_not_brought_out_and_its_secret_is_not_mistaken_for_the_guests_work() {
    let bench = Bench::new(Script::default());
    let files = vec![InputFile { path: path("own"), content: b"mine".to_vec(), executable: false }];
    let collect = vec![GuestPath::work()];
    let outcome = bench.evaluate(EvaluationSpec { files, collect, ..with(&["file=answers"]) }).await.unwrap();
    let brought: Vec<_> = outcome.files.iter().map(|file| file.path.as_str()).collect();
    assert!(brought.contains(&"/work/own") && !brought.contains(&"/work/answers"), "{brought:?}");
    assert!(outcome.files_refused.iter().any(|file| file.path == "/work/answers" && file.reason.contains("tripwire")));
    assert_eq!((touched(&outcome), outcome.validity), (vec![("/work/answers", None)], Validity::Valid));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_where_a_place_cannot_be_watched() {
    let bench = Bench::new(Script::default().with_fault(Fault::Watch));
    assert_eq!(bench.evaluate(with(&["file"])).await.unwrap_err().kind(), ErrorKind::Infrastructure);
    assert_eq!((bench.ledger.commands().len(), bench.ledger.destroyed()), (0, 1));
    // There is nothing to watch about a variable.
    let bench = Bench::new(Script::default().with_fault(Fault::Watch));
    bench.evaluate(with(&["environment"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_backend_cannot_plant_is_refused_before_anything_is_made() {
    for kind in TripwireKind::ALL {
        let mut capabilities: Capabilities = everything();
        capabilities.tripwires.remove(&kind);
        let bench = Bench::with_capabilities(Script::default(), capabilities);
        let error = bench.evaluate(with(&[kind.as_str()])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{kind}");
        assert!(error.to_string().contains(kind.as_str()) && error.hint().is_some());
        assert_eq!(bench.ledger.requests().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn tripwires_that_would_overwrite_something_are_refused() {
    let file = |name: &str| InputFile { path: path(name), content: vec![], executable: false };
    let env = BTreeMap::from([("TOKEN".to_owned(), "x".to_owned())]);
    let cases = [
        with(&["file=a", "file=a"]),
        with(&["file=a", "credentials=a/b"]),
        with(&["file=main.test"]),
        with(&["environment", "environment"]),
        with(&["environment=MODE"]),
        EvaluationSpec { files: vec![file("a")], ..with(&["credentials=a"]) },
        EvaluationSpec { files: vec![file("/tmp/agent.sock")], ..with(&["listener"]) },
        EvaluationSpec { env, ..with(&["environment=TOKEN"]) },
        EvaluationSpec { tripwires: vec![Tripwire::File { path: path("/etc/x") }], ..spec() },
        with(&(0..65).map(|_| "file").collect::<Vec<_>>()),
    ];
    for case in cases {
        let bench = Bench::new(Script::default());
        let wires = case.tripwires.clone();
        assert_eq!(bench.evaluate(case).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{wires:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_touch_is_told_though_the_sandbox_was_lost_after_it() {
    let steps = [Step::Touch(path("answers"), TouchKind::Opened), Step::LoseSandbox(Loss::RunnerEnded)];
    let bench = Bench::new(Script::of(steps).with_file("/work/x", FakeFile::Regular(vec![])));
    let outcome = bench.evaluate(with(&["file=answers"])).await.unwrap();
    assert_eq!(touched(&outcome), [("/work/answers", Some(TouchKind::Opened))]);
    let reasons = BTreeSet::from([ValidityReason::TripwireTouched, ValidityReason::RunnerEnded]);
    assert_eq!(outcome.validity_reasons, reasons);
}

#[tokio::test(start_paused = true)]
async fn a_secret_in_a_collected_file_is_noticed() {
    let bench = Bench::new(Script::of([Step::KeepVariable("TOKEN".to_owned(), path("loot"))]));
    let outcome =
        bench.evaluate(EvaluationSpec { collect: vec![path("loot")], ..with(&["environment=TOKEN"]) }).await.unwrap();
    assert_eq!(touched(&outcome), [("TOKEN", Some(TouchKind::SecretInFile))]);
    assert_eq!(outcome.tripwires[0].touched.unwrap().first_at, None);
    assert_eq!(outcome.validity, Validity::SabotageSuspected);
}
