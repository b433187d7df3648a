//! What is decided about a program before it runs: what is let in, denied and held, and what a person's review does.

use crate::support::{Bench, Recorder, WordScanner, spec};
use crucible_core::{
    Before, Decision, Discard, ErrorKind, EvaluationSpec, Event, GuestPath, HeldEvaluation, InputFile, Isolation,
    Limits, Outcome, Policy, Program, Review, ReviewDecision, Severity, Status, Validity,
};
use crucible_engine::Evaluated;
use crucible_testkit::fake::{Fault, Script, everything};
use std::time::SystemTime;
use tokio_util::sync::CancellationToken;

fn source(code: &str) -> EvaluationSpec {
    let program = Program::Source { language: "test".to_owned(), code: code.into(), args: vec![] };
    EvaluationSpec { program, ..spec() }
}

fn under(before: Before, code: &str) -> EvaluationSpec {
    EvaluationSpec { policy: Policy { before, ..Policy::default() }, ..source(code) }
}

fn strict_code() -> Before {
    Before { deny: Some(Severity::Critical), hold: Some(Severity::High), ..Before::default() }
}

fn bench() -> Bench {
    let bench = Bench::new(Script::default());
    let ledger = Some(std::sync::Arc::clone(&bench.ledger));
    bench.with_scanner(WordScanner { ledger })
}

fn review(decision: ReviewDecision) -> Option<Review> {
    let at = SystemTime::UNIX_EPOCH;
    Some(Review { decision, by: "ada".to_owned(), reason: "it is a test".to_owned(), at })
}

fn reasons(outcome: &Outcome) -> Vec<String> {
    outcome.admission.reasons.iter().map(|reason| format!("{}: {}", reason.clause, reason.message)).collect()
}

