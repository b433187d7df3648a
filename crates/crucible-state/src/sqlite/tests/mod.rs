//! The suites that every queue and every store goes through, and what only a store on a disk has to bear.

mod care;
mod careless;
mod crash;
mod faults;

use super::{SqliteFolder, SqliteQueue, SqliteStore};
use crate::SystemClock;
use crate::memory::MemoryBus;
use crucible_core::{
    Change, Clock, Delivery, ErrorKind, EvaluationId, EventBus, EventFilter, HostPath, Lease, LeaseRequest, NewEvent,
    Priority, ProjectId, Queue, Started, Store, Task,
};
use crucible_testkit::clock::TestClock;
use crucible_testkit::keeping::{evaluation, event, queue_failures, store_failures};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

fn path(folder: &TempDir) -> HostPath {
    HostPath::new(folder.path().join("store"))
}

fn open(folder: &TempDir) -> SqliteFolder {
    SqliteFolder::open(&path(folder)).unwrap()
}

async fn queue(folder: &SqliteFolder) -> SqliteQueue {
    SqliteQueue::load(folder, Arc::new(SystemClock)).await.unwrap()
}

fn store(folder: &SqliteFolder) -> SqliteStore {
    SqliteStore::new(folder, Arc::new(MemoryBus::default()))
}

fn tasks(count: usize) -> Vec<Task> {
    (0..count).map(|_| Task::new(EvaluationId::generate(), ProjectId::default(), Priority::default())).collect()
}

fn ids(tasks: &[Task]) -> Vec<EvaluationId> {
    tasks.iter().map(|task| task.id).collect()
}

/// Leases everything.
async fn leases(queue: &dyn Queue) -> Vec<Lease> {
    let request = LeaseRequest { worker: "test".to_owned(), most: usize::MAX, duration: Duration::from_secs(60) };
    queue.lease(request).await.unwrap()
}

async fn leased(queue: &dyn Queue) -> Vec<EvaluationId> {
    leases(queue).await.iter().map(|lease| lease.task.id).collect()
}

