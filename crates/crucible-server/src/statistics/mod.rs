//! How the service has fared within the last day: counts and times, by project, in memory.
//!
//! Invariant: what is kept is bounded, however long it runs and however many projects there are. Whoever is no administrator
//! hears of their own project alone.

mod spread;

use crate::api::Api;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use crucible_api::v1;
use crucible_core::{
    Delivery, Error, ErrorKind, EventBus, EventFilter, ProjectId, QueueStatistics, StoredEvent, rfc3339,
};
use crucible_engine::{Service, Sessions, kind};
use serde::Deserialize;
use spread::Spread;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

/// Seconds of what is kept as one.
const STEP: u64 = 10;
/// Steps that are kept: a day.
const MOST_STEPS: usize = 24 * 60 * 6;
/// Projects that are told apart within one step; the rest is everybody's alone.
const MOST_PROJECTS: usize = 64;
/// Buckets of an answer.
const MOST_BUCKETS: u64 = 120;
/// How often is looked how the queue is.
const LOOKED_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default)]
struct Counts {
    submitted: u64,
    finished: BTreeMap<String, u64>,
    failed: u64,
    cancelled: u64,
    latency: Spread,
    run: Spread,
}

impl Counts {
    fn merge(&mut self, other: &Self) {
        self.submitted += other.submitted;
        self.failed += other.failed;
        self.cancelled += other.cancelled;
        for (status, more) in &other.finished {
            *self.finished.entry(status.clone()).or_default() += more;
        }
        self.latency.merge(&other.latency);
        self.run.merge(&other.run);
    }

    fn told(self) -> v1::StatisticsTotals {
        let Self { submitted, finished, failed, cancelled, latency, run } = self;
        let (latency_ms, run_ms) = (latency.percentiles(), run.percentiles());
        v1::StatisticsTotals { submitted, finished, failed, cancelled, latency_ms, run_ms }
    }
}

/// How it was at one moment.
#[derive(Clone, Debug, Default)]
struct Seen {
    queued: u64,
    running: u64,
    sandboxes: u64,
    oldest: Option<Duration>,
    /// What projects had that had anything.
    projects: BTreeMap<ProjectId, (u64, u64)>,
}

#[derive(Debug)]
struct Step {
    /// Its place among all steps since 1970.
    number: u64,
    all: Counts,
    projects: BTreeMap<ProjectId, Counts>,
    seen: Option<Seen>,
}

