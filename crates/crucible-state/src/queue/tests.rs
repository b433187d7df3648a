//! The rules against what they promise, over any series of calls.

use super::*;
use crucible_core::TaskCounts;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

#[derive(Clone, Debug)]
enum Call {
    Enqueue { task: usize, project: u8, priority: i8, delay: u64 },
    Lease { most: usize, seconds: u64 },
    Acknowledge { lease: usize },
    GiveBack { lease: usize, delay: u64 },
    Bury { lease: usize },
    Extend { lease: usize, seconds: u64 },
    Cancel { task: usize },
    Revive { task: usize },
    Bound { project: u8, most: Option<u32> },
    Flow(Flow),
    Pass { seconds: u64 },
}

fn call() -> impl Strategy<Value = Call> {
    let (task, lease, project) = (0..40_usize, 0..60_usize, 0..4_u8);
    prop_oneof![
        6 => (task.clone(), project.clone(), -2..3_i8, 0..3_u64)
            .prop_map(|(task, project, priority, delay)| Call::Enqueue { task, project, priority, delay }),
        5 => (1..6_usize, 1..20_u64).prop_map(|(most, seconds)| Call::Lease { most, seconds }),
        3 => lease.clone().prop_map(|lease| Call::Acknowledge { lease }),
        2 => (lease.clone(), 0..5_u64).prop_map(|(lease, delay)| Call::GiveBack { lease, delay }),
        1 => lease.clone().prop_map(|lease| Call::Bury { lease }),
        1 => (lease, 0..20_u64).prop_map(|(lease, seconds)| Call::Extend { lease, seconds }),
        1 => task.clone().prop_map(|task| Call::Cancel { task }),
        1 => task.prop_map(|task| Call::Revive { task }),
        1 => (project, proptest::option::of(0..4_u32)).prop_map(|(project, most)| Call::Bound { project, most }),
        1 => prop_oneof![Just(Flow::Open), Just(Flow::Paused), Just(Flow::Draining)].prop_map(Call::Flow),
        3 => (0..8_u64).prop_map(|seconds| Call::Pass { seconds }),
    ]
}

fn id(number: usize) -> EvaluationId {
    EvaluationId::from_bytes(u128::try_from(number).unwrap().to_be_bytes())
}

