//! However an evaluation ends, its sandbox doesn't outlive it, ready or not.

use crate::bench::{Bench, settings, settle, spec};
use crucible_core::{ErrorKind, EvaluationSpec, Loss, Policy, Start, Status, Stream};
use crucible_testkit::fake::{Fault, Script, Step, Work};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_cleared_away_is_counted_and_the_result_stands() {
    for fault in [Fault::Destroy, Fault::DestroyHangs] {
        let script = Script::of([Step::Write(Stream::Stdout, b"right".to_vec())]).with_fault(fault);
        let bench = Bench::new(script, settings());
        bench.keep_ready(&spec()).await;
        let outcome = bench.evaluate(spec()).await.unwrap();
        assert_eq!((outcome.status, outcome.stdout.bytes.as_slice()), (Status::Exited { code: 0 }, &b"right"[..]));
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(bench.counts().uncleared, 1, "{fault:?}");
        // One that hangs is given up, and dropped; another one stands ready, and is drained in the same way.
        bench.engine.drain_pool().await;
        assert_eq!(bench.ledger.living(), 0, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_pool_may_be_used_one_that_cannot_be_cleared_away_is_the_result() {
    let bench = Bench::new(Script::default().with_fault(Fault::Destroy), settings());
    let spec = EvaluationSpec { policy: Policy { warm: false, ..spec().policy }, ..spec() };
    assert_eq!(bench.evaluate(spec).await.unwrap_err().kind(), ErrorKind::Infrastructure);
    assert_eq!(bench.counts().uncleared, 0);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_cleared_away_beside_what_goes_on() {
    let bench = Bench::new(Script::default(), settings());
    bench.switches.set_destroying(Work::Waits);
    for _ in 0..16 {
        bench.evaluate(spec()).await.unwrap();
    }
    let (outcome, destroyed) = tokio::join!(
        async {
            let outcome = bench.evaluate(spec()).await;
            (outcome.map(|outcome| outcome.status), bench.ledger.destroyed())
        },
        async {
            settle().await;
            let destroyed = bench.ledger.destroyed();
            bench.switches.set_destroying(Work::Done);
            destroyed
        }
    );
    let (status, by_then) = outcome;
    assert_eq!((status.unwrap(), destroyed), (Status::Exited { code: 0 }, 0));
    assert!(by_then >= 1, "the seventeenth waited until its own was cleared away");
    settle().await;
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_that_is_cancelled_before_it_starts_takes_nothing() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = bench.evaluate_for(spec(), None, cancel).await.unwrap();
    assert_eq!((outcome.status, bench.ledger.commands().len()), (Status::Cancelled, 0));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_that_is_cancelled_leaves_none_behind() {
    let bench = Bench::new(Script::of([Step::WaitForever]), settings());
    bench.keep_ready(&spec()).await;
    let cancel = CancellationToken::new();
    let (outcome, ()) = tokio::join!(bench.evaluate_for(spec(), None, cancel.clone()), async {
        settle().await;
        cancel.cancel();
    });
    let outcome = outcome.unwrap();
    assert_eq!((outcome.status, outcome.evidence.start, bench.found()), (Status::Cancelled, Start::Ready, (1, 0)));
    settle().await;
    assert_eq!(bench.ledger.destroyed(), 1);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_that_is_dropped_drops_the_one_that_it_took() {
    let bench = Bench::new(Script::of([Step::WaitForever]), settings());
    bench.keep_ready(&spec()).await;
    assert!(tokio::time::timeout(Duration::from_secs(1), bench.evaluate(spec())).await.is_err());
    assert_eq!((bench.found(), bench.ledger.dropped(), bench.ledger.living()), ((1, 0), 1, 0));
    // It isn't counted as one that goes on, and another one is made when the next has run.
    bench.end_with_dropped(1).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_at_its_command_is_destroyed_before_the_error_is_given() {
    for fault in [Fault::Exec, Fault::Write, Fault::LayersMissing, Fault::EndProcesses, Fault::Counters] {
        let bench = Bench::new(Script::default().with_fault(fault), settings());
        bench.keep_ready(&spec()).await;
        let before = bench.ledger.living();
        bench.evaluate(spec()).await.unwrap_err();
        assert_eq!((before, bench.found()), (1, (1, 0)), "{fault:?}");
        assert_eq!(bench.ledger.destroyed(), 1, "{fault:?}");
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_lost_during_its_run_is_cleared_away() {
    let bench = Bench::new(Script::of([Step::LoseSandbox(Loss::RunnerEnded)]), settings());
    bench.keep_ready(&spec()).await;
    let _lost = bench.evaluate(spec()).await.is_ok();
    settle().await;
    assert_eq!(bench.found(), (1, 0));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_dropped_with_its_pool_leaves_nothing() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    let ledger = std::sync::Arc::clone(&bench.ledger);
    drop(bench);
    settle().await;
    assert_eq!((ledger.created(), ledger.living()), (1, 0));
}
