//! One result for each, tried again only where Crucible failed.

use crate::bench::{Bench, PATIENCE, Plan, QueueIn, said, spec, submission};
use crucible_core::{
    Change, Error, ErrorKind, EvaluationState, FencingToken, FinalState, LimitKind, NewEvent, ProjectId, Quotas,
    Started, Step as StoreStep, Store as _, Stream, TaskCounts,
};
use crucible_engine::{Patience, Submission, Submitted};
use crucible_testkit::fake::{Fault, Script, Step};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

fn hello() -> Script {
    Script::of([Step::Write(Stream::Stdout, b"hello".to_vec()), Step::Exit(3)])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_submitted_is_run_once_and_its_events_are_complete() {
    for queue in [QueueIn::Memory, QueueIn::Sqlite] {
        let bench = Bench::running(Plan::of(hello()).on(queue)).await;
        let ids: Vec<_> = bench.submit_all((0..20).map(|_| submission(spec())).collect()).await;
        for id in ids {
            let id = id.unwrap().id();
            let found = bench.result(id).await;
            assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Finished, 1));
            assert_eq!(said(found.outcome.as_ref()), "hello");
            assert_eq!(found.summary.indexed.status.as_deref(), Some("exited"));
            assert_eq!(bench.kinds(id).await, ["submitted", "started", "command_started", "output", "finished"]);
        }
        assert_eq!((bench.ledger.created(), bench.ledger.living()), (20, 0));
        bench
            .until("the queue is empty", || async { bench.queue.statistics().await.unwrap().all == Default::default() })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_submits_and_waits_gets_the_result_or_how_far_it_is() {
    let mut bench = Bench::new(Plan::of(hello()).on(QueueIn::Sqlite)).await;
    let (project, quotas) = (ProjectId::default(), Quotas::default());
    let submit = async |bench: &Bench, submission, patience: &Patience| {
        bench.service.submit_and_wait(&project, quotas, submission, patience).await.unwrap()
    };
    let key = || Submission { idempotency_key: Some("k".to_owned()), ..submission(spec()) };
    let ends = CancellationToken::new();
    // Nothing runs yet.
    let waits = submit(&bench, key(), &Patience::of(Duration::from_millis(1), ends.clone())).await.summary;
    assert_eq!(waits.state, EvaluationState::Queued);
    ends.cancel();
    let waits_no_more = submit(&bench, key(), &Patience::of(PATIENCE, ends)).await.summary;
    assert_eq!((waits_no_more.id, waits_no_more.state), (waits.id, EvaluationState::Queued));
    bench.dispatch(PATIENCE);
    let same = submit(&bench, key(), &Bench::patience()).await;
    assert_eq!((same.summary.id, said(same.outcome.as_ref()).as_str()), (waits.id, "hello"));
    let other = submit(&bench, submission(spec()), &Bench::patience()).await;
    assert_eq!((other.summary.state, said(other.outcome.as_ref()).as_str()), (EvaluationState::Finished, "hello"));
    assert_ne!(other.summary.id, waits.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_latest_token_commits_and_only_once() {
    let bench = Bench::new(Plan::of(hello())).await;
    let id = bench.submit().await;
    let start = || bench.store.start(id, "node".to_owned(), Change::at(SystemTime::now()));
    let Started::Started { token: lost, .. } = start().await.unwrap() else { unreachable!() };
    let Started::Started { token, attempt: 2 } = start().await.unwrap() else { unreachable!() };
    let finish =
        |token: FencingToken| bench.store.finish(id, token, FinalState::Finished, Change::at(SystemTime::now()));
    assert_eq!(finish(lost).await.unwrap(), StoreStep::Stale);
    let event = NewEvent { at: SystemTime::now(), kind: "late".into(), body: "".into() };
    assert_eq!(bench.store.append(id, lost, vec![event]).await.unwrap(), StoreStep::Stale);
    assert_eq!(finish(token).await.unwrap(), StoreStep::Committed);
    assert_eq!(finish(token).await.unwrap(), StoreStep::Stale);
    assert_eq!(start().await.unwrap(), Started::Refused(EvaluationState::Finished));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_lease_is_lost_is_ended_and_its_result_is_somebody_elses() {
    let script = Script::of([Step::WaitForever]);
    let mut bench = Bench::new(Plan::of(script).with(|settings| settings.lease = Duration::from_millis(300))).await;
    let id = bench.submit().await;
    bench.dispatch(crate::bench::PATIENCE);
    bench.until_commands(1).await;
    // Somebody else has begun it meanwhile, and cancelled it in the queue, which this one hears with its next heartbeat.
    let Started::Started { token, .. } =
        bench.store.start(id, "elsewhere".to_owned(), Change::at(SystemTime::now())).await.unwrap()
    else {
        unreachable!()
    };
    bench.queue.cancel(id).await.unwrap();
    bench.until("it is ended here", || async { bench.service.running_now() == 0 }).await;
    let found = bench.get(id).await;
    assert_eq!((found.summary.state, found.summary.node.as_deref()), (EvaluationState::Running, Some("elsewhere")));
    let done = bench.store.finish(id, token, FinalState::Finished, Change::at(SystemTime::now())).await.unwrap();
    assert_eq!((done, bench.ledger.living()), (StoreStep::Committed, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crucible_failed_at_is_tried_again_until_it_works() {
    for kind in [ErrorKind::Infrastructure, ErrorKind::Unavailable, ErrorKind::Io] {
        let bench = Bench::running(Plan::of(hello()).failing(2, kind)).await;
        let id = bench.submit().await;
        let found = bench.result(id).await;
        assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Finished, 3), "{kind:?}");
        let kinds = bench.kinds(id).await;
        assert_eq!(kinds.iter().filter(|kind| *kind == "retried").count(), 2, "{kinds:?}");
        let events = bench.events(id).await;
        let moment = |wanted: &str, nth: usize| events.iter().filter(|event| event.kind == wanted).nth(nth).unwrap().at;
        for (nth, least) in [(0, 20), (1, 40)] {
            let waited = moment("started", nth + 1).duration_since(moment("retried", nth)).unwrap();
            assert!(waited >= Duration::from_millis(least - 1), "try {nth} began after {waited:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crucible_fails_at_too_often_is_dead_and_nothing_of_it_is_in_the_queue() {
    let bench = Bench::running(Plan::of(hello()).failing(3, ErrorKind::Infrastructure)).await;
    let id = bench.submit().await;
    let found = bench.result(id).await;
    assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Dead, 3));
    assert!(said(found.failure.as_ref()).contains("in a mood"), "{found:?}");
    assert_eq!(bench.kinds(id).await.last().unwrap(), "dead");
    bench
        .until("it is out of the queue", || async {
            bench.queue.statistics().await.unwrap().all == TaskCounts::default()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guest_does_is_a_result_and_what_is_refused_is_no_reason_to_try_again() {
    for (script, status) in [
        (Script::of([Step::Signal(9)]), "signaled"),
        (Script::of([Step::MeetLimit(LimitKind::Pids), Step::LoseProcessToMemory]), "exited"),
    ] {
        let bench = Bench::running(Plan::of(script)).await;
        let found = bench.result(bench.submit().await).await;
        assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Finished, 1));
        let seen = found.summary.indexed.status.unwrap();
        assert!(seen == status || seen == "out_of_memory", "{seen}");
    }
    let bench = Bench::running(Plan::of(hello()).failing(1, ErrorKind::Refused)).await;
    let found = bench.result(bench.submit().await).await;
    assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Failed, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_no_result_is_tried_again_and_what_there_is_of_it_is_kept() {
    let script = hello().with_fault(Fault::Wait);
    let bench = Bench::running(Plan::of(script)).await;
    let id = bench.submit().await;
    let found = bench.result(id).await;
    assert_eq!((found.summary.state, found.summary.attempt), (EvaluationState::Dead, 3), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_one_says_nothing_about_the_others() {
    let bench = Bench::running(Plan::of(hello())).await;
    let (mut unnamed, mut long) = (submission(spec()), submission(spec()));
    unnamed.labels.insert(String::new(), "x".to_owned());
    long.idempotency_key = Some("k".repeat(201));
    let unknown = submission(crucible_core::EvaluationSpec { backend: "nothing".to_owned(), ..spec() });
    let all = bench.submit_all(vec![submission(spec()), unnamed, long, unknown, submission(spec())]).await;
    let kinds: Vec<_> = all.iter().map(|one| one.as_ref().map_err(Error::kind).err()).collect();
    let wrong = Some(ErrorKind::InvalidInput);
    assert_eq!(kinds, [None, wrong, wrong, Some(ErrorKind::NotFound), None]);
    for one in all.into_iter().flatten() {
        assert_eq!(bench.result(one.id()).await.summary.state, EvaluationState::Finished);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_one_evaluation_in_a_batch_too() {
    let bench = Bench::running(Plan::of(hello())).await;
    let with_key = |argument: &str| {
        let mut one = submission(spec());
        one.spec.env.insert("A".to_owned(), argument.to_owned());
        one.idempotency_key = Some("key".to_owned());
        one
    };
    let all = bench.submit_all(vec![with_key("1"), with_key("1"), with_key("2")]).await;
    let Ok(Submitted::New(id)) = all[0] else { unreachable!() };
    assert!(matches!(all[1], Ok(Submitted::Existing(same)) if same == id));
    assert_eq!(all[2].as_ref().unwrap_err().kind(), ErrorKind::Conflict);
    bench.result(id).await;
    assert!(matches!(bench.submit_all(vec![with_key("1")]).await[0], Ok(Submitted::Existing(same)) if same == id));
    assert_eq!(bench.ledger.created(), 1);
}
