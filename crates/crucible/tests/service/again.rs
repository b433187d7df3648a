//! Evaluations that are asked for again, and how much a project and a key may ask for.

use crate::place::{Place, shared, until};
use serde_json::json;

#[test]
fn a_rerun_is_a_new_evaluation_of_the_same_specification() {
    let shared = shared();
    let server = &shared.server;
    let first = server.submit_with(json!({
        "code": "read x; echo \"$x\"", "language": "bash", "stdin": "again\n", "labels": {"suite": "reruns"}, "priority": 3,
    }));
    assert_eq!(server.result(&first)["outcome"]["stdout"], "again\n");
    let second = server.post(&format!("/v1/evaluations/{first}/rerun"), &json!({})).expect(202)["id"].clone();
    let second = server.result(second.as_str().unwrap());
    assert_ne!(second["id"], json!(first));
    assert_eq!(second["outcome"]["stdout"], "again\n");
    assert_eq!(second["labels"], json!({"suite": "reruns", "crucible.rerun_of": first}));
    assert_eq!(second["priority"], 3);
    server.post("/v1/evaluations/x/rerun", &json!({})).expect_problem(404, &[]);
}

#[test]
fn a_result_stands_for_the_same_again_where_that_is_asked_for() {
    let shared = shared();
    let server = &shared.server;
    let request = json!({"code": "echo $RANDOM$RANDOM$RANDOM", "language": "bash", "deterministic": true});
    let first = server.submit_with(request.clone());
    let drawn = server.result(&first)["outcome"]["stdout"].clone();
    let again = server.post("/v1/evaluations?wait=60s", &request).expect(200);
    assert_eq!((&again["id"], &again["outcome"]["stdout"]), (&json!(first), &drawn));
    // Whoever doesn't ask for it gets a run, and so does another input, limit or program.
    for (name, value) in [("deterministic", json!(false)), ("stdin", json!("x")), ("limits", json!({"pids": 9}))] {
        let mut other = request.clone();
        other[name] = value;
        assert_ne!(server.submit_with(other), first, "{name}");
    }
    let failed = json!({"code": "exit 3", "language": "bash", "deterministic": true});
    let failed_once = server.submit_with(failed.clone());
    server.result(&failed_once);
    // A program that fails is a result, too.
    assert_eq!(server.submit_with(failed), failed_once);
    let reserved = json!({"code": "1", "labels": {"crucible.same": "x"}});
    server.post("/v1/evaluations", &reserved).expect_problem(400, &["labels", "crucible."]);
}

#[test]
fn a_project_has_what_it_may_have_and_a_key_asks_no_faster_than_it_may() {
    let place = Place::new();
    let key = |name: &str, role: &str, project: &str| {
        let output = place.run(&place.on_data(&["keys", "create", name, "--role", role, "--project", project]));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (admin, red) = (key("admin", "admin", "ops"), key("red", "submitter", "red"));
    let mut server = place.serve(&["--auth", "keys"]);
    server.key = Some(admin.clone());
    assert_eq!(server.get("/v1/projects").expect(200)["projects"], json!([]));
    let quotas = json!({"most_running": 1, "most_queued": 2, "most_per_day": 4});
    let set = server.send("PUT", "/v1/projects/red", &quotas).expect(200);
    assert_eq!(set, json!({"project": "red", "quotas": quotas}));
    assert_eq!(server.get("/v1/projects").expect(200)["projects"], json!([set]));
    server.send("PUT", "/v1/projects/A%20B", &quotas).expect_problem(400, &["project"]);
    server.send("PUT", "/v1/projects/red", &json!({"most": 1})).expect_problem(400, &["most"]);
    server
        .send("PUT", "/v1/projects/red", &json!({"most_queued": u64::MAX}))
        .expect_problem(400, &["null is no bound"]);

    server.key = Some(red);
    server.send("PUT", "/v1/projects/red", &json!({})).expect_problem(403, &["admin"]);
    let long = || json!({"code": "sleep 60", "language": "bash"});
    let first = server.submit_with(long());
    until("one runs", || (server.get("/v1/queue").expect(200)["running"] == 1).then_some(()));
    let waiting = [server.submit_with(long()), server.submit_with(long())];
    // One at a time, whatever places there are.
    assert_eq!(server.get("/v1/queue").expect(200)["running"], 1);
    let refused = server.post("/v1/evaluations", &long());
    assert!(refused.header("retry-after").is_some());
    refused.expect_problem(429, &["red", "2"]);
    for id in waiting.iter().chain([&first]) {
        server.delete(&format!("/v1/evaluations/{id}")).expect(202);
    }
    server.result(&first);
    server.result(&server.submit("echo 4"));
    server.post("/v1/evaluations", &long()).expect_problem(429, &["within a day"]);
    // What an administrator reruns counts against the project that it is of.
    server.key = Some(admin.clone());
    server.post(&format!("/v1/evaluations/{first}/rerun"), &json!({})).expect_problem(429, &["red", "within a day"]);
    server.stop();

    place.configure("[serve]\nmost_requests = 3\n", &[]);
    let mut server = place.serve(&["--auth", "keys"]);
    server.key = Some(admin);
    let refused = (0..50).map(|_| server.get("/v1/queue")).find(|answer| answer.status != 200);
    refused.unwrap().expect_problem(429, &["more requests"]);
    // Whoever asks how it is needs no key, and is answered.
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn the_demonstration_shows_five_things_and_the_page_of_the_interface_is_there() {
    let shared = shared();
    let shown = shared.place.well(&["demo", "--server", &shared.server.url()]);
    for part in [
        "1. ",
        "2. ",
        "3. ",
        "4. ",
        "5. ",
        "6 * 7 = 42",
        "reached the limit of 16 processes",
        "timed out",
        "out of memory",
        "held for a person",
        "command_started",
        "jail",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
    let page = shared.server.get("/docs/");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("swagger-ui") && page.header("content-security-policy").is_some());
}
