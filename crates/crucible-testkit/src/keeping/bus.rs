//! What every event bus must do.

use super::samples::event;
use super::{Case, holds, is, note};
use crucible_core::{
    Delivery, EvaluationId, EventBus, EventFilter, GlobalNumber, NewEvent, ProjectId, StoredEvent, Subscription,
};
use std::sync::Arc;

fn stored(global: u64, evaluation: EvaluationId) -> Arc<StoredEvent> {
    let NewEvent { at, kind, body } = event(if global.is_multiple_of(2) { "even" } else { "odd" });
    let project = ProjectId::default();
    Arc::new(StoredEvent { global: GlobalNumber(global), project, evaluation, number: global, at, kind, body })
}

async fn numbers(subscription: &mut dyn Subscription, count: usize) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        match subscription.next().await {
            Some(Delivery::Events(events)) => numbers.extend(events.iter().map(|event| event.global.0)),
            other => return Err(format!("{other:?} came")),
        }
    }
    Ok(numbers)
}

async fn everything_comes_in_order(bus: &dyn EventBus, _buffer: u64) -> Case {
    let mut subscription = bus.subscribe(EventFilter::default());
    let id = EvaluationId::generate();
    bus.publish(&[stored(1, id), stored(2, id)]);
    bus.publish(&[stored(3, id)]);
    is("what came", numbers(subscription.as_mut(), 3).await?, vec![1, 2, 3])
}

async fn a_filter_holds(bus: &dyn EventBus, _buffer: u64) -> Case {
    let (one, other) = (EvaluationId::generate(), EvaluationId::generate());
    let mut of_one = bus.subscribe(EventFilter { evaluation: Some(one), ..EventFilter::default() });
    let kinds = ["even".to_owned()].into();
    let mut of_kind = bus.subscribe(EventFilter { kinds, ..EventFilter::default() });
    let stranger = "stranger".parse().ok();
    let mut of_stranger = bus.subscribe(EventFilter { project: stranger, ..EventFilter::default() });
    bus.publish(&[stored(1, one), stored(2, other), stored(3, one), stored(4, one)]);
    is("of one evaluation", numbers(of_one.as_mut(), 3).await?, vec![1, 3, 4])?;
    is("of one kind", numbers(of_kind.as_mut(), 2).await?, vec![2, 4])?;
    let nothing = tokio::select! {
        biased;
        came = of_stranger.next() => came.is_none(),
        () = tokio::task::yield_now() => true,
    };
    holds("nothing of another project", nothing)
}

async fn the_slow_are_told(bus: &dyn EventBus, buffer: u64) -> Case {
    let (mut slow, id) = (bus.subscribe(EventFilter::default()), EvaluationId::generate());
    let events: Vec<_> = (1..=buffer + 10).map(|number| stored(number, id)).collect();
    bus.publish(&events);
    is("what was kept", numbers(slow.as_mut(), 1).await?, (1..=buffer).collect())?;
    // Whatever comes before it is told is missed, too: there is no event after a gap that it doesn't know of.
    bus.publish(&[stored(buffer + 11, id)]);
    let missed = Delivery::Missed { from: GlobalNumber(buffer + 1), to: GlobalNumber(buffer + 11), count: 11 };
    is("what was told", slow.next().await, Some(missed))?;
    bus.publish(&[stored(buffer + 12, id)]);
    is("what came then", numbers(slow.as_mut(), 1).await?, vec![buffer + 12])
}

async fn the_slow_stop_nobody(bus: &dyn EventBus, buffer: u64) -> Case {
    let _asleep = bus.subscribe(EventFilter::default());
    let (mut awake, id) = (bus.subscribe(EventFilter::default()), EvaluationId::generate());
    for number in 1..=buffer * 3 {
        bus.publish(&[stored(number, id)]);
        is("what came", numbers(awake.as_mut(), 1).await?, vec![number])?;
    }
    Ok(())
}

/// What a bus doesn't do as it should; empty where it does everything. Each case gets a new one from `make`, which is told how
/// many events are to be kept for each subscriber.
pub async fn bus_failures(make: impl Fn(u64) -> Box<dyn EventBus>) -> Vec<String> {
    const BUFFER: u64 = 16;
    let mut failures = Vec::new();
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$(
            note(&mut failures, stringify!($case), $case(make(BUFFER).as_ref(), BUFFER).await);
        )*};
    }
    cases!(everything_comes_in_order, a_filter_holds, the_slow_are_told, the_slow_stop_nobody);
    let bus = make(BUFFER);
    note(&mut failures, "tests_itself", is("its own test", bus.self_test().await.is_healthy(), true));
    let mut last = bus.subscribe(EventFilter::default());
    drop(bus);
    note(&mut failures, "ends", is("what comes after its end", last.next().await, None));
    failures
}