#[tokio::test]
async fn the_queue_does_what_every_queue_must() {
    let folders = Mutex::new(Vec::new());
    let make = async |clock: Arc<dyn Clock>| {
        let folder = tempfile::tempdir().unwrap();
        let queue = SqliteQueue::load(&open(&folder), clock).await.unwrap();
        folders.lock().unwrap().push(folder);
        Box::new(queue) as Box<dyn Queue>
    };
    assert_eq!(queue_failures(make).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_queue_beside_a_store_does_what_every_queue_must() {
    let folders = Mutex::new(Vec::new());
    let make = async |clock: Arc<dyn Clock>| {
        let folder = tempfile::tempdir().unwrap();
        let queue = SqliteQueue::load_beside_store(&open(&folder), clock).await.unwrap();
        folders.lock().unwrap().push(folder);
        Box::new(queue) as Box<dyn Queue>
    };
    assert_eq!(queue_failures(make).await, Vec::<String>::new());
}

#[tokio::test]
async fn beside_a_store_a_queue_keeps_what_that_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let load = async || SqliteQueue::load_beside_store(&open(&folder), Arc::clone(&clock) as _).await.unwrap();
    let mut brought = tasks(7);
    for task in brought.iter_mut().skip(4) {
        task.delay = Duration::from_secs(60);
    }
    {
        let queue = load().await;
        queue.enqueue(brought.clone()).await.unwrap();
        let leases = leases(&queue).await;
        let again = Duration::from_secs(20);
        queue.give_back(leases[0].key(), crucible_core::GivenBack::Tried, again).await.unwrap();
        queue.bury(leases[1].key(), "tried".to_owned()).await.unwrap();
        // The third is worked off, and the fourth leased when it closes: the store brings that back.
        queue.acknowledge(vec![leases[2].key()]).await.unwrap();
        queue.cancel(brought[4].id).await.unwrap();
    }
    {
        let queue = load().await;
        assert_eq!(
            ids(&queue.dead(None, 10).await.unwrap().into_iter().map(|dead| dead.task).collect::<Vec<_>>()),
            [brought[1].id]
        );
        assert_eq!(leased(&queue).await, []);
        clock.advance(Duration::from_secs(20));
        let back = leases(&queue).await;
        assert_eq!(
            back.iter().map(|lease| (lease.task.id, lease.task.attempt)).collect::<Vec<_>>(),
            [(brought[0].id, 1)]
        );
        clock.advance(Duration::from_secs(40));
        let delayed = leases(&queue).await;
        assert_eq!(delayed.iter().map(|lease| lease.task.id).collect::<Vec<_>>(), [brought[5].id, brought[6].id]);
        queue.acknowledge(vec![back[0].key(), delayed[0].key()]).await.unwrap();
        queue.revive(vec![brought[1].id]).await.unwrap();
    }
    let left = leased(&load().await).await;
    assert_eq!(left, [brought[1].id, brought[6].id]);
}

#[tokio::test]
async fn the_store_does_what_every_store_must() {
    let folders = Mutex::new(Vec::new());
    let make = async || {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&open(&folder));
        folders.lock().unwrap().push(folder);
        Box::new(store) as Box<dyn Store>
    };
    assert_eq!(store_failures(make).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_queue_is_the_same_after_it_was_closed() {
    let folder = tempfile::tempdir().unwrap();
    let brought = tasks(6);
    {
        let queue = queue(&open(&folder)).await;
        queue.enqueue(brought.clone()).await.unwrap();
        let leases = leases(&queue).await;
        queue.acknowledge(vec![leases[0].key()]).await.unwrap();
        queue.bury(leases[1].key(), "tried".to_owned()).await.unwrap();
        let why = crucible_core::GivenBack::Tried;
        queue.give_back(leases[2].key(), why, Duration::ZERO).await.unwrap();
        queue.cancel(brought[3].id).await.unwrap();
        // The last two are leased when it closes.
    }
    let queue = queue(&open(&folder)).await;
    let dead = queue.dead(None, 10).await.unwrap();
    assert_eq!(
        dead.iter().map(|dead| (dead.task.id, dead.reason.as_str())).collect::<Vec<_>>(),
        [(brought[1].id, "tried")]
    );
    let leases = leases(&queue).await;
    let seen: Vec<_> = leases.iter().map(|lease| (lease.task.id, lease.task.attempt)).collect();
    assert_eq!(seen, [(brought[2].id, 1), (brought[4].id, 0), (brought[5].id, 0)]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_delays_nothing_for_longer() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::default());
    let delay = Duration::from_secs(60);
    {
        let queue = SqliteQueue::load(&open(&folder), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let delayed = tasks(1).into_iter().map(|task| Task { delay, ..task }).collect();
        queue.enqueue(delayed).await.unwrap();
    }
    clock.set_wall(clock.wall() - Duration::from_secs(365 * 86400));
    let queue = SqliteQueue::load(&open(&folder), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
    assert_eq!(leased(&queue).await, []);
    clock.advance(delay);
    assert_eq!(leased(&queue).await.len(), 1);
}

#[tokio::test]
async fn the_bus_hears_of_what_was_committed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let bus = Arc::new(MemoryBus::default());
    let store = SqliteStore::new(&open(&folder), Arc::clone(&bus) as Arc<dyn EventBus>);
    let mut heard = bus.subscribe(EventFilter::default());
    let both = tokio::join!(store.create(vec![evaluation()]), store.create(vec![evaluation(), evaluation()]));
    assert!(both.0.is_ok() && both.1.is_ok());
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        let Some(Delivery::Events(events)) = heard.next().await else { panic!("it heard something else") };
        numbers.extend(events.iter().map(|event| event.global.0));
    }
    assert_eq!(numbers, [1, 2, 3]);
}

#[tokio::test]
async fn many_at_once_share_commits_and_are_all_answered() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Arc::new(queue(&open(&folder)).await);
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let queue = Arc::clone(&queue);
        all.spawn(async move { queue.enqueue(tasks(3)).await.unwrap().len() });
    }
    assert_eq!(all.join_all().await.iter().sum::<usize>(), 600);
    assert_eq!(leased(queue.as_ref()).await.len(), 600);
}

#[tokio::test]
async fn a_page_of_large_events_ends_early_and_none_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&open(&folder));
    let large = |bytes| NewEvent { body: vec![b'x'; bytes].into(), ..event("output") };
    let new = evaluation();
    let id = new.spec.id;
    store.create(vec![new]).await.unwrap();
    let begun = store.start(id, "node".to_owned(), Change::at(SystemTime::now())).await.unwrap();
    let Started::Started { token, .. } = begun else { panic!("{begun:?}") };
    let refused = store.append(id, token, vec![large((1 << 20) + 1)]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    store.append(id, token, vec![large(1 << 20); 40]).await.unwrap();
    let mut numbers = Vec::new();
    loop {
        let page = store.events(None, id, numbers.last().copied().unwrap_or(0), 100).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() < 20, "{} events of a megabyte in one page", page.len());
        numbers.extend(page.iter().map(|event| event.number));
    }
    assert_eq!(numbers, (1..=41).collect::<Vec<_>>());
}
