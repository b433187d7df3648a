//! A process that stops puts back what it runs; one that dies leaves work that the next one does.

use crate::bench::{Bench, PATIENCE, Plan, QueueIn, spec, submission};
use crucible_core::{EvaluationState, Flow, Stream};
use crucible_engine::{Drained, Recovered};
use crucible_testkit::fake::{Script, Step};
use std::time::Duration;

fn endless() -> Script {
    Script::of([Step::Write(Stream::Stdout, b"on".to_vec()), Step::WaitForever])
}

fn short() -> Script {
    Script::of([Step::Exit(0)])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_too_long_is_put_back_untried_and_runs_again() {
    let mut bench = Bench::new(Plan::of(endless()).on(QueueIn::Sqlite)).await;
    bench.dispatch(Duration::from_millis(10));
    let id = bench.submit().await;
    bench.until_commands(1).await;
    assert_eq!(bench.stop().await, Drained::PutBack);
    assert_eq!((bench.get(id).await.summary.state, bench.ledger.living()), (EvaluationState::Queued, 0));
    let folder = std::sync::Arc::clone(&bench.folder);
    drop(bench);
    let mut next = Bench::in_folder(Plan::of(short()).on(QueueIn::Sqlite), folder).await;
    assert_eq!(next.service.recover().await.unwrap(), Recovered::default());
    next.dispatch(PATIENCE);
    assert_eq!(next.result(id).await.summary.state, EvaluationState::Finished);
    let kinds = next.kinds(id).await;
    let wanted =
        ["submitted", "started", "command_started", "output", "put_back", "started", "command_started", "finished"];
    assert_eq!(kinds, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_in_time_is_waited_for() {
    let mut bench = Bench::new(Plan::of(short())).await;
    let ids = bench.submit_all((0..2).map(|_| submission(spec())).collect()).await;
    bench.dispatch(PATIENCE);
    bench.until_commands(1).await;
    assert_eq!(bench.stop().await, Drained::Completely);
    let first = ids.into_iter().next().unwrap().unwrap().id();
    assert_eq!(bench.get(first).await.summary.state, EvaluationState::Finished);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_process_that_died_everything_unfinished_runs_whatever_became_of_the_queue() {
    for queue in [QueueIn::Sqlite, QueueIn::Memory] {
        let plan = || Plan::of(endless()).on(queue).with(|settings| settings.most_running = 1);
        let mut bench = Bench::new(plan()).await;
        bench.dispatch(PATIENCE);
        let first = bench.submit().await;
        bench.until_commands(1).await;
        let second = bench.submit().await;
        let cancelled = bench.submit().await;
        bench.service.cancel(None, cancelled).await.unwrap();
        let folder = bench.die().await;
        let mut next = Bench::in_folder(Plan::of(short()).on(queue), folder).await;
        let recovered = next.service.recover().await.unwrap();
        assert_eq!(recovered, Recovered { queued: 1, interrupted: 1, held: 0 }, "{queue:?}");
        next.dispatch(PATIENCE);
        for (id, attempt) in [(first, 2), (second, 1)] {
            let found = next.result(id).await;
            assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Finished, attempt));
        }
        assert_eq!(next.get(cancelled).await.summary.state, EvaluationState::Cancelled);
        assert_eq!(next.ledger.created(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_end_was_wanted_before_the_process_died_is_cancelled_and_not_run() {
    let mut bench = Bench::new(Plan::of(endless()).on(QueueIn::Sqlite)).await;
    bench.dispatch(PATIENCE);
    let id = bench.submit().await;
    bench.until_commands(1).await;
    // The store has heard of it, and this process dies before it ends the run.
    let change = crucible_core::Change::at(std::time::SystemTime::now());
    crucible_core::Store::cancel(bench.store.as_ref(), None, id, change).await.unwrap();
    let folder = bench.die().await;
    let mut next = Bench::in_folder(Plan::of(short()).on(QueueIn::Sqlite), folder).await;
    next.service.recover().await.unwrap();
    // To be ended it needs nothing to run on.
    next.breakers.open("fake", "it is out".to_owned());
    next.dispatch(PATIENCE);
    assert_eq!(next.result(id).await.summary.state, EvaluationState::Cancelled);
    assert_eq!(next.ledger.created(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_again_and_again_has_not_used_up_its_tries() {
    let mut folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    let mut id = None;
    for _ in 0..4 {
        let mut bench = Bench::in_folder(Plan::of(endless()).on(QueueIn::Sqlite), folder).await;
        bench.service.recover().await.unwrap();
        if id.is_none() {
            id = Some(bench.submit().await);
        }
        bench.dispatch(PATIENCE);
        bench.until_commands(1).await;
        folder = bench.die().await;
    }
    let plan = Plan::of(short()).on(QueueIn::Sqlite).failing(1, crucible_core::ErrorKind::Infrastructure);
    let mut last = Bench::in_folder(plan, folder).await;
    last.service.recover().await.unwrap();
    last.dispatch(PATIENCE);
    let found = last.result(id.unwrap()).await;
    assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Finished, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_drains_refuses_before_anything_is_kept() {
    let bench = Bench::new(Plan::of(short())).await;
    bench.queue.set_flow(Flow::Draining).await.unwrap();
    let project = crucible_core::ProjectId::default();
    let refused =
        bench.service.submit(&project, crucible_core::Quotas::default(), submission(spec())).await.unwrap_err();
    assert_eq!(refused.kind(), crucible_core::ErrorKind::Unavailable);
    let query = crucible_core::Query { limit: 10, ..crucible_core::Query::default() };
    assert!(crucible_core::Store::list(bench.store.as_ref(), query).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_the_process_along_every_time_is_given_up() {
    let plan = || Plan::of(short()).on(QueueIn::Sqlite);
    let first = Bench::new(plan()).await;
    let id = first.submit().await;
    for _ in 0..100 {
        let change = crucible_core::Change::at(std::time::SystemTime::now());
        crucible_core::Store::start(first.store.as_ref(), id, "gone".to_owned(), change).await.unwrap();
    }
    let folder = std::sync::Arc::clone(&first.folder);
    drop(first);
    let mut bench = Bench::in_folder(plan(), folder).await;
    bench.service.recover().await.unwrap();
    bench.dispatch(PATIENCE);
    let found = bench.result(id).await;
    assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Dead, 101));
    // Nor is there a sandbox for it: what takes the process along may be the making of one.
    assert_eq!((bench.ledger.created(), bench.ledger.commands().len()), (0, 0));
    assert!(crate::bench::said(found.failure.as_ref()).contains("101 times"), "{found:?}");
}
