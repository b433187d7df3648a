//! A process that is killed while it writes. It is this test program, started again; it says what it was answered.

use super::{leased, queue, store};
use crate::sqlite::SqliteFolder;
use crucible_core::{
    Change, EvaluationId, EvaluationState, FinalState, HostPath, Lease, LeaseRequest, Priority, ProjectId, Queue,
    Started, Step, Store, StoreCare, Task,
};
use crucible_testkit::keeping::{evaluation, event};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const FOLDER: &str = "CRUCIBLE_TEST_CRASH_FOLDER";
const SEED: &str = "CRUCIBLE_TEST_CRASH_SEED";
const KILLS: &str = "CRUCIBLE_TEST_CRASH_KILLS";
const CHILD: &str = "sqlite::tests::crash::the_process_that_is_killed";

fn say(what: &str, id: EvaluationId) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{what} {id}").unwrap();
    out.flush().unwrap();
}

/// Does the whole way of evaluations, until it is killed; by itself it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let opened = SqliteFolder::open(&HostPath::new(folder)).unwrap();
    let (queue, store) = (Arc::new(queue(&opened).await), Arc::new(store(&opened)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (queue, store) = (Arc::clone(&queue), Arc::clone(&store));
        workers.spawn(async move {
            loop {
                step(queue.as_ref(), store.as_ref()).await;
            }
        });
    }
    workers.join_all().await;
}

async fn step(queue: &dyn Queue, store: &dyn Store) {
    let now = SystemTime::now;
    let new: Vec<_> = (0..3).map(|_| evaluation()).collect();
    let ids: Vec<EvaluationId> = new.iter().map(|new| new.spec.id).collect();
    store.create(new).await.unwrap();
    ids.iter().for_each(|id| say("created", *id));
    let tasks = ids.iter().map(|id| Task::new(*id, ProjectId::default(), Priority::default())).collect();
    queue.enqueue(tasks).await.unwrap();
    ids.iter().for_each(|id| say("enqueued", *id));
    let request = LeaseRequest { worker: "child".to_owned(), most: 2, duration: Duration::from_secs(600) };
    for lease in queue.lease(request).await.unwrap() {
        let id = lease.task.id;
        let change = |kind| Change { events: vec![event(kind)], ..Change::at(now()) };
        match store.start(id, "node".to_owned(), change("started")).await.unwrap() {
            Started::Started { token, .. } => {
                say("starts", id);
                store.append(id, token, vec![event("output")]).await.unwrap();
                let step = store.finish(id, token, FinalState::Finished, change("finished")).await.unwrap();
                assert_eq!(step, Step::Committed);
                say("finished", id);
            }
            refused => assert_eq!(refused, Started::Refused(EvaluationState::Finished)),
        }
        say("acknowledges", id);
        queue.acknowledge(vec![Lease::key(&lease)]).await.unwrap();
        say("acknowledged", id);
    }
}

/// What the process said so far, in its lives.
#[derive(Debug, Default)]
struct Said {
    of: BTreeMap<String, BTreeSet<EvaluationId>>,
}

impl Said {
    fn note(&mut self, line: &str) -> bool {
        let Some((what, id)) = line.strip_prefix('@').and_then(|line| line.split_once(' ')) else { return false };
        let Ok(id) = id.parse() else { return false };
        self.of.entry(what.to_owned()).or_default().insert(id)
    }

    fn said(&self, what: &str) -> impl Iterator<Item = EvaluationId> {
        self.of.get(what).into_iter().flatten().copied()
    }

    fn has_said(&self, what: &str, id: EvaluationId) -> bool {
        self.of.get(what).is_some_and(|ids| ids.contains(&id))
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test]
async fn what_was_answered_is_there_after_kills_at_random_moments() {
    let seed = number(SEED, 7);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut said = Said::default();
    for kill in 0..number(KILLS, 6) {
        let random = blake3::hash(format!("{seed} {kill}").as_bytes());
        let lines = 20 + u64::from(u16::from_le_bytes([random.as_bytes()[0], random.as_bytes()[1]])) % 400;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
            .env(FOLDER, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        while heard < lines {
            let line = told.next().expect("the process ended by itself").unwrap();
            heard += u64::from(said.note(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said and nobody had heard yet. The last line may be half a line.
        for line in told.map_while(Result::ok) {
            said.note(&line);
        }
        look(&path, &said).await;
    }
}

async fn look(path: &std::path::Path, said: &Said) {
    let opened = SqliteFolder::open(&HostPath::new(path)).unwrap();
    let (queue, store) = (queue(&opened).await, store(&opened));
    let checked = store.check().await.unwrap();
    assert_eq!(checked.damage, Vec::<String>::new());
    for id in said.said("created") {
        store.get(None, id).await.unwrap();
    }
    for id in said.said("finished") {
        assert_eq!(store.get(None, id).await.unwrap().summary.state, EvaluationState::Finished);
        let events = store.events(None, id, 0, 100).await.unwrap();
        assert_eq!(events.iter().filter(|event| event.kind == "finished").count(), 1, "it ended twice");
        assert!(events.iter().zip(1..).all(|(event, number)| event.number == number), "its events have holes");
    }
    let there: BTreeSet<EvaluationId> = leased(&queue).await.into_iter().collect();
    for id in said.said("enqueued") {
        if said.has_said("acknowledged", id) {
            assert!(!there.contains(&id), "{id} was acknowledged and came back");
        } else if !said.has_said("acknowledges", id) {
            assert!(there.contains(&id), "{id} was lost");
        }
    }
    let unfinished = store.unfinished(None, 10_000).await.unwrap();
    assert!(unfinished.iter().all(|one| !said.has_said("finished", one.id)));
}
