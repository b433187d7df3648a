//! What was seen of a run, in its record, and how it stands to earlier runs with its label.

use crate::support::{Bench, Recorder, spec};
use crucible_core::{
    BaselineStore, BehaviorKind, Comparison, Counters, Coverage, EvaluationSpec, Event, ExitKind, GuestPath, Label,
    Learnt, LimitKind, Observation, Outcome, Source, Status, Tripwire, Validity, Watchable,
};
use crucible_testkit::baselines::{MemoryBaselines, StoreFault};
use crucible_testkit::fake::{Script, Step, everything};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

fn label() -> Label {
    "gsm8k".parse().unwrap()
}

fn labelled() -> EvaluationSpec {
    EvaluationSpec { label: Some(label()), ..spec() }
}

/// A guest that takes this long, and what else.
fn takes(cpu: Duration, more: impl Into<Vec<Step>>) -> Script {
    let mut steps = more.into();
    steps.push(Step::UseCpu(cpu));
    Script { counters: Counters { memory_peak_bytes: Some(9 << 20), ..Counters::default() }, ..Script::of(steps) }
}

async fn evaluate(script: Script, store: &Arc<MemoryBaselines>) -> Outcome {
    Bench::new(script).with_baselines(Arc::clone(store) as Arc<dyn BaselineStore>).evaluate(labelled()).await.unwrap()
}

fn connects() -> Step {
    Step::Behave(BehaviorKind::ConnectionRefused, Source::Claimed, "127.0.0.1:80".to_owned())
}

/// A store in which eight ordinary runs are.
async fn eight() -> Arc<MemoryBaselines> {
    let store = Arc::new(MemoryBaselines::default());
    for earlier in 0..8 {
        let outcome = evaluate(takes(Duration::from_millis(200), []), &store).await;
        let record = outcome.baseline.unwrap();
        assert_eq!((record.runs, record.comparison), (earlier, Comparison::TooFew { needed: 8 }));
        assert_eq!((record.learnt, outcome.anomalies.len()), (Learnt::Yes, 0));
    }
    store
}

