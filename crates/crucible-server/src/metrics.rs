//! Counts for Prometheus: conventional names, base units.
//!
//! What runs come to is counted from the events that the store has committed, so that a count never says what the store
//! doesn't.

use crucible_core::{Delivery, EventBus, EventFilter, QueueStatistics, StoredEvent};
use crucible_engine::{PoolCounts, kind};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seconds: from what a warm run takes to the longest timeouts.
const TIMES: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

fn times() -> Histogram {
    Histogram::new(TIMES)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    state: String,
    backend: String,
    status: String,
    validity: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
    backend: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TaskLabels {
    state: &'static str,
}

/// The counts of one service. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Counted>);

struct Counted {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_times: Family<RouteLabels, Histogram, fn() -> Histogram>,
    evaluations: Family<RunLabels, Counter>,
    stages: Family<StageLabels, Histogram, fn() -> Histogram>,
    events: Family<KindLabels, Counter>,
    missed: Counter,
    tasks: Family<TaskLabels, Gauge>,
    oldest: Gauge<f64, AtomicU64>,
    running: Gauge,
    pool: Pool,
}

/// What the pool counts itself, as it was when it was last asked for.
#[derive(Default)]
struct Pool {
    hits: Counter,
    misses: Counter,
    discarded: Counter,
    failed: Counter,
    renewed: Counter,
    uncleared: Counter,
    ready: Gauge,
    waited: Counter<f64, AtomicU64>,
}

impl Pool {
    fn registered_in(registry: &mut Registry) -> Self {
        let pool = Self::default();
        for (name, help, counter) in [
            ("pool_hits", "Evaluations that found a sandbox ready", &pool.hits),
            ("pool_misses", "Evaluations that had their sandbox made", &pool.misses),
            ("pool_discarded", "Sandboxes that were made ahead and never used", &pool.discarded),
            ("pool_failed", "Sandboxes that could not be made ahead", &pool.failed),
            ("pool_renewed", "Sandboxes that stood ready again after a run that left nothing", &pool.renewed),
            ("pool_uncleared", "Sandboxes that could not be cleared away after their result", &pool.uncleared),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register("pool_ready", "Sandboxes that stand ready", pool.ready.clone());
        let help = "How long the sandboxes that were used had stood ready, together";
        registry.register_with_unit("pool_waited", help, Unit::Seconds, pool.waited.clone());
        pool
    }

    fn set(&self, counts: &PoolCounts) {
        let PoolCounts { hits, misses, discarded, failed, renewed, uncleared, ready, under_way: _, waited } = counts;
        for (counter, count) in [
            (&self.hits, hits),
            (&self.misses, misses),
            (&self.discarded, discarded),
            (&self.failed, failed),
            (&self.renewed, renewed),
            (&self.uncleared, uncleared),
        ] {
            // Whoever asked before and comes later makes none of them less.
            counter.inner().fetch_max(*count, Ordering::Relaxed);
        }
        self.ready.set(i64::try_from(*ready).unwrap_or(i64::MAX));
        // Of numbers that aren't negative, the greater has the greater bits.
        self.waited.inner().fetch_max(waited.as_secs_f64().to_bits(), Ordering::Relaxed);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("crucible");
        let (requests, evaluations, events) = (Family::default(), Family::default(), Family::default());
        let request_times = Family::new_with_constructor(times as fn() -> Histogram);
        let stages = Family::new_with_constructor(times as fn() -> Histogram);
        let (missed, tasks, oldest, running) =
            (Counter::default(), Family::default(), Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests that were answered", Family::clone(&requests));
        let help = "Until the head of an answer was there";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, Family::clone(&request_times));
        registry.register("evaluations", "Evaluations that got their final state", Family::clone(&evaluations));
        let help = "Where the time of evaluations went";
        registry.register_with_unit("evaluation_stage", help, Unit::Seconds, Family::clone(&stages));
        registry.register("events", "Events that were committed", Family::clone(&events));
        registry.register("events_uncounted", "Events that came too fast to be counted here", missed.clone());
        registry.register("queue_tasks", "Tasks in the queue", Family::clone(&tasks));
        let help = "How long the task that waits longest has waited";
        registry.register_with_unit("queue_oldest_age", help, Unit::Seconds, oldest.clone());
        registry.register("running_evaluations", "Evaluations that run on this node", running.clone());
        let pool = Pool::registered_in(&mut registry);
        Self(Arc::new(Counted {
            registry,
            requests,
            request_times,
            evaluations,
            stages,
            events,
            missed,
            tasks,
            oldest,
            running,
            pool,
        }))
    }
}

/// What an evaluation's last event tells.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Ended {
    backend: String,
    status: String,
    validity: String,
    timings: std::collections::BTreeMap<String, f64>,
}

impl Metrics {
    pub(crate) fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        // Whatever method somebody invents is one.
        let method = match method {
            "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS" | "PATCH" => method,
            _ => "other",
        };
        let (route, method) = (route.to_owned(), method.to_owned());
        self.0.requests.get_or_create(&RequestLabels { route: route.clone(), method: method.clone(), status }).inc();
        self.0.request_times.get_or_create(&RouteLabels { route, method }).observe(took.as_secs_f64());
    }

    /// Counts what a bus tells, for as long as there is one.
    pub async fn count(self, bus: Arc<dyn EventBus>) {
        let filter = EventFilter { kinds: BTreeSet::new(), ..EventFilter::default() };
        let mut events = bus.subscribe(filter);
        drop(bus);
        while let Some(delivery) = events.next().await {
            match delivery {
                Delivery::Events(events) => events.iter().for_each(|event| self.event(event)),
                Delivery::Missed { count, .. } => drop(self.0.missed.inc_by(count)),
            }
        }
    }

    fn event(&self, event: &StoredEvent) {
        self.0.events.get_or_create(&KindLabels { kind: event.kind.clone().into_owned() }).inc();
        if !kind::is_last(&event.kind) {
            return;
        }
        let ended: Ended = serde_json::from_slice(&event.body).unwrap_or_default();
        let Ended { backend, status, validity, timings } = ended;
        for stage in ["queue", "scan", "create", "posture", "exec", "destroy"] {
            if let Some(took) = timings.get(&format!("{stage}_ms")) {
                let labels = StageLabels { stage, backend: backend.clone() };
                self.0.stages.get_or_create(&labels).observe(took / 1e3);
            }
        }
        let state = event.kind.clone().into_owned();
        self.0.evaluations.get_or_create(&RunLabels { state, backend, status, validity }).inc();
    }

    /// Everything in Prometheus's text format. A service without a pool has nothing counted for it.
    pub(crate) fn text(&self, queue: &QueueStatistics, running: usize, pool: Option<&PoolCounts>) -> String {
        let counted = &self.0;
        let all = queue.all;
        for (state, count) in [("waiting", all.waiting), ("delayed", all.delayed), ("leased", all.leased)] {
            counted.tasks.get_or_create(&TaskLabels { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        counted.oldest.set(queue.oldest.unwrap_or_default().as_secs_f64());
        counted.running.set(i64::try_from(running).unwrap_or(i64::MAX));
        pool.into_iter().for_each(|pool| counted.pool.set(pool));
        let mut text = String::new();
        // Writing to a text never fails.
        let _ = encode(&mut text, &counted.registry);
        plain(&text)
    }
}

/// OpenMetrics as Prometheus's older text format: there a counter is described under its whole name, and units and the end
/// aren't told.
fn plain(text: &str) -> String {
    let counters: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let described = ["# HELP ", "# TYPE "].iter().find_map(|start| {
            let (name, rest) = line.strip_prefix(start)?.split_once(' ')?;
            counters.contains(name).then(|| format!("{start}{name}_total {rest}\n"))
        });
        match described {
            Some(described) => plain.push_str(&described),
            None => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_under_their_whole_names_and_nothing_else_is() {
        let metrics = Metrics::default();
        metrics.request("/v1/queue", "GET", 200, Duration::from_millis(3));
        metrics.request("/v1/queue", "BREW", 405, Duration::from_millis(3));
        let text = metrics.text(&QueueStatistics::default(), 2, None);
        for line in [
            "# TYPE crucible_http_requests_total counter",
            "crucible_http_requests_total{route=\"/v1/queue\",method=\"GET\",status=\"200\"} 1",
            "crucible_http_requests_total{route=\"/v1/queue\",method=\"other\",status=\"405\"} 1",
            "# TYPE crucible_http_request_duration_seconds histogram",
            "# TYPE crucible_events_uncounted_total counter",
            "crucible_running_evaluations 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }

    #[test]
    fn what_the_pool_counts_is_told_and_never_becomes_less() {
        let (metrics, queue) = (Metrics::default(), QueueStatistics::default());
        let counts = PoolCounts {
            hits: 7,
            misses: 2,
            discarded: 3,
            failed: 4,
            renewed: 6,
            uncleared: 5,
            ready: 6,
            under_way: 1,
            waited: Duration::from_millis(1250),
        };
        let before = metrics.text(&queue, 0, None);
        assert!(before.lines().any(|line| line == "crucible_pool_hits_total 0"), "{before}");
        metrics.text(&queue, 0, Some(&counts));
        let earlier = PoolCounts { hits: 1, ready: 1, waited: Duration::from_millis(250), ..PoolCounts::default() };
        let text = metrics.text(&queue, 0, Some(&earlier));
        for line in [
            "# TYPE crucible_pool_hits_total counter",
            "# TYPE crucible_pool_ready gauge",
            "# TYPE crucible_pool_waited_seconds_total counter",
            "crucible_pool_hits_total 7",
            "crucible_pool_misses_total 2",
            "crucible_pool_discarded_total 3",
            "crucible_pool_failed_total 4",
            "crucible_pool_renewed_total 6",
            "crucible_pool_uncleared_total 5",
            "crucible_pool_ready 1",
            "crucible_pool_waited_seconds_total 1.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
