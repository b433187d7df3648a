//! Held for a person, approved, rejected.

use crate::bench::{Bench, Plan, said, spec, submission};
use crucible_core::{
    Before, Decision, ErrorKind, EvaluationId, EvaluationState, Flow, GuestPath, InputFile, Policy, Review,
    ReviewDecision,
};
use crucible_testkit::fake::{Script, Step};
use std::time::SystemTime;

async fn held(bench: &Bench) -> EvaluationId {
    let before =
        Before { imports_forbidden: ["socket".to_owned()].into(), imports: Some(Decision::Hold), ..Before::default() };
    let mut spec = spec();
    spec.policy = Policy { before, ..Policy::default() };
    let path = GuestPath::parse("a.py").unwrap();
    spec.files = vec![InputFile { path, content: b"import socket".to_vec(), executable: false }];
    let id = bench.submit_all(vec![submission(spec)]).await.pop().unwrap().unwrap().id();
    let found = bench.result(id).await;
    assert_eq!((found.summary.state, found.summary.indexed.verdict.as_deref()), (EvaluationState::Held, Some("hold")));
    assert!(found.admission.is_some());
    id
}

fn review(decision: ReviewDecision, reason: &str) -> Review {
    Review { decision, by: "somebody".to_owned(), reason: reason.to_owned(), at: SystemTime::now() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_one_runs_once_and_nothing_decides_again() {
    let bench = Bench::running(Plan::of(Script::of([Step::Exit(0)]))).await;
    let id = held(&bench).await;
    assert_eq!(bench.ledger.commands().len(), 0);
    let no_reason = bench.service.decide(None, id, review(ReviewDecision::Approved, " ")).await.unwrap_err();
    assert_eq!(no_reason.kind(), ErrorKind::InvalidInput);
    let state = bench.service.decide(None, id, review(ReviewDecision::Approved, "it may")).await.unwrap();
    assert_eq!(state, EvaluationState::Queued);
    let found = bench.result(id).await;
    assert_eq!((found.summary.state, bench.ledger.commands().len()), (EvaluationState::Finished, 1));
    assert_eq!(found.review.unwrap().reason, "it may");
    let late = bench.service.decide(None, id, review(ReviewDecision::Rejected, "no")).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict);
    let kinds = bench.kinds(id).await;
    let wanted = ["submitted", "started", "held", "approved", "started", "command_started", "finished"];
    assert_eq!(kinds, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_one_is_denied_and_a_cancelled_one_is_gone() {
    let bench = Bench::running(Plan::of(Script::of([Step::Exit(0)]))).await;
    let (rejected, cancelled) = (held(&bench).await, held(&bench).await);
    let state = bench.service.decide(None, rejected, review(ReviewDecision::Rejected, "no")).await.unwrap();
    assert_eq!(state, EvaluationState::Finished);
    let found = bench.get(rejected).await;
    assert_eq!(
        (found.summary.indexed.status.as_deref(), said(found.outcome.as_ref())),
        (Some("denied"), String::new())
    );
    bench.service.cancel(None, cancelled).await.unwrap();
    let late = bench.service.decide(None, cancelled, review(ReviewDecision::Approved, "yes")).await.unwrap_err();
    assert_eq!((late.kind(), bench.ledger.commands().len()), (ErrorKind::Conflict, 0));
    // A rejection needs nothing to run on.
    let last = held(&bench).await;
    bench.breakers.open("fake", "it is out".to_owned());
    bench.service.decide(None, last, review(ReviewDecision::Rejected, "no")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_while_the_queue_drains_runs_once_that_is_over() {
    let bench = Bench::running(Plan::of(Script::of([Step::Exit(0)]))).await;
    let id = held(&bench).await;
    bench.queue.set_flow(Flow::Draining).await.unwrap();
    let state = bench.service.decide(None, id, review(ReviewDecision::Approved, "it may")).await.unwrap();
    assert_eq!((state, bench.get(id).await.summary.state), (EvaluationState::Queued, EvaluationState::Queued));
    bench.queue.set_flow(Flow::Open).await.unwrap();
    assert_eq!(bench.result(id).await.summary.state, EvaluationState::Finished);
}