fn project(number: u8) -> ProjectId {
    format!("p{number}").parse().unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Whether every task is in exactly the indices that belong to its state, and every count is right.
fn assert_consistent(state: &mut QueueState, now: Instant) {
    let mut counts: HashMap<ProjectId, TaskCounts> = HashMap::new();
    let (mut delayed, mut leased, mut dead) = (0, 0, 0);
    for (id, entry) in &state.tasks {
        let name = state.projects.name(entry.slot);
        count(counts.entry(name).or_default(), &entry.state);
        match &entry.state {
            State::Waiting { .. } => {}
            State::Delayed { due } => {
                delayed += 1;
                assert_eq!(state.delayed.get(&(*due, entry.sequence)), Some(id));
            }
            State::Leased { token, until } => {
                leased += 1;
                assert_eq!(state.leases.get(&(*until, *token)), Some(id));
            }
            State::Dead { .. } => {
                dead += 1;
                assert!(state.dead.contains_key(id));
            }
        }
    }
    assert_eq!((delayed, leased, dead), (state.delayed.len(), state.leases.len(), state.dead.len()));
    state.advance(now);
    let waiting = state.tasks.values().filter(|entry| matches!(entry.state, State::Waiting { .. })).count();
    let statistics = state.statistics(now);
    assert_eq!(statistics.all.waiting, u64::try_from(waiting).unwrap());
    assert_eq!(statistics.oldest.is_some(), waiting > 0);
}

proptest! {
    #[test]
    fn no_task_is_leased_twice_and_none_is_lost(calls in proptest::collection::vec(call(), 1..200)) {
        let mut state = QueueState::default();
        let mut now = Instant::now();
        // What the calls so far promise.
        let mut there: HashSet<EvaluationId> = HashSet::new();
        let mut current: HashMap<EvaluationId, (LeaseToken, Instant)> = HashMap::new();
        let mut given: Vec<LeaseKey> = Vec::new();
        let mut bounds: HashMap<ProjectId, u32> = HashMap::new();
        for call in calls {
            let is_good = |current: &HashMap<EvaluationId, (LeaseToken, Instant)>, lease: &LeaseKey| {
                current.get(&lease.id).is_some_and(|(token, until)| *token == lease.token && *until > now)
            };
            match call {
                Call::Enqueue { task, project: of, priority, delay } => {
                    let task = Task {
                        id: id(task), project: project(of), priority: Priority(priority), attempt: 0, delay: seconds(delay),
                    };
                    let expected = if there.insert(task.id) { Enqueued::Added } else { Enqueued::Known };
                    prop_assert_eq!(state.enqueue(now, task), expected);
                }
                Call::Lease { most, seconds: lasting } => {
                    let paused = state.flow() == Flow::Paused;
                    let leases = state.lease(now, &LeaseRequest { worker: String::new(), most, duration: seconds(lasting) });
                    prop_assert!(leases.len() <= most && (leases.is_empty() || !paused));
                    for lease in leases {
                        prop_assert!(there.contains(&lease.task.id), "it was leased and isn't there");
                        let others = current.get(&lease.task.id).filter(|(_, until)| *until > now);
                        prop_assert!(others.is_none(), "it was leased twice");
                        prop_assert!(given.iter().all(|other| other.token != lease.token), "the token was given twice");
                        current.insert(lease.task.id, (lease.token, lease.until));
                        given.push(lease.key());
                    }
                    for (name, counts) in state.statistics(now).projects {
                        let over = bounds.get(&name).is_some_and(|most| counts.leased > u64::from(*most).max(60));
                        prop_assert!(!over);
                    }
                }
                Call::Acknowledge { lease } => if let Some(lease) = given.get(lease).copied() {
                    let done = state.acknowledge(now, &[lease]);
                    prop_assert_eq!(done.gone.len() == 1, is_good(&current, &lease));
                    prop_assert_eq!(done.lost.is_empty(), is_good(&current, &lease));
                    if done.lost.is_empty() {
                        there.remove(&lease.id);
                        current.remove(&lease.id);
                    }
                },
                Call::GiveBack { lease, delay } => if let Some(lease) = given.get(lease).copied() {
                    let kept = state.give_back(now, &lease, GivenBack::Tried, seconds(delay));
                    prop_assert_eq!(kept.is_some(), is_good(&current, &lease));
                    if kept.is_some() {
                        current.remove(&lease.id);
                    }
                },
                Call::Bury { lease } => if let Some(lease) = given.get(lease).copied() {
                    let kept = state.bury(now, &lease, "tried");
                    prop_assert_eq!(kept.is_some(), is_good(&current, &lease));
                    if kept.is_some() {
                        current.remove(&lease.id);
                    }
                },
                Call::Extend { lease, seconds: lasting } => if let Some(lease) = given.get(lease).copied() {
                    let lost = state.extend(now, &[lease], seconds(lasting));
                    prop_assert_eq!(lost.is_empty(), is_good(&current, &lease));
                    if lost.is_empty() {
                        current.insert(lease.id, (lease.token, now + seconds(lasting)));
                    }
                },
                Call::Cancel { task } => {
                    let (was, _) = state.cancel(now, id(task));
                    prop_assert_eq!(was != CancelledTask::Unknown, there.remove(&id(task)));
                    current.remove(&id(task));
                }
                Call::Revive { task } => {
                    let revived = state.revive(now, id(task));
                    prop_assert!(revived.is_none() || there.contains(&id(task)));
                }
                Call::Bound { project: of, most } => {
                    state.set_most_running(&project(of), most);
                    match most {
                        Some(most) => drop(bounds.insert(project(of), most)),
                        None => drop(bounds.remove(&project(of))),
                    }
                }
                Call::Flow(flow) => state.set_flow(flow),
                Call::Pass { seconds: passed } => now += seconds(passed),
            }
            assert_consistent(&mut state, now);
            let held: HashSet<EvaluationId> = state.tasks.keys().copied().collect();
            prop_assert_eq!(&held, &there);
        }
        // Without bounds, and with time, everything that isn't buried is leased in the end.
        state.set_flow(Flow::Open);
        (0..4).for_each(|number| state.set_most_running(&project(number), None));
        now += seconds(1000);
        let dead = state.dead(None, usize::MAX).len();
        let rest = state.lease(now, &LeaseRequest { worker: String::new(), most: usize::MAX, duration: seconds(1) });
        prop_assert_eq!(rest.len() + dead, there.len());
    }

    #[test]
    fn the_project_with_the_fewest_leases_is_next(
        tasks in proptest::collection::vec((0..5_u8, 0..10_u8), 1..80), ends in proptest::collection::vec(any::<bool>(), 80),
    ) {
        let (mut state, now) = (QueueState::default(), Instant::now());
        for (number, (of, _)) in tasks.iter().enumerate() {
            state.enqueue(now, Task::new(id(number), project(*of), Priority::default()));
        }
        let request = LeaseRequest { worker: String::new(), most: 1, duration: seconds(60) };
        for end in ends {
            let before = state.statistics(now).projects;
            let Some(lease) = state.lease(now, &request).pop() else { break };
            let running = before[&lease.task.project].leased;
            for (name, counts) in before {
                prop_assert!(counts.waiting == 0 || running <= counts.leased, "{} waits with fewer leases", name);
            }
            if end {
                state.acknowledge(now, &[lease.key()]);
            }
        }
    }

    #[test]
    fn a_bound_is_never_passed(most in 0..4_u32, tasks in proptest::collection::vec(0..3_u8, 1..40)) {
        let (mut state, now) = (QueueState::default(), Instant::now());
        state.set_most_running(&project(0), Some(most));
        for (number, of) in tasks.iter().enumerate() {
            state.enqueue(now, Task::new(id(number), project(*of), Priority::default()));
        }
        let leases = state.lease(now, &LeaseRequest { worker: String::new(), most: 100, duration: seconds(9) });
        let of_bounded = tasks.iter().filter(|of| **of == 0).count();
        let expected = tasks.len() - of_bounded + of_bounded.min(usize::try_from(most).unwrap());
        prop_assert_eq!(leases.len(), expected);
    }
}

#[test]
fn a_projects_slot_is_used_again() {
    let (mut state, now) = (QueueState::default(), Instant::now());
    let request = LeaseRequest { worker: String::new(), most: 1, duration: seconds(9) };
    for number in 0..1000 {
        state.enqueue(now, Task::new(id(number), format!("p{number}").parse().unwrap(), Priority::default()));
        let lease = state.lease(now, &request).pop().unwrap();
        assert_eq!(state.acknowledge(now, &[lease.key()]).gone.len(), 1);
    }
    assert_eq!(state.projects.slots_used(), 1);
}

#[test]
fn a_delay_beyond_reason_is_a_long_one() {
    let (mut state, now) = (QueueState::default(), Instant::now());
    let task = Task { delay: Duration::MAX, ..Task::new(id(1), project(1), Priority::default()) };
    state.enqueue(now, task);
    assert!(state.next_due().unwrap() > now + seconds(86400));
    assert!(!state.has_work(now));
}
