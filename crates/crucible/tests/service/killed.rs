//! A service that is killed at any moment loses nothing that it accepted, and does nothing twice that can be seen.
//!
//! `CRUCIBLE_KILLED=10000` makes it that many evaluations in place of sixty, and twenty kills in place of three; a seed behind a
//! colon repeats a run. What a client sees is that of one who asks again with the same idempotency keys until it has an answer.

use crate::place::{Place, Server, until};
use crate::processes::{Process, below};
use crate::wire::Connection;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// How many evaluations are submitted together.
const BATCH: usize = 10;
/// How long a service is let work at most before it is killed.
const LONGEST: u64 = 2500;

struct Size {
    evaluations: usize,
    kills: u32,
    seed: u64,
}

fn size() -> Size {
    let asked = std::env::var("CRUCIBLE_KILLED").unwrap_or_else(|_| "60".to_owned());
    let (evaluations, seed) = asked.split_once(':').map_or((asked.as_str(), None), |(most, seed)| (most, Some(seed)));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = seed.map_or(u64::from(now.subsec_nanos()) | 1, |seed| seed.parse().unwrap());
    let evaluations = evaluations.parse().unwrap();
    Size { evaluations, kills: if evaluations < 1000 { 3 } else { 20 }, seed }
}

/// Numbers that only look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// What number a program has, and what it does.
fn program(number: usize) -> Value {
    let code = if number.is_multiple_of(5) { format!("sleep 0.3; echo {number}") } else { format!("echo {number}") };
    json!({"code": code, "language": "bash", "labels": {"suite": "killed"}, "idempotency_key": format!("number {number}")})
}

/// Submits everything to whichever service there is, again and again where there is no answer, and gives the ids.
fn submit_all(address: &Mutex<String>, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    // What was said once holds: the same key never gets another id.
    let mut told: BTreeMap<usize, String> = BTreeMap::new();
    for first in (0..count).step_by(BATCH) {
        let numbers: Vec<usize> = (first..count.min(first + BATCH)).collect();
        let body =
            json!({"evaluations": numbers.iter().map(|number| program(*number)).collect::<Vec<_>>()}).to_string();
        until(&format!("batch {first} is accepted"), || {
            let address = address.lock().unwrap().clone();
            let head = format!(
                "POST /v1/evaluations:batch HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let answer = Connection::send(&address, &head, body.as_bytes()).and_then(Connection::answer).ok()?;
            let results = (answer.status == 200).then(|| serde_json::from_slice::<Value>(&answer.body).ok())??;
            for (number, result) in numbers.iter().zip(results["results"].as_array().unwrap()) {
                let id = result["accepted"]["id"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned();
                let known = told.entry(*number).or_insert_with(|| id.clone());
                assert_eq!(*known, id, "the key of {number} has two evaluations");
            }
            Some(())
        });
        ids.extend(numbers.iter().map(|number| told[number].clone()));
    }
    ids
}

/// The control groups of a service's sandboxes.
fn groups(service: i32) -> Vec<PathBuf> {
    crate::cgroups::folders_of(u32::try_from(service).unwrap())
}

fn processes_of(group: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Kills a service, and waits until nothing runs that came of it.
fn kill(server: Server) {
    let service = server.process();
    let descendants = below(service);
    server.kill();
    let is_left = |process: &Process| {
        Process::read(process.id).is_some_and(|now| now.started == process.started && now.is_running())
    };
    until("nothing of its sandboxes runs any more", || {
        let is_in_a_group = groups(service).iter().any(|group| {
            processes_of(group).into_iter().any(|id| Process::read(id).is_some_and(|process| process.is_running()))
        });
        (!is_in_a_group && !descendants.iter().any(is_left)).then_some(())
    });
}

/// Every evaluation of the list, page by page.
fn list(server: &Server) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/evaluations?label=suite%3Dkilled&limit=100{cursor}")).expect(200);
        all.extend(page["evaluations"].as_array().unwrap().iter().cloned());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn every_accepted_evaluation_has_exactly_one_result_whenever_the_service_is_killed() {
    let Size { evaluations, kills, seed } = size();
    eprintln!("{evaluations} evaluations, {kills} kills, seed {seed}: CRUCIBLE_KILLED={evaluations}:{seed} repeats it");
    let mut random = Random(seed);
    let place = Place::new();
    let mut server = place.serve(&[]);
    let address = Arc::new(Mutex::new(server.address.clone()));
    let client = {
        let address = Arc::clone(&address);
        std::thread::spawn(move || submit_all(&address, evaluations))
    };
    for _ in 0..kills {
        let moment = Instant::now() + Duration::from_millis(random.below(LONGEST));
        until("the moment comes", || (Instant::now() >= moment).then_some(()));
        kill(server);
        // One in four dies before it is ready.
        if random.below(4) == 0 {
            let unready = place.begin(&[]);
            let moment = Instant::now() + Duration::from_millis(random.below(LONGEST));
            until("the moment comes", || (Instant::now() >= moment).then_some(()));
            kill(unready);
        }
        server = place.serve(&[]);
        address.lock().unwrap().clone_from(&server.address);
    }
    let ids = client.join().unwrap();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), evaluations);
    let mut interrupted = 0;
    for (number, id) in ids.iter().enumerate() {
        let found = server.result(id);
        assert_eq!(found["state"], "finished", "{number}: {found}");
        assert_eq!(found["outcome"]["stdout"], format!("{number}\n"), "{found}");
        interrupted += u32::from(found["attempt"].as_u64().unwrap() > 1);
        let events: Vec<_> = server.follow(&format!("/v1/evaluations/{id}/events"), &[]).collect();
        assert!(events.iter().map(|event| event.id).eq(1..=u64::try_from(events.len()).unwrap()), "{events:?}");
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        let last = kinds.iter().filter(|kind| ["finished", "failed", "cancelled", "dead"].contains(kind)).count();
        assert!(last == 1 && kinds.last() == Some(&"finished"), "{number}: {kinds:?}");
    }
    eprintln!("{interrupted} of them were interrupted and begun again");
    let listed = list(&server);
    let listed: Vec<&str> = listed.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(listed.len(), evaluations);
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), ids.iter().map(String::as_str).collect());
    until("the queue is empty", || {
        let queue = server.get("/v1/queue").expect(200);
        ["waiting", "delayed", "leased"].iter().all(|part| queue[part] == 0).then_some(())
    });
    kill(server);
    let checked = place.well(&place.on_data(&["store", "check"]));
    assert!(checked.contains("nothing is damaged"), "{checked}");
}
