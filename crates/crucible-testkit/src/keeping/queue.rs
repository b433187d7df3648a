//! What every queue must do.

use super::{Case, holds, is, note, told};
use crate::clock::TestClock;
use crucible_core::{
    CancelledTask, Clock, Enqueued, ErrorKind, EvaluationId, Flow, GivenBack, Lease, LeaseKey, LeaseRequest,
    LeaseState, Priority, ProjectId, Queue, Task,
};
use std::sync::Arc;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

struct Subject {
    queue: Box<dyn Queue>,
    clock: Arc<TestClock>,
}

impl Subject {
    async fn enqueue(&self, tasks: Vec<Task>) -> Result<Vec<Enqueued>, String> {
        self.queue.enqueue(tasks).await.map_err(told)
    }

    async fn lease(&self, most: usize) -> Result<Vec<Lease>, String> {
        let request = LeaseRequest { worker: "suite".to_owned(), most, duration: LEASE };
        self.queue.lease(request).await.map_err(told)
    }

    async fn one(&self) -> Result<Lease, String> {
        self.lease(1).await?.pop().ok_or_else(|| "nothing was leased".to_owned())
    }

    async fn acknowledge(&self, leases: &[LeaseKey]) -> Result<Vec<LeaseKey>, String> {
        self.queue.acknowledge(leases.to_vec()).await.map_err(told)
    }
}

fn task() -> Task {
    Task::new(EvaluationId::generate(), ProjectId::default(), Priority::default())
}

fn task_of(project: &str) -> Result<Task, String> {
    Ok(Task { project: project.parse().map_err(told)?, ..task() })
}

fn ids(leases: &[Lease]) -> Vec<EvaluationId> {
    leases.iter().map(|lease| lease.task.id).collect()
}

async fn passes_in_order(subject: &Subject) -> Case {
    let tasks: Vec<Task> = (0..5).map(|_| task()).collect();
    let expected: Vec<EvaluationId> = tasks.iter().map(|task| task.id).collect();
    is("what came in", subject.enqueue(tasks.clone()).await?, vec![Enqueued::Added; 5])?;
    is("what came in again", subject.enqueue(tasks).await?, vec![Enqueued::Known; 5])?;
    let leases = subject.lease(10).await?;
    is("the order", ids(&leases), expected)?;
    is("what is left to lease", subject.lease(10).await?, vec![])?;
    let keys: Vec<LeaseKey> = leases.iter().map(Lease::key).collect();
    is("what was lost", subject.acknowledge(&keys).await?, vec![])?;
    is("what was lost the second time", subject.acknowledge(&keys).await?, keys)?;
    let statistics = subject.queue.statistics().await.map_err(told)?;
    holds("nothing is left", statistics.projects.is_empty() && statistics.oldest.is_none())
}

async fn a_batch_brings_one_id_once(subject: &Subject) -> Case {
    let twice = task();
    let answers = subject.enqueue(vec![twice.clone(), twice]).await?;
    is("the answers", answers, vec![Enqueued::Added, Enqueued::Known])?;
    is("how many were leased", subject.lease(10).await?.len(), 1)
}

async fn priority_goes_first(subject: &Subject) -> Case {
    let [low, high, middle] = [-5, 7, 0].map(|priority| Task { priority: Priority(priority), ..task() });
    let expected = vec![high.id, middle.id, low.id];
    subject.enqueue(vec![low, high, middle]).await?;
    is("the order", ids(&subject.lease(10).await?), expected)
}

async fn projects_share(subject: &Subject) -> Case {
    let many: Vec<Task> = (0..20).map(|_| task_of("many")).collect::<Result<_, _>>()?;
    subject.enqueue(many).await?;
    subject.lease(4).await?;
    let few: Vec<Task> = (0..4).map(|_| task_of("few")).collect::<Result<_, _>>()?;
    subject.enqueue(few).await?;
    let next = subject.lease(4).await?;
    holds("whoever has less comes first", next.iter().all(|lease| lease.task.project.as_str() == "few"))?;
    subject.enqueue((0..9).map(|_| task_of("few")).collect::<Result<_, _>>()?).await?;
    let next = subject.lease(8).await?;
    let of_few = next.iter().filter(|lease| lease.task.project.as_str() == "few").count();
    is("who gets what while both have as much", of_few, 4)
}

