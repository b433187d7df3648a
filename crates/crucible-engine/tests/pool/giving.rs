//! What stands ready is given once, and only while it is good.

use crate::bench::{Bench, settings, settle, spec};
use crucible_core::{
    Counters, ErrorKind, EvaluationSpec, Loss, Policy, Readiness, Start, Status, UnseenPosture, Validity,
    ValidityReason,
};
use crucible_engine::PoolSettings;
use crucible_testkit::fake::{FakeBackend, Fault, Script, Step, Work};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn the_second_evaluation_of_a_kind_finds_one_ready() {
    let bench = Bench::new(Script::default(), settings());
    let first = bench.evaluate(spec()).await.unwrap();
    assert_eq!((first.evidence.start, bench.found()), (Start::Cold, (0, 1)));
    settle().await;
    assert_eq!((bench.ledger.created(), bench.counts().ready), (2, 1));
    let second = bench.evaluate(spec()).await.unwrap();
    assert_eq!((second.evidence.start, bench.found()), (Start::Ready, (1, 1)));
    let used = bench.ledger.used();
    let made: Vec<_> = bench.ledger.requests().into_iter().map(|request| request.id).collect();
    assert_eq!(used, made[..2], "the one that was made ahead is the second one's");
    // One look at each: the second was looked at when it was made, and its evidence says what was seen.
    settle().await;
    assert_eq!((bench.ledger.looked_at(), bench.ledger.created()), (3, 3));
    assert_eq!(second.evidence.posture.unwrap().before, first.evidence.posture.unwrap().before);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_interpreter_that_stood_ready_is_recorded_as_one() {
    let script = Script { readiness: Readiness::Interpreter, ..Script::default() };
    let bench = Bench::new(script, settings());
    bench.keep_ready(&spec()).await;
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.evidence.start, bench.found()), (Start::Interpreter, (1, 0)));
    assert!(bench.ledger.requests().iter().all(|request| request.readiness == Readiness::Interpreter));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_ready_before_the_first_request_is_found_by_it() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.keep_ready(&spec()).await;
    assert_eq!((bench.ledger.created(), bench.counts().ready), (1, 1), "one is enough");
    assert_eq!(bench.ledger.commands().len(), 0, "nothing of it runs");
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.evidence.start, bench.found()), (Start::Ready, (1, 0)));
    settle().await;
    assert_eq!(bench.counts().ready, 1, "another one took its place");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn many_at_once_share_no_sandbox() {
    let bench = Bench::new(Script::default(), PoolSettings { most: 4, ..settings() });
    for _ in 0..8 {
        let evaluations = [(); 8].map(|()| bench.evaluate(spec()));
        let [a, b, c, d, e, f, g, h] = evaluations;
        let (a, b, c, d, e, f, g, h) = tokio::join!(a, b, c, d, e, f, g, h);
        assert!([a, b, c, d, e, f, g, h].iter().all(Result::is_ok));
        settle().await;
        assert!(bench.counts().ready <= 4);
    }
    assert_eq!(bench.ledger.used().len(), 64);
    assert!(bench.counts().hits > 0, "{:?}", bench.counts());
    assert_eq!(bench.counts().hits + bench.counts().misses, 64);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_too_old_is_destroyed_and_never_given() {
    let bench = Bench::new(Script::default(), PoolSettings { oldest: Duration::ZERO, ..settings() });
    bench.keep_ready(&spec()).await;
    let old = bench.ledger.requests()[0].id;
    let outcome = bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!((outcome.evidence.start, bench.found(), bench.counts().discarded), (Start::Cold, (0, 1), 1));
    assert!(!bench.ledger.used().contains(&old));
    assert_eq!(bench.ledger.destroyed(), 2, "the old one, and the one that was used");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_became_too_old_with_nobody_asking_is_replaced() {
    let bench = Bench::new(Script::default(), PoolSettings { oldest: Duration::ZERO, ..settings() });
    bench.keep_ready(&spec()).await;
    assert_eq!((bench.ledger.created(), bench.ledger.destroyed()), (1, 0));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let counts = bench.counts();
    assert_eq!((bench.ledger.created(), bench.ledger.destroyed(), counts.discarded, counts.ready), (2, 1, 1, 1));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_lost_is_destroyed_and_never_given() {
    for loss in [Loss::RunnerEnded, Loss::RunnerBrokeItsWord, Loss::MachineryLost] {
        let bench = Bench::new(Script::default(), settings());
        bench.keep_ready(&spec()).await;
        let lost = bench.ledger.requests()[0].id;
        bench.switches.lose(lost, loss);
        let outcome = bench.evaluate(spec()).await.unwrap();
        settle().await;
        assert_eq!((outcome.evidence.start, outcome.validity), (Start::Cold, Validity::Valid));
        assert_eq!((bench.found(), bench.counts().discarded), ((0, 1), 1));
        assert!(!bench.ledger.used().contains(&lost));
        assert_eq!(bench.ledger.destroyed(), 2);
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_lost_with_nobody_asking_is_replaced() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.switches.lose(bench.ledger.requests()[0].id, Loss::MachineryLost);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((bench.ledger.created(), bench.ledger.destroyed(), bench.counts().ready), (2, 1, 1));
    assert_eq!(bench.evaluate(spec()).await.unwrap().evidence.start, Start::Ready);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_replaced_backend_made_is_never_given() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    let successor = FakeBackend::new(Script::default());
    let ledger = successor.ledger();
    bench.engine.replace_backend(Arc::new(successor));
    settle().await;
    let counts = bench.counts();
    assert_eq!((bench.ledger.destroyed(), counts.discarded, counts.ready), (1, 1, 0));
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.evidence.start, bench.found()), (Start::Cold, (0, 1)));
    settle().await;
    assert_eq!((bench.ledger.created(), bench.ledger.used().len()), (1, 0), "the former one makes nothing");
    assert_eq!((ledger.created(), ledger.used().len(), bench.counts().ready), (2, 1, 1));
    bench.end().await;
    assert_eq!((ledger.destroyed(), ledger.dropped()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_makes_while_it_is_replaced_is_destroyed() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.switches.set_creating(Work::Waits);
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!((bench.ledger.requests().len(), bench.ledger.created()), (2, 1));
    bench.engine.replace_backend(Arc::new(FakeBackend::new(Script::default())));
    bench.switches.set_creating(Work::Done);
    settle().await;
    let counts = bench.counts();
    assert_eq!((bench.ledger.created(), bench.ledger.destroyed(), counts.discarded, counts.ready), (2, 2, 1, 0));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_on_a_backend_that_is_replaced_meanwhile_has_nothing_made_by_it() {
    let bench = Bench::new(Script::of([Step::UseCpu(Duration::ZERO)]), settings());
    bench.switches.set_creating(Work::Waits);
    let evaluation = bench.evaluate(spec());
    let replace = async {
        settle().await;
        bench.engine.replace_backend(Arc::new(FakeBackend::new(Script::default())));
        bench.switches.set_creating(Work::Done);
    };
    let (outcome, ()) = tokio::join!(evaluation, replace);
    assert_eq!(outcome.unwrap().status, Status::Exited { code: 0 });
    settle().await;
    assert_eq!((bench.ledger.created(), bench.counts().ready), (1, 0));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_difference_seen_when_it_was_made_decides_as_it_does_cold() {
    for fault in [Fault::PostureDiffers, Fault::PostureEmpty] {
        let bench = Bench::new(Script::default().with_fault(fault), settings());
        let cold = bench.evaluate(spec()).await.unwrap();
        // Nothing is made ahead after a run that never was.
        bench.keep_ready(&spec()).await;
        let ready = bench.evaluate(spec()).await.unwrap();
        assert_eq!(bench.found(), (1, 1));
        for outcome in [&cold, &ready] {
            assert_eq!((outcome.status, outcome.validity), (Status::Denied, Validity::SabotageSuspected));
            assert!(outcome.validity_reasons.contains(&ValidityReason::PostureDiffered));
        }
        assert_eq!(cold.evidence.posture, ready.evidence.posture);
        assert_eq!(bench.ledger.commands().len(), 0, "no program is started in one that isn't as planned");
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_could_not_be_looked_at_when_it_was_made_gets_no_program() {
    let unseen = |policy: Policy| Policy { unseen_posture: UnseenPosture::Refuse, ..policy };
    for (fault, kind, found) in [
        // What can't be looked at now isn't kept: it may be another time.
        (Fault::PostureUnreadable, ErrorKind::Infrastructure, (0, 1)),
        (Fault::PostureHidden, ErrorKind::Refused, (1, 0)),
    ] {
        let bench = Bench::new(Script::default().with_fault(fault), settings());
        let spec = || EvaluationSpec { policy: unseen(spec().policy), ..spec() };
        let kept = bench.engine.keep_ready(&spec(), None).await;
        assert_eq!(kept.is_ok(), kind == ErrorKind::Refused);
        let error = bench.evaluate(spec()).await.unwrap_err();
        assert_eq!((error.kind(), bench.found(), bench.ledger.commands().len()), (kind, found, 0));
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_difference_after_the_run_is_seen_in_one_that_stood_ready() {
    let bench = Bench::new(Script::default().with_fault(Fault::PostureDiffersAfter), settings());
    bench.keep_ready(&spec()).await;
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.evidence.start, outcome.validity), (Start::Ready, Validity::SabotageSuspected));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn how_long_they_stood_is_added_up() {
    let counters = Counters { memory_bytes: Some(1), ..Counters::default() };
    let bench = Bench::new(Script { counters, ..Script::default() }, settings());
    bench.evaluate(spec()).await.unwrap();
    assert_eq!(bench.counts().waited, Duration::ZERO);
    settle().await;
    let began = std::time::Instant::now();
    let deadline = began + Duration::from_secs(10);
    while began.elapsed() < Duration::from_millis(2) {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    bench.evaluate(spec()).await.unwrap();
    assert!(bench.counts().waited >= Duration::from_millis(2), "{:?}", bench.counts());
    bench.end().await;
}
