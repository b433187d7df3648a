//! Cancelled where it waits, where it runs, and where it waits for room.

use crate::bench::{Bench, PATIENCE, Plan, QueueIn, spec, submission};
use crucible_core::{CancelledEvaluation, Change, ErrorKind, EvaluationState, Store as _, Stream};
use crucible_engine::Drained;
use crucible_testkit::fake::{Script, Step};
use std::time::{Duration, SystemTime};

fn endless() -> Script {
    Script::of([Step::Write(Stream::Stdout, b"on".to_vec()), Step::WaitForever])
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_never_starts() {
    for queue in [QueueIn::Memory, QueueIn::Sqlite] {
        let mut bench = Bench::new(Plan::of(endless()).on(queue)).await;
        let id = bench.submit().await;
        assert_eq!(bench.service.cancel(None, id).await.unwrap(), CancelledEvaluation::Cancelled);
        let again = bench.service.cancel(None, id).await.unwrap();
        assert_eq!(again, CancelledEvaluation::AlreadyFinal(EvaluationState::Cancelled));
        bench.dispatch(PATIENCE);
        assert_eq!(bench.stop().await, Drained::Completely);
        assert_eq!((bench.ledger.created(), bench.kinds(id).await), (0, vec!["submitted".into(), "cancelled".into()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_runs_is_ended_and_keeps_what_it_wrote() {
    let bench = Bench::running(Plan::of(endless())).await;
    let id = bench.submit().await;
    bench.until_commands(1).await;
    assert_eq!(bench.service.cancel(None, id).await.unwrap(), CancelledEvaluation::Requested);
    let found = bench.result(id).await;
    assert_eq!(found.summary.state, EvaluationState::Cancelled);
    assert_eq!(crate::bench::said(found.outcome.as_ref()), "on");
    assert_eq!((bench.ledger.living(), bench.kinds(id).await.last().unwrap().as_str()), (0, "cancelled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_another_try_is_not_tried() {
    let plan = Plan::of(endless()).failing(1, ErrorKind::Infrastructure);
    let bench = Bench::running(plan.with(|settings| settings.first_delay = PATIENCE)).await;
    let id = bench.submit().await;
    bench.until("it failed once", || async { bench.kinds(id).await.contains(&"retried".to_owned()) }).await;
    bench.until("it is queued", || async { bench.get(id).await.summary.state == EvaluationState::Queued }).await;
    bench.service.cancel(None, id).await.unwrap();
    assert_eq!(bench.get(id).await.summary.state, EvaluationState::Cancelled);
    assert_eq!(bench.ledger.created(), 0);
}

/// Whoever had it is gone, and somebody wanted it to end meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_to_end_when_it_is_begun_again_is_not_run() {
    let memory = Plan::of(endless()).with(|settings| settings.memory = 400 << 20);
    let mut bench = Bench::new(memory).await;
    let (first, second) = (bench.submit().await, bench.submit().await);
    bench.store.start(second, "gone".to_owned(), Change::at(SystemTime::now())).await.unwrap();
    assert_eq!(bench.service.cancel(None, second).await.unwrap(), CancelledEvaluation::Requested);
    bench.dispatch(PATIENCE);
    // There is room for one alone, which the first one has until it is ended.
    let found = tokio::time::timeout(Duration::from_secs(20), bench.result(second)).await.unwrap();
    assert_eq!(found.summary.state, EvaluationState::Cancelled);
    assert_eq!(bench.kinds(second).await, ["submitted", "cancelled"]);
    bench.until_commands(1).await;
    bench.service.cancel(None, first).await.unwrap();
    bench.result(first).await;
    assert_eq!((bench.ledger.commands().len(), bench.ledger.living()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_for_memory_is_cancelled_at_once_and_makes_no_sandbox() {
    let memory = Plan::of(endless()).with(|settings| {
        settings.most_running = 4;
        settings.memory = 400 << 20;
    });
    let bench = Bench::running(memory).await;
    let first = bench.submit().await;
    bench.until_commands(1).await;
    // Of 256 MiB and a disk of 64 MiB each there is room for one.
    let second = bench.submit().await;
    bench.until("it is begun", || async { bench.get(second).await.summary.state == EvaluationState::Running }).await;
    bench.service.cancel(None, second).await.unwrap();
    let found = tokio::time::timeout(Duration::from_secs(20), bench.result(second)).await.unwrap();
    assert_eq!(found.summary.state, EvaluationState::Cancelled);
    bench.until("one runs", || async { bench.service.running_now() == 1 }).await;
    assert_eq!(bench.ledger.created(), 1);
    bench.service.cancel(None, first).await.unwrap();
    bench.result(first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_together_stays_within_the_memory_and_one_that_wants_more_runs_alone() {
    let script = Script::of([Step::ReadStdin]);
    let plan = Plan::of(script).with(|settings| {
        settings.most_running = 8;
        settings.memory = 100 << 20;
    });
    let bench = Bench::running(plan).await;
    let ids = bench.submit_all((0..6).map(|_| submission(spec())).collect()).await;
    for id in ids {
        assert_eq!(bench.result(id.unwrap().id()).await.summary.state, EvaluationState::Finished);
    }
}