#[tokio::test(start_paused = true)]
async fn what_the_host_sees_is_in_the_record_in_words() {
    let seen = Observation {
        kind: BehaviorKind::ProcessStarted,
        name: "sh -c \u{1b}[2J".to_owned(),
        source: Source::Host,
        at: Instant::now(),
    };
    let wire: Tripwire = "file=key".parse().unwrap();
    let touch = Step::Touch(GuestPath::parse("key").unwrap(), crucible_core::TouchKind::Opened);
    let script = Script::of([connects(), connects(), touch, Step::MeetLimit(LimitKind::Pids)]).with_observation(seen);
    let recorder = Recorder::default();
    let bench = Bench::new(script);
    let spec = EvaluationSpec { tripwires: vec![wire], ..spec() };
    let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
    // Not in this order: the test's own clock stands still, and the one of the tripwires does not.
    let mut told: Vec<_> =
        outcome.behavior.iter().map(|one| (one.kind, one.name.as_str(), one.source, one.count)).collect();
    told.sort();
    assert_eq!(
        told,
        [
            (BehaviorKind::ProcessStarted, "sh -c \u{fffd}[2J", Source::Host, 1),
            (BehaviorKind::ConnectionRefused, "127.0.0.1:80", Source::Claimed, 2),
            (BehaviorKind::LimitReached, "pids", Source::Host, 1),
            (BehaviorKind::TripwireTouched, "/work/key", Source::Host, 1),
        ]
    );
    let said_of = |kind| &outcome.behavior.iter().find(|one| one.kind == kind).unwrap().message;
    let said = said_of(BehaviorKind::ConnectionRefused);
    assert!(
        said.starts_with("tried to connect to 127.0.0.1:80 2 times, first at ") && said.contains("refused"),
        "{said}"
    );
    assert_eq!(said_of(BehaviorKind::LimitReached), "reached the limit of 64 processes");
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_label_is_compared_with_nothing_and_not_remembered() {
    let store = Arc::new(MemoryBaselines::default());
    let bench = Bench::new(takes(Duration::ZERO, [])).with_baselines(Arc::clone(&store) as Arc<dyn BaselineStore>);
    assert_eq!(bench.evaluate(spec()).await.unwrap().baseline, None);
    assert_eq!(store.labels().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_out_is_flagged_and_not_learnt_from() {
    let store = eight().await;
    for _ in 0..3 {
        let outcome = evaluate(takes(Duration::from_secs(9), [connects()]), &store).await;
        let metrics: Vec<_> = outcome.anomalies.iter().map(|anomaly| anomaly.metric.as_str()).collect();
        assert_eq!(metrics, ["connection_refused", "cpu_ms"]);
        assert!(outcome.anomalies[0].message.starts_with("no earlier run with this label tried to connect (of 8)"));
        let record = outcome.baseline.unwrap();
        assert_eq!((record.runs, record.comparison), (8, Comparison::Compared));
        assert_eq!(record.learnt, Learnt::No { reason: "it stands out".to_owned() });
        assert_eq!(outcome.validity, Validity::Valid);
    }
    let outcome = evaluate(takes(Duration::from_millis(210), []), &store).await;
    assert_eq!((outcome.anomalies.len(), outcome.baseline.unwrap().learnt), (0, Learnt::Yes));
    let history = store.history(&label()).await.unwrap();
    assert_eq!(history.profiles.len(), 9);
    let last = history.profiles.last().unwrap();
    assert_eq!(
        (last.cpu, last.ended, last.backend.as_str()),
        (Duration::from_millis(210), ExitKind::Succeeded, "fake")
    );
    assert_eq!(last.behavior.len(), BehaviorKind::ALL.len());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_not_to_be_believed_is_compared_and_not_learnt_from() {
    let store = eight().await;
    let wire: Tripwire = "file=key".parse().unwrap();
    let touch = Step::Touch(GuestPath::parse("key").unwrap(), crucible_core::TouchKind::Read);
    let bench = Bench::new(takes(Duration::from_millis(200), [touch]))
        .with_baselines(Arc::clone(&store) as Arc<dyn BaselineStore>);
    let outcome = bench.evaluate(EvaluationSpec { tripwires: vec![wire], ..labelled() }).await.unwrap();
    assert_eq!(outcome.anomalies[0].metric, "tripwire_touched");
    let record = outcome.baseline.unwrap();
    assert_eq!(record.comparison, Comparison::Compared);
    assert!(matches!(record.learnt, Learnt::No { reason } if reason.contains("believed")));
    assert_eq!(store.history(&label()).await.unwrap().profiles.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_ended_for_what_it_did_is_told_as_it_happens_and_not_learnt_from() {
    let store = eight().await;
    let bench = Bench::new(takes(Duration::ZERO, [connects(), Step::WaitForever]))
        .with_baselines(Arc::clone(&store) as Arc<dyn BaselineStore>);
    let mut spec = labelled();
    spec.policy.during.end_on.insert(BehaviorKind::ConnectionRefused);
    let recorder = Recorder::default();
    let outcome = bench.evaluate_with(spec, &recorder, CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.status, Status::Denied);
    assert!(recorder.events().iter().any(|event| matches!(
        event,
        Event::BehaviorSeen { kind: BehaviorKind::ConnectionRefused, source: Source::Claimed, .. }
    )));
    assert_eq!(outcome.anomalies[0].metric, "connection_refused");
    assert_eq!(outcome.baseline.unwrap().learnt, Learnt::No { reason: "it was ended for what it did".to_owned() });
}

#[tokio::test(start_paused = true)]
async fn whatever_a_policy_names_ends_a_run_that_would_go_on_and_nothing_else_does() {
    let touch = || Step::Touch(GuestPath::parse("key").unwrap(), crucible_core::TouchKind::Opened);
    let leak = || Step::WriteVariable(crucible_core::Stream::Stdout, "TOKEN".to_owned());
    for (step, kind, name) in [
        (connects(), BehaviorKind::ConnectionRefused, "127.0.0.1:80"),
        (Step::MeetLimit(LimitKind::Pids), BehaviorKind::LimitReached, "pids"),
        (touch(), BehaviorKind::TripwireTouched, "/work/key"),
        (leak(), BehaviorKind::TripwireTouched, "TOKEN"),
    ] {
        let tripwires = || ["file=other", "file=key", "environment=TOKEN"].map(|text| text.parse().unwrap()).to_vec();
        let mut named = EvaluationSpec { tripwires: tripwires(), ..spec() };
        named.policy.during.end_on.insert(kind);
        let outcome = Bench::new(Script::of([step.clone(), Step::WaitForever])).evaluate(named).await.unwrap();
        assert_eq!(outcome.status, Status::Denied, "{kind}");
        let reason = outcome.admission.reasons.last().unwrap();
        assert_eq!((reason.clause.as_str(), reason.message.clone()), ("during.end_on", format!("{kind}: {name}")));
        let unnamed = EvaluationSpec { tripwires: tripwires(), ..spec() };
        let outcome = Bench::new(Script::of([step, Step::WaitForever])).evaluate(unnamed).await.unwrap();
        assert_eq!((outcome.status, outcome.admission.reasons.len()), (Status::TimedOut, 0), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_has_nothing_to_compare() {
    let store = Arc::new(MemoryBaselines::default());
    let bench =
        Bench::new(Script::of([Step::WaitForever])).with_baselines(Arc::clone(&store) as Arc<dyn BaselineStore>);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let outcome = bench.evaluate_with(labelled(), &Recorder::default(), cancel).await.unwrap();
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(outcome.baseline.unwrap().comparison, Comparison::NothingToCompare);
    assert_eq!(store.labels().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_fails_no_run_and_is_told() {
    for (fault, reason) in [(StoreFault::Fails, "is broken"), (StoreFault::Hangs, "didn't answer within 2 seconds")] {
        let store = Arc::new(MemoryBaselines::with_fault(fault));
        let outcome = evaluate(takes(Duration::ZERO, [Step::Exit(3)]), &store).await;
        assert_eq!((outcome.status, outcome.validity), (Status::Exited { code: 3 }, Validity::Valid));
        let record = outcome.baseline.unwrap();
        assert!(
            matches!(&record.comparison, Comparison::Unavailable { reason: told } if told.contains(reason)),
            "{record:?}"
        );
        assert!(matches!(record.learnt, Learnt::No { .. }));
    }
    let store = Arc::new(MemoryBaselines::with_fault(StoreFault::IsFull));
    let record = evaluate(takes(Duration::ZERO, []), &store).await.baseline.unwrap();
    assert_eq!(record.comparison, Comparison::TooFew { needed: 8 });
    assert!(matches!(record.learnt, Learnt::Failed { reason } if reason.contains("is full")));
    let without = Bench::new(takes(Duration::ZERO, [])).evaluate(labelled()).await.unwrap();
    assert!(matches!(without.baseline.unwrap().comparison, Comparison::Unavailable { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_earlier_runs_were_not_watched_for_is_nothing_new() {
    let store = Arc::new(MemoryBaselines::default());
    let mut capabilities = everything();
    capabilities.monitoring.insert(Watchable::Network, Coverage::Unavailable { reason: "not here".to_owned() });
    for _ in 0..20 {
        let bench = Bench::with_capabilities(takes(Duration::ZERO, []), capabilities.clone());
        bench.with_baselines(Arc::clone(&store) as Arc<dyn BaselineStore>).evaluate(labelled()).await.unwrap();
    }
    let outcome = evaluate(takes(Duration::ZERO, [connects()]), &store).await;
    assert_eq!((outcome.anomalies.len(), outcome.baseline.unwrap().runs), (0, 20));
}
