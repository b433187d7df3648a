//! The suites that every queue and every event bus goes through, and that they aren't blind.

use super::{MemoryBus, MemoryQueue};
use async_trait::async_trait;
use crucible_core::{
    CancelledTask, Clock, Component, DeadTask, Enqueued, EvaluationId, EventBus, EventFilter, Flow, GivenBack, Lease,
    LeaseKey, LeaseRequest, LeaseState, ProjectId, Queue, QueueStatistics, Result, SelfTest, StoredEvent, Subscription,
    Task,
};
use crucible_testkit::keeping::{bus_failures, queue_failures};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn the_queue_does_what_every_queue_must() {
    let failures = queue_failures(async |clock| Box::new(MemoryQueue::new(clock)) as Box<dyn Queue>).await;
    assert_eq!(failures, Vec::<String>::new());
}

#[tokio::test]
async fn the_bus_does_what_every_bus_must() {
    let make = |buffer| Box::new(MemoryBus::with_buffer(usize::try_from(buffer).unwrap())) as Box<dyn EventBus>;
    assert_eq!(bus_failures(make).await, Vec::<String>::new());
}

/// A queue that believes every acknowledgement, and leases ahead of priority and time.
struct Credulous(MemoryQueue);

#[async_trait]
impl Component for Credulous {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn self_test(&self) -> SelfTest {
        self.0.self_test().await
    }
}

#[async_trait]
impl Queue for Credulous {
    async fn enqueue(&self, mut tasks: Vec<Task>) -> Result<Vec<Enqueued>> {
        for task in &mut tasks {
            task.delay = Duration::ZERO;
            task.priority = crucible_core::Priority::default();
        }
        self.0.enqueue(tasks).await
    }

    async fn lease(&self, request: LeaseRequest) -> Result<Vec<Lease>> {
        self.0.lease(request).await
    }

    async fn wait_for_work(&self) {
        self.0.wait_for_work().await;
    }

    async fn extend(&self, leases: Vec<LeaseKey>, duration: Duration) -> Result<Vec<LeaseKey>> {
        self.0.extend(leases, duration).await
    }

    async fn acknowledge(&self, leases: Vec<LeaseKey>) -> Result<Vec<LeaseKey>> {
        for lease in leases {
            self.0.cancel(lease.id).await?;
        }
        Ok(Vec::new())
    }

    async fn give_back(&self, lease: LeaseKey, why: GivenBack, _delay: Duration) -> Result<LeaseState> {
        self.0.give_back(lease, why, Duration::ZERO).await
    }

    async fn bury(&self, lease: LeaseKey, reason: String) -> Result<LeaseState> {
        self.0.bury(lease, reason).await
    }

    async fn cancel(&self, _id: EvaluationId) -> Result<CancelledTask> {
        Ok(CancelledTask::Waiting)
    }

    async fn set_flow(&self, _flow: Flow) -> Result<()> {
        Ok(())
    }

    async fn set_most_running(&self, _project: ProjectId, _most: Option<u32>) -> Result<()> {
        Ok(())
    }

    async fn statistics(&self) -> Result<QueueStatistics> {
        self.0.statistics().await
    }

    async fn dead(&self, _after: Option<EvaluationId>, most: usize) -> Result<Vec<DeadTask>> {
        self.0.dead(None, most).await
    }

    async fn revive(&self, ids: Vec<EvaluationId>) -> Result<Vec<EvaluationId>> {
        self.0.revive(ids).await
    }
}

#[tokio::test]
async fn the_suite_of_queues_is_not_blind() {
    let make = async |clock: Arc<dyn Clock>| Box::new(Credulous(MemoryQueue::new(clock))) as Box<dyn Queue>;
    let failures = queue_failures(make).await;
    for case in [
        "passes_in_order",
        "priority_goes_first",
        "a_bound_holds",
        "a_lease_runs_out",
        "a_task_is_given_back",
        "a_task_can_be_delayed",
        "a_dead_task_can_be_revived",
        "a_task_can_be_cancelled",
        "the_flow_can_be_stopped",
    ] {
        assert!(failures.iter().any(|failure| failure.starts_with(case)), "{case} isn't among {failures:#?}");
    }
}

/// A bus that tells everybody everything.
struct Talkative(MemoryBus);

#[async_trait]
impl Component for Talkative {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn self_test(&self) -> SelfTest {
        self.0.self_test().await
    }
}

impl EventBus for Talkative {
    fn publish(&self, events: &[Arc<StoredEvent>]) {
        self.0.publish(events);
    }

    fn subscribe(&self, _filter: EventFilter) -> Box<dyn Subscription> {
        self.0.subscribe(EventFilter::default())
    }
}

#[tokio::test]
async fn the_suite_of_buses_is_not_blind() {
    let failures = bus_failures(|_| Box::new(Talkative(MemoryBus::with_buffer(3))) as Box<dyn EventBus>).await;
    for case in ["a_filter_holds", "the_slow_are_told"] {
        assert!(failures.iter().any(|failure| failure.starts_with(case)), "{case} isn't among {failures:#?}");
    }
}
