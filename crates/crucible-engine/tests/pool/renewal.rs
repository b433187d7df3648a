//! Which sandboxes stand ready again after a run, and which never do.

use crate::bench::{Bench, settings, settle, spec};
use crucible_core::{BehaviorKind, Counters, EvaluationSpec, LimitKind, Loss, Policy, Readiness, Source, Start};
use crucible_engine::PoolSettings;
use crucible_testkit::fake::{Fault, Script, Step};
use tokio_util::sync::CancellationToken;

/// A backend whose sandboxes hold an interpreter and are as new after every run.
fn renewing() -> Script {
    Script { readiness: Readiness::Interpreter, renews: true, ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_as_new_after_a_quiet_run_is_used_again() {
    let bench = Bench::new(renewing(), settings());
    bench.keep_ready(&spec()).await;
    for former in 0..20 {
        let outcome = bench.evaluate(spec()).await.unwrap();
        assert_eq!((outcome.evidence.start, outcome.evidence.former_runs), (Start::Interpreter, former));
        settle().await;
    }
    assert_eq!((bench.ledger.created(), bench.counts().renewed, bench.found()), (1, 20, (20, 0)));
    // Each time it is looked at as a new one is.
    assert_eq!(bench.ledger.looked_at(), 21);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_next_one_is_not_waited_for_until_one_that_is_used_once_is_put_away() {
    let bench = Bench::new(Script { renews: false, ..renewing() }.with_fault(Fault::DestroyHangs), settings());
    bench.keep_ready(&spec()).await;
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    let counts = bench.counts();
    assert_eq!((bench.ledger.created(), counts.ready, counts.under_way), (2, 1, 1));
    bench.end_with_dropped(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_renews_nothing_has_each_used_once() {
    let bench = Bench::new(Script { renews: false, ..renewing() }, settings());
    bench.keep_ready(&spec()).await;
    for _ in 0..5 {
        assert_eq!(bench.evaluate(spec()).await.unwrap().evidence.former_runs, 0);
        settle().await;
    }
    assert_eq!((bench.ledger.created(), bench.counts().renewed, bench.found()), (6, 0, (5, 0)));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn none_is_used_again_where_a_policy_wants_each_fresh() {
    let bench = Bench::new(renewing(), settings());
    let fresh = || EvaluationSpec { policy: Policy { fresh: true, ..Policy::default() }, ..spec() };
    bench.keep_ready(&fresh()).await;
    for _ in 0..5 {
        assert_eq!(bench.evaluate(fresh()).await.unwrap().evidence.former_runs, 0);
        settle().await;
    }
    // Nor does it get what another policy's run has left.
    bench.keep_ready(&spec()).await;
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!(bench.evaluate(fresh()).await.unwrap().evidence.former_runs, 0);
    assert_eq!(bench.counts().renewed, 1, "the one without that policy");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn none_is_used_again_after_a_run_of_which_anything_was_seen() {
    let behave = Step::Behave(BehaviorKind::SyscallDenied, Source::Host, "mount".to_owned());
    for (what, steps) in [
        ("it was refused a call", vec![behave]),
        ("it met a limit", vec![Step::MeetLimit(LimitKind::Pids)]),
        ("a signal ended it", vec![Step::Signal(11)]),
        ("it took too long", vec![Step::WaitForever]),
        ("its sandbox was lost", vec![Step::LoseSandbox(Loss::RunnerEnded)]),
    ] {
        let bench = Bench::new(Script { steps, ..renewing() }, settings());
        bench.keep_ready(&spec()).await;
        let _ended = bench.evaluate(spec()).await;
        settle().await;
        assert_eq!((bench.counts().renewed, bench.ledger.destroyed()), (0, 1), "{what}");
        bench.end().await;
    }
    for fault in [Fault::PostureDiffersAfter, Fault::PostureUnreadableAfter, Fault::EndProcesses, Fault::Counters] {
        let script = Script { faults: vec![fault], counters: Counters::default(), ..renewing() };
        let bench = Bench::new(script, settings());
        bench.keep_ready(&spec()).await;
        let _ended = bench.evaluate(spec()).await;
        settle().await;
        assert_eq!(bench.counts().renewed, 0, "{fault:?}");
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_project_never_gets_it() {
    let bench = Bench::new(renewing(), settings());
    // The first of each is made when it comes, the second one's stands ready by then, and is the third one's.
    for former in [0, 0, 1] {
        for project in ["ours", "theirs"] {
            let run = bench.evaluate_for(spec(), Some(project), CancellationToken::new());
            assert_eq!(run.await.unwrap().evidence.former_runs, former, "{project}");
            settle().await;
        }
    }
    assert_eq!((bench.ledger.created(), bench.counts().renewed), (4, 4));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_stand_ready_again_than_may() {
    let bench = Bench::new(renewing(), PoolSettings { most: 1, ..settings() });
    bench.keep_ready(&spec()).await;
    let (a, b, c, d) =
        tokio::join!(bench.evaluate(spec()), bench.evaluate(spec()), bench.evaluate(spec()), bench.evaluate(spec()));
    assert!([a, b, c, d].iter().all(Result::is_ok));
    settle().await;
    assert_eq!((bench.counts().ready, bench.ledger.living()), (1, 1), "{:?}", bench.counts());
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn with_no_room_for_its_memory_none_stands_ready_again() {
    let counters = Counters { memory_bytes: Some(1 << 20), ..Counters::default() };
    let bench = Bench::new(Script { counters, ..renewing() }, PoolSettings { most: 8, memory: 3 << 19, ..settings() });
    bench.keep_ready(&spec()).await;
    let (a, b) = tokio::join!(bench.evaluate(spec()), bench.evaluate(spec()));
    assert!(a.is_ok() && b.is_ok());
    settle().await;
    assert_eq!((bench.counts().ready, bench.ledger.living()), (1, 1), "{:?}", bench.counts());
    bench.end().await;
}
