//! How many are made ahead: no more than may be, none while there is enough to do, and none any more once the pool is drained.

use crate::bench::{Bench, Silent, settings, settle, spec};
use crucible_core::{Counters, ErrorKind, EvaluationSpec, Limits, Loss, Start};
use crucible_engine::{PoolSettings, RunIo};
use crucible_testkit::fake::{Script, Step, Work};
use std::pin::pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A sandbox that takes so much.
fn takes(bytes: u64) -> Script {
    let counters = Counters { memory_bytes: Some(bytes), ..Counters::default() };
    Script { counters, ..Script::default() }
}

#[tokio::test(start_paused = true)]
async fn one_that_cannot_be_made_ahead_is_told_of_when_one_is_needed() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.switches.set_creating(Work::Fails);
    let outcome = bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!((bench.counts().failed, bench.counts().ready), (1, 0));
    assert_eq!(outcome.evidence.start, Start::Ready);
    assert_eq!(bench.evaluate(spec()).await.unwrap_err().kind(), ErrorKind::Infrastructure);
    bench.switches.set_creating(Work::Done);
    // What failed isn't counted as one that is still being made.
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!((bench.counts().ready, bench.counts().failed), (1, 1));
    assert_eq!(bench.evaluate(spec()).await.unwrap().evidence.start, Start::Ready);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn keeping_one_ready_says_what_keeps_it_from_being_made() {
    let bench = Bench::new(Script::default(), settings());
    bench.switches.set_creating(Work::Fails);
    assert_eq!(bench.engine.keep_ready(&spec(), None).await.unwrap_err().kind(), ErrorKind::Infrastructure);
    assert_eq!((bench.counts().failed, bench.counts().ready), (1, 0));
    bench.switches.set_creating(Work::Done);
    bench.keep_ready(&spec()).await;
    assert_eq!(bench.counts().ready, 1);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_slow_to_make_one_holds_up_nobody() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.switches.set_creating(Work::Waits);
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!(bench.ledger.requests().len(), 2, "the one ahead is under way");
    let mut second = pin!(bench.evaluate(spec()));
    tokio::select! {
        _ = &mut second => unreachable!("it has no sandbox yet"),
        () = settle() => {}
    }
    assert_eq!(bench.ledger.requests().len(), 3, "it doesn't wait for the one ahead but has its own made");
    bench.switches.set_creating(Work::Done);
    second.await.unwrap();
    assert_eq!(bench.found(), (1, 1));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn with_more_evaluations_than_may_be_none_is_made_ahead() {
    let bench = Bench::new(Script::of([Step::ReadStdin]), PoolSettings { busy: 1, ..settings() });
    // One goes on for as long as its input does.
    let (input, source) = tokio::io::duplex(16);
    let (events, cancel) = (&Silent, CancellationToken::new());
    let long = bench.engine.evaluate(other(), RunIo { stdin: Some(Box::new(source)), events, cancel, project: None });
    let (long, ()) = tokio::join!(long, async {
        settle().await;
        for made in 2..6 {
            bench.evaluate(spec()).await.unwrap();
            settle().await;
            assert_eq!((bench.ledger.created(), bench.counts().ready), (made, 0));
        }
        drop(input);
    });
    long.unwrap();
    settle().await;
    assert_eq!(bench.counts().ready, 1, "alone, it has one made");
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!((bench.counts().ready, bench.found()), (2, (0, 6)));
    bench.end().await;
}

fn other() -> EvaluationSpec {
    EvaluationSpec { limits: Limits { pids: 9, ..Limits::default() }, ..spec() }
}

#[tokio::test(start_paused = true)]
async fn where_none_may_go_on_none_is_made_ahead() {
    let bench = Bench::new(Script::default(), PoolSettings { busy: 0, ..settings() });
    for _ in 0..5 {
        bench.evaluate(spec()).await.unwrap();
        settle().await;
    }
    assert_eq!((bench.ledger.created(), bench.found(), bench.counts().ready), (5, (0, 5), 0));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_of_a_kind_stand_ready_than_may() {
    for most in [1, 3] {
        let bench = Bench::new(Script::default(), PoolSettings { most, ..settings() });
        for _ in 0..30 {
            bench.evaluate(spec()).await.unwrap();
            assert!(bench.ledger.living() <= most + 1, "{most}");
        }
        settle().await;
        assert!(bench.counts().ready <= most);
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn none_is_made_ahead_once_those_that_stand_take_the_memory() {
    let bench = Bench::new(takes(100), PoolSettings { memory: 100, ..settings() });
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!(bench.counts().ready, 1);
    for _ in 0..3 {
        bench.evaluate(other()).await.unwrap();
        settle().await;
    }
    assert_eq!((bench.counts().ready, bench.found()), (1, (0, 4)), "the other kind has none made");
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!((bench.counts().ready, bench.counts().hits), (1, 1), "what one leaves, the next may take");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn those_under_way_count_for_the_memory_too() {
    let bench = Bench::new(takes(100), PoolSettings { memory: 100, ..settings() });
    // Two kinds that have one made at the same time.
    let (first, second) = tokio::join!(bench.evaluate(spec()), bench.evaluate(other()));
    assert!(first.is_ok() && second.is_ok());
    settle().await;
    assert!(
        bench.counts().ready <= 1,
        "{} stand ready, with twice the memory that they may take",
        bench.counts().ready
    );
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn draining_destroys_what_stands_ready_and_nothing_is_made_afterwards() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.evaluate(other()).await.unwrap();
    settle().await;
    assert_eq!(bench.counts().ready, 2);
    bench.engine.drain_pool().await;
    assert_eq!((bench.ledger.living(), bench.counts().ready), (0, 0));
    let made = bench.ledger.created();
    let outcome = bench.evaluate(spec()).await.unwrap();
    settle().await;
    assert_eq!((outcome.evidence.start, bench.ledger.created()), (Start::Cold, made + 1));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((bench.ledger.created(), bench.ledger.living()), (made + 1, 0));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_drained_pool_keeps_nothing_ready() {
    let bench = Bench::new(Script::default(), settings());
    bench.engine.drain_pool().await;
    let _kept = bench.engine.keep_ready(&spec(), None).await.is_ok();
    settle().await;
    assert_eq!((bench.ledger.created(), bench.counts().ready), (0, 0));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_what_is_being_cleared_away() {
    let bench = Bench::new(Script::default(), settings());
    bench.switches.set_destroying(Work::Waits);
    let outcome = bench.evaluate(spec()).await.unwrap();
    assert_eq!((outcome.evidence.start, bench.ledger.destroyed()), (Start::Cold, 0), "the result doesn't wait for it");
    settle().await;
    let mut draining = pin!(bench.engine.drain_pool());
    tokio::select! {
        () = &mut draining => unreachable!("something is still being cleared away"),
        () = settle() => {}
    }
    bench.switches.set_destroying(Work::Done);
    draining.await;
    assert_eq!(bench.ledger.living(), 0);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_what_is_being_made() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.switches.set_creating(Work::Waits);
    bench.evaluate(spec()).await.unwrap();
    settle().await;
    let drain = async {
        bench.engine.drain_pool().await;
        (bench.ledger.requests().len(), bench.ledger.created(), bench.ledger.living())
    };
    let (left, ()) = tokio::join!(drain, async {
        settle().await;
        bench.switches.set_creating(Work::Done);
    });
    settle().await;
    assert_eq!(bench.ledger.living(), 0, "in the end nothing is left");
    assert_eq!(left, (2, 2, 0), "drained while one was still being made");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_what_was_discarded() {
    let bench = Bench::new(Script::default(), PoolSettings { oldest: Duration::ZERO, ..settings() });
    bench.keep_ready(&spec()).await;
    bench.switches.set_creating(Work::Fails);
    bench.switches.set_destroying(Work::Waits);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!((bench.counts().discarded, bench.counts().ready, bench.ledger.living()), (1, 0, 1));
    let drained = tokio::select! {
        () = bench.engine.drain_pool() => true,
        () = settle() => false,
    };
    bench.switches.set_destroying(Work::Done);
    assert!(!drained, "it returned while one was still there");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn keeping_one_ready_doesnt_take_one_that_is_lost_for_it() {
    let bench = Bench::new(Script::default(), settings());
    bench.keep_ready(&spec()).await;
    bench.switches.lose(bench.ledger.requests()[0].id, Loss::MachineryLost);
    bench.keep_ready(&spec()).await;
    assert_eq!(bench.evaluate(spec()).await.unwrap().evidence.start, Start::Ready);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_more_kinds_than_have_a_place_none_is_said_to_be_kept_ready() {
    let bench = Bench::new(Script::default(), settings());
    let mut kept = 0;
    for pids in 1..=20 {
        let spec = EvaluationSpec { limits: Limits { pids, ..Limits::default() }, ..spec() };
        kept += usize::from(bench.engine.keep_ready(&spec, None).await.is_ok());
        settle().await;
    }
    assert_eq!(bench.counts().ready, kept, "as many as were said to stand ready");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_whose_keeper_went_away_while_it_was_made_is_not_missed_for_ever() {
    let bench = Bench::new(Script::default(), settings());
    bench.switches.set_creating(Work::Waits);
    let kept = tokio::time::timeout(Duration::from_secs(1), bench.engine.keep_ready(&spec(), None)).await;
    assert!(kept.is_err());
    bench.switches.set_creating(Work::Done);
    for _ in 0..3 {
        bench.evaluate_for(spec(), None, CancellationToken::new()).await.unwrap();
        settle().await;
    }
    assert!(bench.counts().hits > 0, "{:?}", bench.counts());
    bench.end().await;
}
