//! What is seen of a sandbox from outside, what becomes of a run in one that isn't as planned, and whether a result is believed.

use crate::support::{Bench, Recorder, spec};
use crucible_core::{
    Before, ErrorKind, EvaluationSpec, Event, GuestPath, Layer, Loss, Outcome, Policy, Status, Stream, UnseenPosture,
    Validity, ValidityReason,
};
use crucible_testkit::fake::{FakeFile, Fault, Script, Step};
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// As strict about the sandbox as can be, whatever the program looks like.
fn strict() -> EvaluationSpec {
    EvaluationSpec { policy: Policy { before: Before::default(), ..Policy::strict() }, ..spec() }
}

fn reasons(outcome: &Outcome) -> Vec<ValidityReason> {
    outcome.validity_reasons.iter().copied().collect()
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_is_as_planned_is_recorded_as_seen_before_and_after() {
    let outcome = Bench::new(Script::default()).evaluate(strict()).await.unwrap();
    let posture = outcome.evidence.posture.clone().unwrap();
    let after = posture.after.unwrap();
    assert_eq!((posture.before.as_planned, after.as_planned), (2, 2));
    assert!(posture.before.differing.is_empty() && posture.before.not_visible.is_empty() && after.differing.is_empty());
    assert_eq!((outcome.validity, reasons(&outcome)), (Validity::Valid, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_differs_from_its_plan_gets_no_program() {
    for fault in [Fault::PostureDiffers, Fault::PostureEmpty] {
        let recorder = Recorder::default();
        let bench = Bench::new(Script::of([Step::Write(Stream::Stdout, b"ran".to_vec())]).with_fault(fault));
        let collect = vec![GuestPath::parse("x").unwrap()];
        let spec = EvaluationSpec { collect, ..spec() };
        let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
        assert_eq!(outcome.status, Status::Denied, "{fault:?}");
        assert_eq!(outcome.validity, Validity::SabotageSuspected, "{fault:?}");
        assert_eq!(reasons(&outcome), [ValidityReason::PostureDiffered]);
        assert_eq!((bench.ledger.commands().len(), bench.ledger.destroyed()), (0, 1), "{fault:?}");
        assert!(outcome.stdout.bytes.is_empty() && outcome.exit_code.is_none());
        assert!(outcome.files_refused[0].reason.contains("never started"));
        assert!(!recorder.events().contains(&Event::CommandStarted));
        let posture = outcome.evidence.posture.unwrap();
        assert_eq!(posture.after, None);
        let differing: Vec<_> = posture.before.differing.iter().map(|fact| fact.name.as_ref()).collect();
        assert_eq!(differing, if fault == Fault::PostureDiffers { vec!["wall"] } else { vec![] });
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_cannot_be_looked_at_is_crucibles_failure_and_gets_no_program() {
    let bench = Bench::new(Script::default().with_fault(Fault::PostureUnreadable));
    assert_eq!(bench.evaluate(spec()).await.unwrap_err().kind(), ErrorKind::Infrastructure);
    assert_eq!((bench.ledger.commands().len(), bench.ledger.destroyed()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_this_user_cannot_see_is_recorded_or_refused_as_the_policy_says() {
    let hidden = || Bench::new(Script::default().with_fault(Fault::PostureHidden));
    let outcome = hidden().evaluate(spec()).await.unwrap();
    assert_eq!(outcome.validity, Validity::Valid);
    assert_eq!(outcome.evidence.posture.unwrap().before.not_visible, ["cellar"]);

    let bench = hidden();
    let policy = Policy { unseen_posture: UnseenPosture::Refuse, ..Policy::default() };
    let error = bench.evaluate(EvaluationSpec { policy, ..spec() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("cellar") && error.hint().is_some());
    assert_eq!((bench.ledger.commands().len(), bench.ledger.destroyed()), (0, 1));

    hidden().evaluate(strict()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_differs_after_its_guest_makes_the_result_suspect_and_keeps_it() {
    let script = Script::of([Step::Write(Stream::Stdout, b"all well".to_vec()), Step::Exit(0)]);
    let bench = Bench::new(script.with_fault(Fault::PostureDiffersAfter));
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.status, outcome.validity), (Status::Exited { code: 0 }, Validity::SabotageSuspected));
    assert_eq!(reasons(&outcome), [ValidityReason::PostureDiffered]);
    assert_eq!(outcome.stdout.bytes, b"all well");
    let posture = outcome.evidence.posture.unwrap();
    assert!(posture.before.differing.is_empty());
    assert_eq!(posture.after.unwrap().differing[0].name, "wall");
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_cannot_be_looked_at_after_its_guest_is_an_infrastructure_failure_on_record() {
    let bench = Bench::new(Script::of([Step::Exit(0)]).with_fault(Fault::PostureUnreadableAfter));
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.status, outcome.validity), (Status::Exited { code: 0 }, Validity::InfrastructureFailure));
    assert_eq!(reasons(&outcome), [ValidityReason::PostureUnreadable]);
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_ended_or_lied_while_the_guest_ran_is_told_with_what_was_seen_until_then() {
    for (loss, reason) in [
        (Loss::RunnerEnded, ValidityReason::RunnerEnded),
        (Loss::RunnerBrokeItsWord, ValidityReason::RunnerBrokeItsWord),
    ] {
        let steps = [Step::Write(Stream::Stdout, b"until then".to_vec()), Step::LoseSandbox(loss)];
        let bench = Bench::new(Script::of(steps).with_file("/work/x", FakeFile::Regular(b"forged".to_vec())));
        let collect = vec![GuestPath::parse("x").unwrap()];
        let outcome = bench.evaluate(EvaluationSpec { collect, ..spec() }).await.unwrap();
        assert_eq!((outcome.status, outcome.exit_code), (Status::Signaled { signal: 9 }, None), "{loss:?}");
        assert_eq!((outcome.validity, reasons(&outcome)), (Validity::SabotageSuspected, vec![reason]));
        assert_eq!((outcome.stdout.bytes.as_slice(), outcome.files.len()), (&b"until then"[..], 0));
        assert_eq!(outcome.evidence.posture.unwrap().after, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_is_missing_is_refused_before_anything_is_looked_at() {
    let require = BTreeSet::from([Layer::Seccomp]);
    let policy = Policy { require, ..Policy::unisolated() };
    let bench = Bench::new(Script::default().with_fault(Fault::LayersMissing).with_fault(Fault::PostureDiffers));
    let error = bench.evaluate(EvaluationSpec { policy, ..spec() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
}