async fn held(bench: &Bench, spec: EvaluationSpec) -> HeldEvaluation {
    match bench.evaluate_or_hold(spec, &Discard, CancellationToken::new()).await.unwrap() {
        Evaluated::Held(held) => *held,
        Evaluated::Finished(outcome) => panic!("it isn't held: {outcome:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn findings_are_recorded_whatever_the_policy_makes_of_them() {
    let recorder = Recorder::default();
    let bench = bench();
    let spec = source("one\nfind net.socket critical\nimport socket");
    let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.status, Status::Exited { code: 0 });
    let found: Vec<_> = outcome.findings.iter().map(|f| (f.rule.as_str(), f.file.as_str(), f.region.line)).collect();
    assert_eq!(found, [("net.socket", "main.test", 2)]);
    assert_eq!(outcome.admission.decision, Decision::Allow);
    assert_eq!(outcome.admission.rules_digest.as_deref(), Some("d1"));
    assert!(recorder.events().contains(&Event::Screened { findings: 1, decision: Decision::Allow }));
}

#[tokio::test(start_paused = true)]
async fn a_denied_program_is_an_outcome_and_nothing_is_started() {
    let recorder = Recorder::default();
    let bench = bench();
    let spec = under(strict_code(), "find net.socket critical");
    let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
    assert_eq!((outcome.status, outcome.validity, outcome.exit_code), (Status::Denied, Validity::Valid, None));
    assert_eq!(reasons(&outcome), ["before.deny: main.test:1: net.socket (critical): it says so"]);
    assert_eq!((outcome.findings.len(), bench.ledger.commands().len()), (1, 0));
    let events = recorder.events();
    assert!(events.contains(&Event::Screened { findings: 1, decision: Decision::Deny }));
    assert!(
        events.contains(&Event::CommandEnded { status: Status::Denied }) && !events.contains(&Event::CommandStarted)
    );
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_made_while_the_program_is_looked_at_and_given_nothing_if_it_is_denied() {
    let bench = bench();
    let outcome = bench.evaluate(under(strict_code(), "await sandbox\nfind a critical")).await.unwrap();
    assert_eq!(outcome.status, Status::Denied);
    assert_eq!((bench.ledger.created(), bench.ledger.destroyed(), bench.ledger.commands().len()), (1, 1, 0));
    let outcome = bench.evaluate(under(strict_code(), "find a low")).await.unwrap();
    assert_eq!((outcome.status, bench.ledger.commands().len()), (Status::Exited { code: 0 }, 1));
}

#[tokio::test(start_paused = true)]
async fn a_verdict_stands_though_no_sandbox_could_be_made() {
    let bench = Bench::new(Script::default().with_fault(Fault::CreateHangs)).with_scanner(WordScanner::default());
    let outcome = bench.evaluate(under(strict_code(), "find a critical")).await.unwrap();
    assert_eq!((outcome.status, bench.ledger.created()), (Status::Denied, 0));
    held(&bench, under(strict_code(), "find a high")).await;
}

#[tokio::test(start_paused = true)]
async fn every_file_and_the_command_line_are_looked_at() {
    let file = |path: &str, content: &str| InputFile {
        path: GuestPath::parse(path).unwrap(),
        content: content.into(),
        executable: false,
    };
    let files = vec![file("a/data", "nothing"), file("/tmp/b", "\nfind fs.write critical")];
    let outcome = bench().evaluate(EvaluationSpec { files, ..under(strict_code(), "") }).await.unwrap();
    assert_eq!(reasons(&outcome), ["before.deny: /tmp/b:2: fs.write (critical): it says so"]);
    let argv = ["sh", "-c", "find exec.shell critical"].map(str::to_owned).to_vec();
    let command = EvaluationSpec { program: Program::Command { argv }, ..under(strict_code(), "") };
    let outcome = bench().evaluate(command).await.unwrap();
    assert_eq!(reasons(&outcome), ["before.deny: (code in an argument):1: exec.shell (critical): it says so"]);
}

#[tokio::test(start_paused = true)]
async fn an_import_that_is_not_allowed_is_denied() {
    let before = Before { imports_forbidden: ["socket".to_owned()].into(), ..Before::default() };
    let outcome = bench().evaluate(under(before, "import json\nimport socket.x")).await.unwrap();
    assert_eq!(outcome.status, Status::Denied);
    assert_eq!(reasons(&outcome), ["before.imports_forbidden: main.test:2: the import of socket.x is forbidden"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_a_scanner_refuses_a_policy_that_decides_by_findings() {
    let blind = Bench::new(Script::default());
    let error = blind.evaluate(under(strict_code(), "")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("this engine has no scanner"), "{error}");
    assert_eq!(blind.ledger.requests().len(), 0);
    let outcome = blind.evaluate(source("find a critical")).await.unwrap();
    assert_eq!((outcome.findings.len(), outcome.admission.rules_digest), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_scanner_that_breaks_off_lets_nothing_in_that_depends_on_it() {
    let bench = bench();
    let error = bench.evaluate(under(strict_code(), "panic")).await.unwrap_err();
    assert_eq!((error.kind(), bench.ledger.commands().len()), (ErrorKind::Infrastructure, 0));
    assert_eq!(bench.evaluate(source("panic")).await.unwrap().status, Status::Exited { code: 0 });
}

#[tokio::test(start_paused = true)]
async fn a_held_program_comes_back_as_it_was_and_has_not_run() {
    let bench = bench();
    let spec = EvaluationSpec { stdin: b"input".to_vec(), ..under(strict_code(), "find net.socket high") };
    let held = held(&bench, spec.clone()).await;
    assert_eq!(held.spec, spec);
    assert_eq!((held.findings.len(), held.admission.decision), (1, Decision::Hold));
    assert_eq!(bench.ledger.commands().len(), 0);
    let error = bench.evaluate(spec).await.unwrap_err();
    assert_eq!((error.kind(), error.kind().is_retryable()), (ErrorKind::Held, false));
    assert!(error.to_string().contains("main.test:1: net.socket (high)") && error.hint().is_some(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_approved_program_runs_and_its_record_says_who_and_why() {
    let recorder = Recorder::default();
    let bench = bench();
    let review = review(ReviewDecision::Approved);
    let spec = EvaluationSpec { review: review.clone(), ..under(strict_code(), "find net.socket high") };
    let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
    assert_eq!((outcome.status, outcome.admission.decision), (Status::Exited { code: 0 }, Decision::Hold));
    assert_eq!(outcome.admission.review, review);
    assert!(recorder.events().contains(&Event::Reviewed { review: review.unwrap() }));
}

#[tokio::test(start_paused = true)]
async fn an_approval_overrides_no_denial_and_a_rejection_denies_whatever_the_policy_says() {
    let bench = bench();
    let spec = EvaluationSpec {
        review: review(ReviewDecision::Approved),
        ..under(strict_code(), "find a high\nfind b critical")
    };
    assert_eq!(bench.evaluate(spec).await.unwrap().status, Status::Denied);
    for before in [Before::default(), strict_code()] {
        let spec = EvaluationSpec { review: review(ReviewDecision::Rejected), ..under(before, "find a high") };
        let outcome = bench.evaluate(spec).await.unwrap();
        assert_eq!(outcome.status, Status::Denied);
        assert_eq!(outcome.admission.review, review(ReviewDecision::Rejected));
    }
    let blind = Bench::new(Script::default());
    let spec = EvaluationSpec { review: review(ReviewDecision::Rejected), ..source("") };
    assert_eq!(blind.evaluate(spec).await.unwrap().status, Status::Denied);
    assert_eq!(bench.ledger.commands().len() + blind.ledger.commands().len(), 0);
}

fn walls() -> Before {
    Before { least_isolation: [(Severity::High, Isolation::OwnKernel)].into(), ..Before::default() }
}

#[tokio::test(start_paused = true)]
async fn a_wall_that_findings_demand_is_not_replaced_by_a_weaker_one() {
    let bench = bench();
    for backend in ["auto", "fake"] {
        let spec = EvaluationSpec { backend: backend.to_owned(), ..under(walls(), "find net.raw high") };
        let error = bench.evaluate(spec).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        for part in ["own_kernel", "backend 'fake' gives shared_kernel", "main.test:1: net.raw (high)"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    assert_eq!(bench.ledger.requests().len(), 0);
    assert_eq!(bench.evaluate(under(walls(), "find net.raw low")).await.unwrap().status, Status::Exited { code: 0 });
    let mut capabilities = everything();
    capabilities.isolation = Isolation::OwnKernel;
    let strong = Bench::with_capabilities(Script::default(), capabilities).with_scanner(WordScanner::default());
    assert_eq!(strong.evaluate(under(walls(), "find net.raw high")).await.unwrap().status, Status::Exited { code: 0 });
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_that_is_cancelled_while_it_is_looked_at_starts_nothing() {
    for before in [Before::default(), strict_code(), walls()] {
        let (bench, cancel) = (bench(), CancellationToken::new());
        cancel.cancel();
        let outcome = bench.evaluate_with(under(before, "find a info"), &Discard, cancel).await.unwrap();
        assert_eq!((outcome.status, bench.ledger.commands().len()), (Status::Cancelled, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_bounds_the_limits_that_are_asked_for() {
    let bench = bench();
    let most = Limits { pids: 7, ..Limits::maximum() };
    let policy = Policy { limits: Some(most), ..Policy::default() };
    bench.evaluate(EvaluationSpec { policy, ..source("") }).await.unwrap();
    assert_eq!(bench.ledger.requests().remove(0).limits, Limits { pids: 7, ..Limits::default() });
}
