//! What is one kind of sandbox, and what is another: nothing of one is given to the other.

use crate::bench::{Bench, id, settings, settle, source, spec};
use crucible_core::{
    BehaviorKind, ByteSize, During, EvaluationSpec, GuestPath, InputFile, Limits, Policy, Program, Readiness, Start,
    TimeSpan, UnseenPosture,
};
use crucible_testkit::fake::Script;
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

type Change = (&'static str, fn(EvaluationSpec) -> EvaluationSpec);

const OTHERS: &[Change] = &[
    ("memory", |spec| EvaluationSpec { limits: Limits { memory: ByteSize::mib(77), ..Limits::default() }, ..spec }),
    ("processes", |spec| EvaluationSpec { limits: Limits { pids: 7, ..Limits::default() }, ..spec }),
    ("time", |spec| EvaluationSpec { limits: Limits { timeout: TimeSpan::millis(777), ..Limits::default() }, ..spec }),
    ("a policy's lower limit", |spec| {
        let limits = Some(Limits { pids: 7, ..Limits::maximum() });
        EvaluationSpec { policy: Policy { limits, ..spec.policy }, ..spec }
    }),
    ("the policy's name", |spec| EvaluationSpec { policy: Policy { name: "mine".to_owned(), ..spec.policy }, ..spec }),
    ("what the policy wants seen", |spec| EvaluationSpec {
        policy: Policy { unseen_posture: UnseenPosture::Refuse, ..spec.policy },
        ..spec
    }),
    ("what the policy requires", |spec| EvaluationSpec {
        policy: Policy { require: [].into(), ..spec.policy },
        ..spec
    }),
    ("the language", |spec| EvaluationSpec { program: source("other"), ..spec }),
    ("a command", |spec| EvaluationSpec { program: Program::Command { argv: vec!["ls".to_owned()] }, ..spec }),
    ("the backend", |spec| EvaluationSpec { backend: "second".to_owned(), ..spec }),
];

#[tokio::test(start_paused = true)]
async fn another_kind_is_given_nothing_of_the_first_in_either_direction() {
    for (what, change) in OTHERS {
        for is_swapped in [false, true] {
            let bench = Bench::with_others(Script::default(), settings(), &["second"]);
            let pair = [spec(), change(spec())];
            let [standing, asked] = if is_swapped { [&pair[1], &pair[0]] } else { [&pair[0], &pair[1]] };
            bench.keep_ready(standing).await;
            let outcome = bench.evaluate(asked.clone()).await.unwrap();
            assert_eq!((outcome.evidence.start, bench.found()), (Start::Cold, (0, 1)), "{what}");
            assert!(bench.counts().ready >= 1, "{what}: what stood ready still does");
            settle().await;
            // Its own is still found, and by now one of the other, too.
            let outcome = bench.evaluate(standing.clone()).await.unwrap();
            assert_eq!((outcome.evidence.start, bench.found()), (Start::Ready, (1, 1)), "{what}");
            let outcome = bench.evaluate(asked.clone()).await.unwrap();
            assert_eq!((outcome.evidence.start, bench.found()), (Start::Ready, (2, 1)), "{what}");
            bench.end().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_differs_only_in_the_program_is_the_same_kind() {
    const SAME: &[Change] = &[
        ("code", |spec| {
            let program = Program::Source { language: "test".to_owned(), code: vec![0; 9], args: vec!["a".to_owned()] };
            EvaluationSpec { program, ..spec }
        }),
        ("input", |spec| EvaluationSpec { stdin: b"in".to_vec(), ..spec }),
        ("environment", |spec| EvaluationSpec { env: BTreeMap::from([("A".to_owned(), "b".to_owned())]), ..spec }),
        ("files", |spec| {
            let path = GuestPath::parse("x").unwrap();
            let file = InputFile { path: path.clone(), content: vec![1], executable: false };
            EvaluationSpec { files: vec![file], collect: vec![path], ..spec }
        }),
        ("what ends it", |spec| {
            let during = During { end_on: [BehaviorKind::LimitReached].into(), ..During::default() };
            EvaluationSpec { policy: Policy { during, ..spec.policy }, ..spec }
        }),
    ];
    for (what, change) in SAME {
        let bench = Bench::new(Script::default(), settings());
        bench.keep_ready(&spec()).await;
        let outcome = bench.evaluate(change(spec())).await.unwrap();
        assert_eq!((outcome.evidence.start, bench.found()), (Start::Ready, (1, 0)), "{what}");
        bench.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn projects_share_nothing() {
    let bench = Bench::new(Script::default(), settings());
    bench.engine.keep_ready(&spec(), Some(&id("one"))).await.unwrap();
    for (project, found) in [(Some("two"), (0, 1)), (None, (0, 2)), (Some("one"), (1, 2)), (Some("two"), (2, 2))] {
        bench.evaluate_for(spec(), project, CancellationToken::new()).await.unwrap();
        assert_eq!(bench.found(), found, "{project:?}");
        settle().await;
    }
    // In whichever sandbox a program ran, it was asked for in the name of its project.
    let requests = bench.ledger.requests();
    let owner = |sandbox| requests.iter().find(|request| request.id == sandbox).unwrap().project.clone();
    let owners: Vec<_> = bench.ledger.used().into_iter().map(owner).collect();
    assert_eq!(owners, [Some(id("two")), None, Some(id("one")), Some(id("two"))]);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_sandbox_of_a_hit_is_of_the_limits_and_the_policy_that_were_asked_for() {
    let bench = Bench::new(Script::default(), settings());
    let asked = |pids| EvaluationSpec { limits: Limits { pids, ..Limits::default() }, ..spec() };
    for _ in 0..3 {
        for pids in 5..9 {
            bench.evaluate(asked(pids)).await.unwrap();
            settle().await;
            let sandbox = bench.ledger.used().pop().unwrap();
            let requests = bench.ledger.requests();
            let request = requests.iter().find(|request| request.id == sandbox).unwrap();
            assert_eq!((request.limits.pids, &request.policy), (pids, &spec().policy));
        }
    }
    assert_eq!(bench.found(), (8, 4));
    bench.end().await;
}

/// So many kinds, one after the other, each in a bench whose pool holds sixteen.
async fn forty_kinds() -> Bench {
    let bench = Bench::new(Script::default(), settings());
    for pids in 1..=40 {
        bench.evaluate(EvaluationSpec { limits: Limits { pids, ..Limits::default() }, ..spec() }).await.unwrap();
        settle().await;
    }
    bench
}

#[tokio::test(start_paused = true)]
async fn more_kinds_than_are_kept_are_made_on_request() {
    let bench = forty_kinds().await;
    // A project has a share of eight kinds: of the others none stands ready any more.
    assert_eq!((bench.counts().hits, bench.counts().ready, bench.ledger.created()), (0, 8, 80));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn every_evaluation_is_a_hit_or_a_miss() {
    let bench = forty_kinds().await;
    assert_eq!(bench.found(), (0, 40));
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_wants_nothing_made_ahead_gets_and_makes_nothing() {
    let bench = Bench::new(Script { readiness: Readiness::Interpreter, ..Script::default() }, settings());
    let cold = || EvaluationSpec { policy: Policy { warm: false, ..spec().policy }, ..spec() };
    bench.keep_ready(&cold()).await;
    assert_eq!(bench.ledger.created(), 0);
    bench.keep_ready(&spec()).await;
    for made in 2..5 {
        let outcome = bench.evaluate(cold()).await.unwrap();
        settle().await;
        assert_eq!((outcome.evidence.start, bench.found(), bench.ledger.created()), (Start::Cold, (0, 0), made));
        assert_eq!(bench.ledger.requests().pop().unwrap().readiness, Readiness::Bare);
        assert_eq!(bench.ledger.destroyed(), made - 1, "cleared away before the result is given");
    }
    bench.end().await;
}
