//! How a service ends: what runs comes to its end, or is put back, and nothing that was accepted is lost.

use crate::place::{Place, until};
use crate::processes::{Process, below};
use rustix::process::Signal;
use serde_json::json;

#[test]
fn what_runs_comes_to_its_end_and_what_waits_is_run_by_the_next() {
    let place = Place::new();
    let mut server = place.serve(&["--most-running", "1"]);
    let runs = server.submit("echo on; sleep 1; echo done");
    server.until_written(&runs);
    let waits = server.submit("echo later");
    server.signal(Signal::TERM);
    let status = server.ended();
    assert!(status.success(), "{status}: {}", place.log());
    let server = place.serve(&[]);
    let first = server.get(&format!("/v1/evaluations/{runs}")).expect(200);
    assert_eq!((&first["outcome"]["stdout"], &first["attempt"]), (&json!("on\ndone\n"), &json!(1)));
    let second = server.result(&waits);
    assert_eq!((&second["outcome"]["stdout"], &second["attempt"]), (&json!("later\n"), &json!(1)));
}

#[test]
fn what_takes_too_long_is_put_back_and_run_again() {
    let place = Place::new();
    let mut server = place.serve(&["--drain", "100ms"]);
    let id = server.submit("echo on; sleep 3; echo done");
    server.until_written(&id);
    let begun = std::time::Instant::now();
    server.signal(Signal::TERM);
    let status = server.ended();
    assert!(status.success(), "{status}: {}", place.log());
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    let server = place.serve(&[]);
    let found = server.result(&id);
    assert_eq!((&found["state"], &found["outcome"]["stdout"]), (&json!("finished"), &json!("on\ndone\n")));
    let kinds: Vec<_> = server.follow(&format!("/v1/evaluations/{id}/events"), &[]).map(|event| event.kind).collect();
    let count = |kind: &str| kinds.iter().filter(|seen| *seen == kind).count();
    assert_eq!((count("started"), count("put_back"), count("finished")), (2, 1, 1), "{kinds:?}");
}

#[test]
fn whoever_waits_or_follows_is_let_go_when_the_service_stops() {
    let place = Place::new();
    let mut server = place.serve(&["--drain", "100ms"]);
    let id = server.submit("echo on; while :; do sleep 0.1; done");
    server.until_written(&id);
    let mut events = server.follow(&format!("/v1/evaluations/{id}/events"), &[]);
    let firehose = server.follow("/v1/events?after=0", &[]);
    let waiting = server.open_waiting(&format!("/v1/evaluations/{id}?wait=5m"));
    server.signal(Signal::TERM);
    assert!(!events.by_ref().any(|event| event.kind == "finished"));
    assert!(firehose.count() > 0);
    let answer = waiting.join().unwrap();
    assert_eq!(answer.expect(200)["id"], id);
    let status = server.ended();
    assert!(status.success(), "{status}: {}", place.log());
}

#[test]
fn a_service_that_still_tests_itself_ends_at_once() {
    let place = Place::new();
    let mut server = place.begin(&[]);
    // It listens to signals before it opens its folder, and tests itself after that.
    until("the folder is there", || place.data().is_dir().then_some(()));
    let begun = std::time::Instant::now();
    server.signal(Signal::TERM);
    let status = server.ended();
    assert!(status.success(), "{status}: {}", place.log());
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn sandboxes_that_are_open_end_with_the_service() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let id = server.post("/v1/sandboxes", &json!({})).expect(201)["id"].as_str().unwrap().to_owned();
    let command = json!({"command": ["sh", "-c", "echo on; while :; do sleep 0.1; done"]}).to_string();
    let headers = [("content-type", "application/json")];
    let path = format!("/v1/sandboxes/{id}/exec?stream=true");
    let mut exec = server.open("POST", &path, &headers, command.as_bytes()).unwrap();
    until("it writes", || String::from_utf8(exec.piece().unwrap().unwrap()).unwrap().contains("output").then_some(()));
    let descendants = below(server.process());
    server.signal(Signal::TERM);
    let status = server.ended();
    assert!(status.success(), "{status}: {}", place.log());
    until("nothing of it runs", || {
        let is_left = |process: &Process| {
            Process::read(process.id).is_some_and(|now| now.started == process.started && now.is_running())
        };
        (!descendants.iter().any(is_left)).then_some(())
    });
}