async fn a_bound_holds(subject: &Subject) -> Case {
    let project: ProjectId = "bounded".parse().map_err(told)?;
    subject.queue.set_most_running(project.clone(), Some(2)).await.map_err(told)?;
    subject.enqueue((0..5).map(|_| task_of("bounded")).collect::<Result<_, _>>()?).await?;
    subject.enqueue(vec![task()]).await?;
    let leases = subject.lease(10).await?;
    is("how many were leased", leases.len(), 3)?;
    let first = leases.iter().find(|lease| lease.task.project == project).ok_or("none of the bounded project")?;
    subject.acknowledge(&[first.key()]).await?;
    is("how many more", subject.lease(10).await?.len(), 1)?;
    subject.queue.set_most_running(project, None).await.map_err(told)?;
    is("how many without the bound", subject.lease(10).await?.len(), 2)
}

async fn a_lease_runs_out(subject: &Subject) -> Case {
    subject.enqueue(vec![task()]).await?;
    let first = subject.one().await?;
    subject.clock.advance(LEASE - SECOND);
    is("what is leased before the end", subject.lease(1).await?, vec![])?;
    is("what was lost by then", subject.queue.extend(vec![first.key()], LEASE).await.map_err(told)?, vec![])?;
    subject.clock.advance(LEASE - SECOND);
    is("what is leased after it was extended", subject.lease(1).await?, vec![])?;
    subject.clock.advance(SECOND);
    let second = subject.one().await?;
    is("the task", second.task.id, first.task.id)?;
    is("the attempt", second.task.attempt, first.task.attempt + 1)?;
    holds("the token is another", second.token != first.token)?;
    is("a late acknowledgement", subject.acknowledge(&[first.key()]).await?, vec![first.key()])?;
    let late = subject.queue.give_back(first.key(), GivenBack::Tried, Duration::ZERO).await.map_err(told)?;
    is("a late return", late, LeaseState::Lost)?;
    is("a late burial", subject.queue.bury(first.key(), String::new()).await.map_err(told)?, LeaseState::Lost)?;
    let lost = subject.queue.extend(vec![first.key()], LEASE).await.map_err(told)?;
    is("a late extension", lost, vec![first.key()])?;
    is("the acknowledgement in time", subject.acknowledge(&[second.key()]).await?, vec![])
}

async fn a_task_is_given_back(subject: &Subject) -> Case {
    subject.enqueue(vec![task()]).await?;
    let first = subject.one().await?;
    let given = subject.queue.give_back(first.key(), GivenBack::Tried, SECOND * 5).await.map_err(told)?;
    is("the first return", given, LeaseState::Good)?;
    is("what is leased before its time", subject.lease(1).await?, vec![])?;
    is("how many are delayed", subject.queue.statistics().await.map_err(told)?.all.delayed, 1)?;
    subject.clock.advance(SECOND * 5);
    let second = subject.one().await?;
    is("the attempt after a try", second.task.attempt, 1)?;
    let given = subject.queue.give_back(second.key(), GivenBack::Untried, Duration::ZERO).await.map_err(told)?;
    is("the second return", given, LeaseState::Good)?;
    is("the attempt without a try", subject.one().await?.task.attempt, 1)
}

async fn a_task_can_be_delayed(subject: &Subject) -> Case {
    subject.enqueue(vec![Task { delay: SECOND, ..task() }]).await?;
    subject.clock.set_wall(std::time::UNIX_EPOCH);
    is("what is leased before its time", subject.lease(1).await?, vec![])?;
    subject.clock.advance(SECOND);
    is("how many are leased then", subject.lease(1).await?.len(), 1)
}

async fn a_dead_task_can_be_revived(subject: &Subject) -> Case {
    let tasks: Vec<Task> = (0..3).map(|_| task()).collect();
    subject.enqueue(tasks.clone()).await?;
    for lease in subject.lease(3).await? {
        is("a burial", subject.queue.bury(lease.key(), "tried".to_owned()).await.map_err(told)?, LeaseState::Good)?;
    }
    let first = subject.queue.dead(None, 2).await.map_err(told)?;
    let rest = subject.queue.dead(first.last().map(|dead| dead.task.id), 2).await.map_err(told)?;
    let seen: Vec<EvaluationId> = first.iter().chain(&rest).map(|dead| dead.task.id).collect();
    let mut expected: Vec<EvaluationId> = tasks.iter().map(|task| task.id).collect();
    expected.sort();
    is("the dead in pages", seen, expected)?;
    holds("the reason", first.iter().all(|dead| dead.reason == "tried"))?;
    is("what is known of a dead one", subject.enqueue(vec![first[0].task.clone()]).await?, vec![Enqueued::Known])?;
    let (known, unknown) = (first[0].task.id, EvaluationId::generate());
    is("who was revived", subject.queue.revive(vec![known, unknown]).await.map_err(told)?, vec![known])?;
    let again = subject.one().await?;
    is("the revived task", (again.task.id, again.task.attempt), (known, 0))
}

