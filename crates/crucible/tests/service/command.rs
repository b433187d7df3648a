//! The command line as the client of a service.

use crate::place::{Place, shared};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_program_is_submitted_watched_shown_and_listed() {
    let shared = shared();
    let (place, url) = (&shared.place, shared.server.url());
    let on = |arguments: &[&str]| place.well(&[arguments, &["--server", &url]].concat());
    let id = on(&["submit", "-l", "bash", "-c", "echo out; echo err >&2", "--labels", "suite=command"]);
    let id = id.trim();
    assert_eq!(on(&["watch", id]), "out\n");
    let shown = on(&["get", id]);
    assert!(shown.contains("exited with 0 on jail") && shown.contains("--- stderr\nerr\n"), "{shown}");
    assert_eq!(json(&on(&["get", "--json", id]))["outcome"]["stdout"], "out\n");
    let listed = on(&["list", "--label", "suite=command"]);
    assert!(listed.contains(id) && listed.contains("suite=command") && listed.lines().count() == 1, "{listed}");
    let listed = json(&on(&["list", "--label", "suite=command", "--json"]));
    assert_eq!(listed["evaluations"][0]["id"], id);
    let events = on(&["watch", "--json", id]);
    let last = json(events.lines().last().unwrap());
    assert_eq!(last["kind"], "finished");
}

#[test]
fn waiting_ends_as_the_program_does() {
    let shared = shared();
    let (place, url) = (&shared.place, shared.server.url());
    let submit = |code: &str, more: &[&str]| {
        let arguments = [&["submit", "-l", "bash", "-c", code, "--wait", "--server", &url], more].concat();
        place.run(&arguments)
    };
    let done = submit("echo hi; echo no >&2; exit 3", &[]);
    assert_eq!(
        (done.status.code(), done.stdout.as_slice(), done.stderr.as_slice()),
        (Some(3), &b"hi\n"[..], &b"no\n"[..])
    );
    let late = submit("sleep 60", &["--timeout", "300ms", "--json"]);
    assert_eq!(late.status.code(), Some(124), "{}", String::from_utf8_lossy(&late.stderr));
    assert_eq!(json(&String::from_utf8(late.stdout).unwrap())["outcome"]["status"], "timed_out");
}

#[test]
fn many_programs_are_submitted_together_and_those_that_are_refused_are_named() {
    let shared = shared();
    let (place, url) = (&shared.place, shared.server.url());
    let file = |name: &str, text: &str| {
        std::fs::write(place.path(name), text).unwrap();
        place.path(name).to_str().unwrap().to_owned()
    };
    let (one, two) = (file("one.sh", "exit 0"), file("two.sh", "exit 1"));
    let done = place.run(&["submit", &one, &two, "--wait", "--server", &url]);
    assert_eq!(done.status.code(), Some(1), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(said.contains("exited with 0") && said.contains("exited with 1") && said.lines().count() == 2, "{said}");
    let ids = place.well(&["submit", &one, &one, "--server", &url]);
    assert_eq!(ids.lines().count(), 2);
    let refused = place.run(&["submit", &one, &two, "--memory", "9999GiB", "--server", &url]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("program 1 isn't") && said.contains("program 2 isn't"), "{said}");
    assert!(!refused.status.success());
}

#[test]
fn one_that_runs_is_cancelled_and_one_that_is_not_there_is_named() {
    let shared = shared();
    let (place, server) = (&shared.place, &shared.server);
    let url = server.url();
    let id = server.submit("echo on; while :; do sleep 0.1; done");
    server.until_written(&id);
    place.well(&["cancel", &id, "--server", &url]);
    assert_eq!(server.result(&id)["state"], "cancelled");
    let unknown = "019b2c4e-7a31-7d04-9f52-3c1f6f1b2a11";
    for verb in ["get", "watch", "cancel"] {
        place.badly(&[verb, unknown, "--server", &url], 66, &["there is no evaluation"]);
    }
    place.badly(&["list", "--server", "http://127.0.0.1:1"], 69, &["127.0.0.1:1"]);
    place.badly(&["list", "--server", "ftp://x"], 65, &["ftp://x"]);
    place.badly(&["list", "--state", "done", "--server", &url], 65, &["state"]);
}

#[test]
fn whoever_watches_goes_on_with_the_next_service_where_one_was_killed() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (url, address) = (server.url(), server.address.clone());
    let id = server.submit("echo first; sleep 1; echo last; exit 3");
    let mut watching = place.command(&["watch", "--json", &id, "--server", &url]).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(|line| json(&line.unwrap()));
    let mut events: Vec<Value> = Vec::new();
    while events.last().is_none_or(|event| event["kind"] != "output_produced") {
        events.push(lines.next().unwrap());
    }
    server.kill();
    let _next = place.serve(&["--listen", &address]);
    events.extend(lines);
    let watched = watching.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&watched.stderr);
    assert_eq!(watched.status.code(), Some(3), "{said}");
    let numbers: Vec<u64> = events.iter().map(|event| event["number"].as_u64().unwrap()).collect();
    // Each event once, over both services.
    assert!(numbers.iter().copied().eq(1..=u64::try_from(numbers.len()).unwrap()), "{numbers:?}");
}

#[test]
fn what_projects_may_have_is_set_and_what_is_not_named_stays() {
    let place = Place::new();
    let server = place.serve(&[]);
    let url = server.url();
    let on = |arguments: &[&str]| place.well(&[&["projects"], arguments, &["--server", &url]].concat());
    assert_eq!(on(&["list"]), "");
    let set = on(&["set", "red", "--most-running", "2", "--most-per-day", "40"]);
    assert_eq!(set, "red: at most 2 running, at most 40 within a day\n");
    assert_eq!(
        on(&["set", "red", "--most-running", "none", "--most-queued", "3"]),
        "red: at most 3 waiting, at most 40 within a day\n"
    );
    let listed = json(&on(&["list", "--json"]));
    assert_eq!(
        listed["projects"][0]["quotas"],
        serde_json::json!({"most_running": null, "most_queued": 3, "most_per_day": 40})
    );
    place.badly(&["projects", "set", "red", "--most-running", "-1"], 2, &["neither a whole number nor none"]);
    place.badly(&["projects", "set", "red", "--most-running", "many"], 2, &["neither a whole number nor none"]);
    place.badly(&["projects", "set", "red", "--server", &url], 2, &["--most-running"]);
    place.badly(&["projects", "set", "red", "--most-queued", "9999999999", "--server", &url], 65, &["is more than"]);
}

#[test]
fn waiting_for_what_is_held_ends_and_says_so() {
    let place = Place::new();
    let policy =
        "require = []\nunenforced_limits = 'record'\n[before]\nimports_forbidden = ['socket']\nimports = 'hold'\n";
    place.configure(
        "[run]\npolicy = './mine.toml'\n[serve]\nmost_running_on = { jail = 1 }\n",
        &[("mine.toml", policy)],
    );
    let server = place.serve(&[]);
    let jail = server.get("/v1/backends").expect(200)["backends"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["backend"] == "jail")
        .cloned();
    assert_eq!(jail.unwrap()["most_running"], 1);
    let url = server.url();
    let arguments = ["submit", "-l", "python", "-c", "import socket", "--wait", "--server", &url];
    let done = place.run(&arguments);
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(76), "{said}");
    assert!(said.contains("until somebody has decided") && said.contains("`crucible watch "), "{said}");
}
