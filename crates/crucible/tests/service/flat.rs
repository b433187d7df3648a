//! What a service holds doesn't grow with what it has done.
//!
//! `CRUCIBLE_FLAT=100000` makes it that many evaluations in place of five hundred.

use crate::place::{Place, Server, until};
use serde_json::json;

/// How many are submitted together, and how many wait at most.
const BATCH: usize = 100;
const MOST_WAITING: u64 = 1000;
/// What the second half may add: caches that fill up, and what the allocator keeps for itself.
const MOST_GROWTH: u64 = 24 << 20;

/// Bytes of memory that a process has to itself.
fn held(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

/// Waits until no more than this wait or run.
fn until_left(server: &Server, most: u64) {
    until("the queue empties", || {
        let queue = server.get("/v1/queue").expect(200);
        let left: u64 = ["waiting", "delayed", "leased"].iter().map(|name| queue[name].as_u64().unwrap()).sum();
        (left <= most).then_some(())
    });
}

fn work(server: &Server, evaluations: usize) {
    for _ in 0..evaluations / BATCH {
        let batch = vec![json!({"code": "echo $$", "language": "bash"}); BATCH];
        let answer = server.post("/v1/evaluations:batch", &json!({"evaluations": batch})).expect(200);
        assert!(
            answer["results"].as_array().unwrap().iter().all(|one| one["accepted"]["id"].is_string()),
            "one wasn't accepted"
        );
        until_left(server, MOST_WAITING);
    }
    until_left(server, 0);
}

#[test]
fn memory_does_not_grow_with_what_was_done() {
    let evaluations: usize = std::env::var("CRUCIBLE_FLAT").map_or(500, |asked| asked.parse().unwrap());
    let place = Place::new();
    let server = place.serve(&["--log", "off"]);
    work(&server, evaluations / 2);
    let half = held(&server);
    work(&server, evaluations / 2);
    let whole = held(&server);
    eprintln!("{evaluations} evaluations: {} KiB after half of them, {} KiB after all", half >> 10, whole >> 10);
    assert!(whole <= half + MOST_GROWTH, "{half} bytes after half of them, {whole} after all");
}