async fn a_task_can_be_cancelled(subject: &Subject) -> Case {
    let [waiting, leased, dead] = [task(), task(), task()];
    let cancel = async |id| subject.queue.cancel(id).await.map_err(told);
    subject.enqueue(vec![leased.clone()]).await?;
    let lease = subject.one().await?;
    subject.enqueue(vec![dead.clone()]).await?;
    subject.queue.bury(subject.one().await?.key(), "tried".to_owned()).await.map_err(told)?;
    subject.enqueue(vec![waiting.clone()]).await?;
    is("a waiting one", cancel(waiting.id).await?, CancelledTask::Waiting)?;
    is("a leased one", cancel(leased.id).await?, CancelledTask::Leased)?;
    is("a dead one", cancel(dead.id).await?, CancelledTask::Dead)?;
    is("one that is gone", cancel(dead.id).await?, CancelledTask::Unknown)?;
    is("its lease", subject.acknowledge(&[lease.key()]).await?, vec![lease.key()])?;
    subject.clock.advance(LEASE * 2);
    is("what is left", subject.lease(10).await?, vec![])
}

async fn the_flow_can_be_stopped(subject: &Subject) -> Case {
    let set = async |flow| subject.queue.set_flow(flow).await.map_err(told);
    set(Flow::Paused).await?;
    subject.enqueue(vec![task()]).await?;
    is("what is leased while it is paused", subject.lease(1).await?, vec![])?;
    set(Flow::Draining).await?;
    let refused = subject.queue.enqueue(vec![task()]).await.err().map(|error| error.kind());
    is("what comes in while it is draining", refused, Some(ErrorKind::Unavailable))?;
    is("how many are leased while it is draining", subject.lease(10).await?.len(), 1)?;
    set(Flow::Open).await?;
    is("what comes in after that", subject.enqueue(vec![task()]).await?, vec![Enqueued::Added])
}

async fn who_waits_is_woken(subject: &Subject) -> Case {
    subject.enqueue(vec![task()]).await?;
    subject.queue.wait_for_work().await;
    let lease = subject.one().await?;
    // By time.
    let late = async {
        tokio::task::yield_now().await;
        subject.clock.advance(LEASE);
    };
    tokio::join!(subject.queue.wait_for_work(), late);
    is("the task that came back", subject.one().await?.task.id, lease.task.id)?;
    // By a task.
    let (waited, added) = tokio::join!(subject.queue.wait_for_work(), subject.enqueue(vec![task()]));
    let () = waited;
    added.map(drop)
}

async fn the_numbers_are_right(subject: &Subject) -> Case {
    subject.enqueue(vec![task_of("a")?, task_of("a")?, task_of("b")?, Task { delay: SECOND, ..task_of("b")? }]).await?;
    subject.clock.advance(SECOND / 2);
    subject.lease(1).await?;
    let statistics = subject.queue.statistics().await.map_err(told)?;
    let all = statistics.all;
    is("all", [all.waiting, all.delayed, all.leased, all.dead], [2, 1, 1, 0])?;
    is("the oldest", statistics.oldest, Some(SECOND / 2))?;
    is("the projects", statistics.projects.len(), 2)?;
    let sum: u64 = statistics.projects.values().map(|counts| counts.waiting + counts.delayed + counts.leased).sum();
    is("their sum", sum, 4)
}

/// What a queue doesn't do as it should; empty where it does everything. Each case gets a new one from `make`.
pub async fn queue_failures(make: impl AsyncFn(Arc<dyn Clock>) -> Box<dyn Queue>) -> Vec<String> {
    let mut failures = Vec::new();
    macro_rules! cases {
        ($($case:ident),* $(,)?) => {$({
            let clock = Arc::new(TestClock::default());
            let subject = Subject { queue: make(Arc::clone(&clock) as Arc<dyn Clock>).await, clock };
            note(&mut failures, stringify!($case), $case(&subject).await);
        })*};
    }
    cases!(
        passes_in_order,
        a_batch_brings_one_id_once,
        priority_goes_first,
        projects_share,
        a_bound_holds,
        a_lease_runs_out,
        a_task_is_given_back,
        a_task_can_be_delayed,
        a_dead_task_can_be_revived,
        a_task_can_be_cancelled,
        the_flow_can_be_stopped,
        who_waits_is_woken,
        the_numbers_are_right,
    );
    let clock = Arc::new(TestClock::default());
    let tested = make(clock).await.self_test().await;
    note(&mut failures, "tests_itself", is("its own test", tested.is_healthy(), true));
    failures
}