/// What an evaluation's last event tells.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ended {
    status: String,
    usage: Used,
    timings: Times,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Used {
    wall_ms: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Times {
    queue_ms: f64,
    create_ms: f64,
    exec_ms: f64,
    destroy_ms: f64,
}

/// Counts of one service. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Statistics(Arc<Mutex<VecDeque<Step>>>);

fn step_of(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / STEP
}

impl Statistics {
    fn steps(&self) -> MutexGuard<'_, VecDeque<Step>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the step of a moment. One that lies before the latest counts as of that, as where a clock was set back.
    fn at(&self, at: SystemTime, change: impl FnOnce(&mut Step)) {
        let (number, mut steps) = (step_of(at), self.steps());
        if steps.back().is_none_or(|last| last.number < number) {
            if steps.len() >= MOST_STEPS {
                steps.pop_front();
            }
            steps.push_back(Step { number, all: Counts::default(), projects: BTreeMap::new(), seen: None });
        }
        if let Some(step) = steps.back_mut() {
            change(step);
        }
    }

    fn count(&self, event: &StoredEvent, change: impl Fn(&mut Counts)) {
        self.at(event.at, |step| {
            change(&mut step.all);
            if step.projects.len() < MOST_PROJECTS || step.projects.contains_key(&event.project) {
                change(step.projects.entry(event.project.clone()).or_default());
            }
        });
    }

    fn event(&self, event: &StoredEvent) {
        match event.kind.as_ref() {
            kind::SUBMITTED => self.count(event, |counts| counts.submitted += 1),
            kind::FAILED | kind::DEAD => self.count(event, |counts| counts.failed += 1),
            kind::CANCELLED => self.count(event, |counts| counts.cancelled += 1),
            kind::REJECTED => self.count(event, |counts| *counts.finished.entry("denied".to_owned()).or_default() += 1),
            kind::FINISHED => {
                let Ended { status, usage, timings } = serde_json::from_slice(&event.body).unwrap_or_default();
                let Times { queue_ms, create_ms, exec_ms, destroy_ms } = timings;
                self.count(event, |counts| {
                    *counts.finished.entry(status.clone()).or_default() += 1;
                    counts.latency.add(queue_ms + create_ms + exec_ms + destroy_ms);
                    usage.wall_ms.into_iter().for_each(|wall| counts.run.add(wall));
                });
            }
            _ => {}
        }
    }

    /// Counts what a bus tells, for as long as there is one.
    pub async fn follow(self, bus: Arc<dyn EventBus>) {
        let kinds = [kind::SUBMITTED, kind::FINISHED, kind::REJECTED, kind::FAILED, kind::DEAD, kind::CANCELLED];
        let kinds = kinds.map(str::to_owned).into();
        let mut events = bus.subscribe(EventFilter { kinds, ..EventFilter::default() });
        drop(bus);
        while let Some(delivery) = events.next().await {
            if let Delivery::Events(events) = delivery {
                events.iter().for_each(|event| self.event(event));
            }
        }
    }

    fn look(&self, at: SystemTime, queue: &QueueStatistics, running: usize, sandboxes: usize) {
        let many = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let waiting = |counts: &crucible_core::TaskCounts| counts.waiting + counts.delayed;
        let projects = queue.projects.iter().take(MOST_PROJECTS);
        let seen = Seen {
            queued: waiting(&queue.all),
            running: many(running),
            sandboxes: many(sandboxes),
            oldest: queue.oldest,
            projects: projects.map(|(name, counts)| (name.clone(), (waiting(counts), counts.leased))).collect(),
        };
        self.at(at, |step| step.seen = Some(seen));
    }

    /// Looks from time to time how queue and sandboxes are, until it is told to stop.
    pub async fn watch(self, service: Arc<Service>, sessions: Arc<Sessions>, stop: CancellationToken) {
        loop {
            // A queue that can't tell leaves a gap.
            if let Ok(queue) = service.parts().queue.statistics().await {
                self.look(SystemTime::now(), &queue, service.running_now(), sessions.list().len());
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOKED_EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// What happened within so many minutes before a moment, to everybody or to a project.
    fn told(&self, now: SystemTime, minutes: u64, project: Option<&ProjectId>) -> v1::Statistics {
        let steps_wanted = (minutes * 60).div_ceil(STEP);
        let per_bucket = steps_wanted.div_ceil(MOST_BUCKETS).max(1);
        let buckets = steps_wanted.div_ceil(per_bucket);
        // A bucket begins at the same moments whenever it is asked for.
        let last = step_of(now) / per_bucket;
        let first = (last + 1).saturating_sub(buckets);
        let mut found: Vec<(Counts, Option<Seen>)> = vec![Default::default(); usize::try_from(buckets).unwrap_or(0)];
        let nothing = Counts::default();
        for step in self.steps().iter() {
            let place = (step.number / per_bucket).checked_sub(first).and_then(|place| usize::try_from(place).ok());
            let Some((counts, seen)) = place.and_then(|place| found.get_mut(place)) else { continue };
            counts.merge(project.map_or(&step.all, |project| step.projects.get(project).unwrap_or(&nothing)));
            if step.seen.is_some() {
                seen.clone_from(&step.seen);
            }
        }
        let mut totals = Counts::default();
        let told = found.into_iter().zip(first..).map(|((counts, seen), number)| {
            totals.merge(&counts);
            let begun = UNIX_EPOCH + Duration::from_secs(number * per_bucket * STEP);
            let own = |seen: &Seen| match project {
                None => (seen.queued, seen.running),
                Some(project) => seen.projects.get(project).copied().unwrap_or_default(),
            };
            let of_all = seen.as_ref().filter(|_| project.is_none());
            v1::StatisticsBucket {
                at: rfc3339(begun),
                counts: counts.told(),
                queued: seen.as_ref().map(|seen| own(seen).0),
                running: seen.as_ref().map(|seen| own(seen).1),
                sandboxes: of_all.map(|seen| seen.sandboxes),
                oldest_age_s: of_all.and_then(|seen| seen.oldest).map(|oldest| oldest.as_secs_f64()),
            }
        });
        let buckets = told.collect();
        v1::Statistics { bucket_seconds: per_bucket * STEP, buckets, totals: totals.told() }
    }
}

/// Of which time.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Span {
    /// How many minutes back; 60 where it isn't said.
    #[param(minimum = 1, maximum = 1440)]
    minutes: Option<u64>,
}

/// Show how the service has fared
///
/// Since its start, and for a day at most. For an administrator it is of all projects, for others of their own.
#[utoipa::path(get, path = "/v1/statistics", tag = "service", params(Span),
    responses((status = 200, description = "Counts and times in buckets", body = v1::Statistics)))]
pub(crate) async fn statistics(
    State(api): State<Api>,
    caller: Caller,
    span: std::result::Result<Query<Span>, QueryRejection>,
) -> std::result::Result<Json<v1::Statistics>, Problem> {
    let minutes = span?.0.minutes.unwrap_or(60);
    if !(1..=1440).contains(&minutes) {
        let message = format!("minutes: {minutes} is outside 1 to 1440");
        return Err(Error::new(ErrorKind::InvalidInput, "read the request", message).into());
    }
    Ok(Json(api.statistics.told(SystemTime::now(), minutes, caller.sees())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crucible_core::{EvaluationId, GlobalNumber};

    fn event(kind: &'static str, project: &str, second: u64, body: &str) -> StoredEvent {
        StoredEvent {
            global: GlobalNumber(1),
            project: project.parse().unwrap(),
            evaluation: EvaluationId::generate(),
            number: 1,
            at: UNIX_EPOCH + Duration::from_secs(second),
            kind: kind.into(),
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn what_happens_is_counted_in_buckets_by_project_and_forgotten_after_a_day() {
        let statistics = Statistics::default();
        let ended =
            r#"{"status": "exited", "usage": {"wall_ms": 10.0}, "timings": {"queue_ms": 1.0, "exec_ms": 20.0}}"#;
        statistics.event(&event(kind::SUBMITTED, "red", 1_000_000, "{}"));
        statistics.event(&event(kind::FINISHED, "red", 1_000_020, ended));
        statistics.event(&event(kind::SUBMITTED, "blue", 1_000_030, "{}"));
        statistics.event(&event(kind::DEAD, "blue", 1_000_030, "{}"));
        let now = UNIX_EPOCH + Duration::from_secs(1_000_035);
        let all = statistics.told(now, 1, None);
        assert_eq!((all.bucket_seconds, all.buckets.len()), (10, 6));
        assert_eq!((all.totals.submitted, all.totals.failed), (2, 1));
        assert_eq!(all.totals.finished, [("exited".to_owned(), 1)].into());
        let latency = all.totals.latency_ms.unwrap();
        assert!((latency.p50 - 21.0).abs() < 2.1, "{latency:?}");
        assert_eq!(all.buckets.iter().map(|bucket| bucket.counts.submitted).collect::<Vec<_>>(), [0, 0, 1, 0, 0, 1]);
        let red: ProjectId = "red".parse().unwrap();
        let of_red = statistics.told(now, 60, Some(&red));
        assert_eq!((of_red.bucket_seconds, of_red.buckets.len()), (30, 120));
        assert_eq!((of_red.totals.submitted, of_red.totals.failed), (1, 0));
        for step in 0..20_000 {
            statistics.event(&event(kind::SUBMITTED, "red", 2_000_000 + step * STEP, "{}"));
        }
        assert_eq!(statistics.steps().len(), MOST_STEPS);
        let later = UNIX_EPOCH + Duration::from_secs(2_000_000 + 19_999 * STEP);
        assert_eq!(statistics.told(later, 1440, None).buckets.len(), 120);
    }

    #[test]
    fn how_many_projects_are_told_apart_is_bounded() {
        let statistics = Statistics::default();
        for number in 0..1000 {
            statistics.event(&event(kind::SUBMITTED, &format!("p{number}"), 50, "{}"));
        }
        assert_eq!(statistics.steps()[0].projects.len(), MOST_PROJECTS);
        assert_eq!(statistics.told(UNIX_EPOCH + Duration::from_secs(50), 1, None).totals.submitted, 1000);
    }
}
