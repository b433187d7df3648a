//! How many events a second the bus delivers within the process: one publisher, and subscribers on threads of their own that
//! take everything.
//!
//! The bus never waits for a subscriber, so the publisher here does: it stays within what is kept for each. A subscriber that
//! missed something would make the round count for nothing, and is an error.

use super::report::{machine, quantile};
use super::{Request, failed};
use crate::output::{self, Format};
use crucible_core::{
    Delivery, Error, ErrorKind, EvaluationId, EventBus, EventFilter, GlobalNumber, ProjectId, Result, StoredEvent,
    Subscription,
};
use crucible_state::memory::MemoryBus;
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Instant, SystemTime};

const ROUNDS: u32 = 10;
/// Events in a round.
const EVENTS: u64 = 500_000;
/// How far the publisher is ahead at most: less than what the bus keeps for each subscriber.
const AHEAD: u64 = 4096;
/// How many subscribers there are, and how many events are published at once: as one commit has them.
const WAYS: [(usize, usize); 4] = [(1, 1), (1, 64), (4, 1), (4, 64)];

/// How many events have to be delivered in a second, to however many.
const LEAST: f64 = 500_000.0;

#[derive(Debug, Serialize)]
struct Way {
    subscribers: usize,
    at_once: usize,
    /// Events that came to subscribers, all together.
    delivered_per_second: f64,
    published_per_second: f64,
    /// The slowest round.
    least_delivered: f64,
    /// Whether at least so many are delivered as have to be.
    kept: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    machine: String,
    rounds: u32,
    ways: Vec<Way>,
}

/// Measures and writes the result to standard output.
///
/// # Errors
/// `Infrastructure` where a subscriber didn't get everything.
pub(crate) fn run(request: &Request) -> Result<()> {
    let rounds = request.rounds.unwrap_or(ROUNDS);
    let mut measured = WAYS.map(|_| Vec::new());
    for _ in 0..rounds {
        for ((subscribers, at_once), measured) in WAYS.into_iter().zip(&mut measured) {
            measured.push(round(subscribers, at_once)?);
        }
    }
    let ways = WAYS.into_iter().zip(&measured).map(|((subscribers, at_once), published)| {
        #[expect(clippy::cast_precision_loss, reason = "there aren't so many subscribers")]
        let delivered = |part| quantile(published, part) * subscribers as f64;
        Way {
            subscribers,
            at_once,
            delivered_per_second: delivered(0.5),
            published_per_second: quantile(published, 0.5),
            least_delivered: delivered(0.0),
            kept: delivered(0.5) >= LEAST,
        }
    });
    let report = Report { benchmark: "events", machine: machine(), rounds, ways: ways.collect() };
    match request.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::data(&table(&report))?,
    };
    Ok(())
}

/// How many events a second were published and came to everybody.
fn round(subscribers: usize, at_once: usize) -> Result<f64> {
    let bus = MemoryBus::default();
    let (project, evaluation) = (ProjectId::default(), EvaluationId::generate());
    let event = |number| {
        let (project, at) = (project.clone(), SystemTime::UNIX_EPOCH);
        let (kind, body) = ("output_produced".into(), Vec::new().into());
        Arc::new(StoredEvent { global: GlobalNumber(number), project, evaluation, number, at, kind, body })
    };
    let events: Vec<_> = (1..=EVENTS).map(event).collect();
    let received: Vec<AtomicU64> = (0..subscribers).map(|_| AtomicU64::new(0)).collect();
    let lost = || Error::new(ErrorKind::Infrastructure, "measure the events", "a subscriber didn't get everything");
    thread::scope(|scope| {
        let takers: Vec<_> = received
            .iter()
            .map(|received| {
                let subscription = bus.subscribe(EventFilter::default());
                scope.spawn(move || take(subscription, received))
            })
            .collect();
        let began = Instant::now();
        let mut published = 0;
        for events in events.chunks(at_once) {
            let slowest = || received.iter().map(|received| received.load(Ordering::Relaxed)).min().unwrap_or(0);
            while published - slowest().min(published) > AHEAD - 64 && takers.iter().all(|taker| !taker.is_finished()) {
                thread::yield_now();
            }
            bus.publish(events);
            published += u64::try_from(events.len()).unwrap_or(0);
        }
        for taker in takers {
            taker.join().map_err(|_| lost())??;
        }
        #[expect(clippy::cast_precision_loss, reason = "so many events aren't sent")]
        let published = published as f64;
        Ok(published / began.elapsed().as_secs_f64())
    })
}

/// Takes everything.
fn take(mut subscription: Box<dyn Subscription>, received: &AtomicU64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| failed("start the runtime", "the asynchronous runtime can't be started").with_source(error))?;
    runtime.block_on(async {
        let mut last = 0;
        while last < EVENTS {
            match subscription.next().await {
                Some(Delivery::Events(events)) => last = events.last().map_or(last, |event| event.global.0),
                other => {
                    let message = format!("a subscriber got {other:?} after {last} events");
                    return Err(Error::new(ErrorKind::Infrastructure, "measure the events", message));
                }
            }
            received.store(last, Ordering::Relaxed);
        }
        Ok(())
    })
}

fn table(report: &Report) -> String {
    let mut text = format!(
        "events from one publisher to subscribers of everything, {EVENTS} a round, {} interleaved rounds, {}\n\n",
        report.rounds, report.machine
    );
    text.push_str("subscribers   at once   delivered/s       least   published/s   at least 500000\n");
    for way in &report.ways {
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "{:>11} {:>9} {:>13.0} {:>11.0} {:>13.0}   {}",
            way.subscribers,
            way.at_once,
            way.delivered_per_second,
            way.least_delivered,
            way.published_per_second,
            if way.kept { "kept" } else { "NOT KEPT" }
        );
    }
    text
}
