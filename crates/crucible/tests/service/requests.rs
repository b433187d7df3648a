//! Evaluations over HTTP: submitted once whatever is repeated, waited for, cached, cancelled, listed by pages.

use crate::place::{Place, shared};
use serde_json::{Value, json};

#[test]
fn a_program_that_is_waited_for_is_answered_with_its_outcome() {
    let shared = shared();
    let server = &shared.server;
    let request = json!({
        "code": "read line; echo got $line; echo $1 >out.txt; exit 3", "language": "bash", "args": ["a"], "stdin": "in\n",
        "collect": ["out.txt"], "labels": {"suite": "waited"},
    });
    let answer = server.post("/v1/evaluations?wait=60s", &request);
    let found = answer.expect(200);
    assert_eq!(
        (&found["state"], &found["validity"], &found["attempt"]),
        (&json!("finished"), &json!("valid"), &json!(1))
    );
    let outcome = &found["outcome"];
    assert_eq!((&outcome["status"], &outcome["exit_code"]), (&json!("exited"), &json!(3)), "{outcome}");
    assert_eq!(
        (&outcome["stdout"], &outcome["files"][0]["path"]),
        (&json!("got in\n"), &json!("out.txt")),
        "{outcome}"
    );
    assert_eq!(found["labels"], json!({"suite": "waited"}));
    let place = answer.header("location").unwrap();
    assert_eq!(place, format!("/v1/evaluations/{}", found["id"].as_str().unwrap()));
    assert_eq!(server.get(place).expect(200), found);
    // Nobody waits for longer than they said.
    let accepted = server.post("/v1/evaluations?wait=1ms", &json!({"code": "sleep 2", "language": "bash"})).expect(202);
    let id = accepted["id"].as_str().unwrap();
    assert!(["queued", "running"].contains(&accepted["state"].as_str().unwrap()), "{accepted}");
    server.delete(&format!("/v1/evaluations/{id}")).expect(202);
}

#[test]
fn a_result_has_a_tag_and_is_not_sent_again_to_those_who_have_it() {
    let shared = shared();
    let server = &shared.server;
    let id = server.submit("echo 1");
    server.result(&id);
    let path = format!("/v1/evaluations/{id}");
    let first = server.get(&path);
    let tag = first.header("etag").unwrap();
    assert!(first.header("cache-control").unwrap().contains("immutable"), "{first:?}");
    for known in [tag.to_owned(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let again = server.ask("GET", &path, &[("if-none-match", &known)], b"");
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)), "{again:?}");
        assert!(again.header("cache-control").unwrap().contains("immutable"), "{again:?}");
    }
    server.ask("GET", &path, &[("if-none-match", "\"x\"")], b"").expect(200);
}

#[test]
fn the_same_request_with_the_same_key_is_one_evaluation_and_another_one_conflicts() {
    let shared = shared();
    let server = &shared.server;
    let request = json!({"code": "echo 1", "language": "bash", "idempotency_key": "once"});
    let id = server.submit_with(request.clone());
    assert_eq!(server.submit_with(request.clone()), id);
    // The header says the same as the body.
    let in_header = json!({"code": "echo 1", "language": "bash"}).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let again = server.ask("POST", "/v1/evaluations?wait=60s", &headers, in_header.as_bytes()).expect(200);
    assert_eq!((again["id"].as_str().unwrap(), &again["state"]), (id.as_str(), &json!("finished")));
    let other = json!({"code": "echo 2", "language": "bash", "idempotency_key": "once"});
    server.post("/v1/evaluations", &other).expect_problem(409, &["idempotency_key", &id]);
    let two = [("content-type", "application/json"), ("idempotency-key", "twice")];
    let body = request.to_string();
    server.ask("POST", "/v1/evaluations", &two, body.as_bytes()).expect_problem(400, &["Idempotency-Key"]);
    let batch = server.post("/v1/evaluations:batch", &json!({"evaluations": [request, other]})).expect(200);
    assert_eq!(batch["results"][0]["accepted"], json!({"id": id, "state": "finished"}), "{batch}");
    assert_eq!(batch["results"][1]["problem"]["status"], 409, "{batch}");
}

#[test]
fn what_is_wrong_with_one_of_a_batch_says_nothing_about_the_others() {
    let shared = shared();
    let server = &shared.server;
    let good =
        |number: u32| json!({"code": format!("echo {number}"), "language": "bash", "labels": {"batch": "mixed"}});
    let long = "x".repeat(300);
    let evaluations = json!([
        good(0),
        {"code": "1", "language": "cobol"},
        good(1),
        {"code": "1", "labels": {"a": long}},
        {"code": "1", "idempotency_key": long},
        {"code": "1", "limits": {"memory": "9999GiB"}},
        {"code": "1", "delay": "soon"},
        good(2),
    ]);
    let results = server.post("/v1/evaluations:batch", &json!({"evaluations": evaluations})).expect(200);
    let results = results["results"].as_array().unwrap();
    let statuses: Vec<_> = results.iter().map(|one| one["problem"]["status"].as_u64().unwrap_or(202)).collect();
    assert_eq!(statuses, [202, 404, 202, 400, 400, 400, 400, 202], "{results:?}");
    for (number, at) in [0, 2, 7].into_iter().enumerate() {
        let found = server.result(results[at]["accepted"]["id"].as_str().unwrap());
        assert_eq!(found["outcome"]["stdout"], format!("{number}\n"));
    }
    let listed = server.get("/v1/evaluations?label=batch%3Dmixed").expect(200);
    assert_eq!(listed["evaluations"].as_array().unwrap().len(), 3);
    let too_many = vec![json!({"code": "1"}); 1001];
    server.post("/v1/evaluations:batch", &json!({"evaluations": too_many})).expect_problem(400, &["1001"]);
}

#[test]
fn a_list_comes_in_pages_that_leave_nothing_out() {
    let shared = shared();
    let server = &shared.server;
    let one = json!({"code": ":", "language": "bash", "labels": {"suite": "pages"}});
    let results = server.post("/v1/evaluations:batch", &json!({"evaluations": vec![one; 5]})).expect(200);
    let ids =
        results["results"].as_array().unwrap().iter().map(|one| one["accepted"]["id"].as_str().unwrap().to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.iter().for_each(|id| drop(server.result(id)));
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/evaluations?label=suite%3Dpages&status=exited&limit=2{cursor}");
        let page = server.get(&path).expect(200);
        let found = page["evaluations"].as_array().unwrap();
        assert!(found.len() <= 2, "{page}");
        listed.extend(found.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        match &page["cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    // The newest first.
    ids.reverse();
    assert_eq!(listed, ids);
}

#[test]
fn one_that_waits_never_starts_after_its_cancelling_and_one_that_runs_is_ended() {
    let place = Place::new();
    let server = place.serve(&["--most-running", "1"]);
    let busy = server.submit("echo on; while :; do sleep 0.1; done");
    server.until_written(&busy);
    let waiting = server.submit("echo never");
    let path = |id: &str| format!("/v1/evaluations/{id}");
    assert_eq!(server.delete(&path(&waiting)).expect(202)["state"], "cancelled");
    server.delete(&path(&busy)).expect(202);
    let ended = server.result(&busy);
    assert_eq!((&ended["state"], &ended["outcome"]["status"]), (&json!("cancelled"), &json!("cancelled")), "{ended}");
    assert_eq!(ended["outcome"]["stdout"], "on\n");
    let never = server.result(&waiting);
    assert!(never["state"] == "cancelled" && never["outcome"].is_null() && never["attempt"] == 0, "{never}");
    // What is over stays as it is.
    assert_eq!(server.delete(&path(&busy)).expect(202)["state"], "cancelled");
    assert_eq!(server.get(&path(&busy)).expect(200), ended);
}

#[test]
fn a_queue_that_drains_takes_nothing_in_and_one_that_is_paused_begins_nothing() {
    let place = Place::new();
    let server = place.serve(&[]);
    let flow = |flow: &str| server.send("PUT", "/v1/queue", &json!({"flow": flow})).expect(200)["flow"].clone();
    assert_eq!(flow("paused"), "paused");
    let id = server.submit("echo 1");
    assert_eq!(server.get("/v1/queue").expect(200)["waiting"], 1);
    assert_eq!(flow("draining"), "draining");
    let refused =
        server.post("/v1/evaluations", &json!({"code": "echo 2", "language": "bash", "idempotency_key": "k"}));
    refused.expect_problem(503, &["drains"]);
    assert!(refused.header("retry-after").is_some());
    server.result(&id);
    assert_eq!(server.get("/v1/evaluations").expect(200)["evaluations"].as_array().unwrap().len(), 1);
    assert_eq!(flow("open"), "open");
    let id = server.submit_with(json!({"code": "echo 2", "language": "bash", "idempotency_key": "k"}));
    assert_eq!(server.result(&id)["outcome"]["stdout"], "2\n");
    server.send("PUT", "/v1/queue", &json!({"flow": "closed"})).expect_problem(400, &["closed"]);
}

#[test]
fn a_program_that_is_held_waits_for_a_person() {
    let place = Place::new();
    let policy =
        "require = []\nunenforced_limits = 'record'\n[before]\nimports_forbidden = ['socket']\nimports = 'hold'\n";
    place.configure("[run]\npolicy = './mine.toml'\n", &[("mine.toml", policy)]);
    let server = place.serve(&[]);
    let held = || server.submit_with(json!({"code": "import socket\nprint(1)", "language": "python"}));
    let (good, bad, taken_back) = (held(), held(), held());
    for id in [&good, &bad, &taken_back] {
        let found = server.result(id);
        assert!(found["state"] == "held" && !found["findings"].as_array().unwrap().is_empty(), "{found}");
    }
    let review = |id: &str| format!("/v1/evaluations/{id}/review");
    let no_reason = json!({"decision": "approved", "reason": " "});
    server.post(&review(&good), &no_reason).expect_problem(400, &["reason"]);
    let approved = server.post(&review(&good), &json!({"decision": "approved", "reason": "it may"})).expect(200);
    assert_eq!(approved["state"], "queued");
    let found = server.result(&good);
    assert!(found["state"] == "finished" && found["review"]["by"] == "local", "{found}");
    let rejected = json!({"decision": "rejected", "reason": "it may not", "by": "somebody"});
    assert_eq!(server.post(&review(&bad), &rejected).expect(200)["state"], "finished");
    let found = server.get(&format!("/v1/evaluations/{bad}")).expect(200);
    assert!(found["outcome"]["status"] == "denied" && found["review"]["by"] == "somebody (local)", "{found}");
    server.post(&review(&bad), &rejected).expect_problem(409, &["finished"]);
    assert_eq!(server.delete(&format!("/v1/evaluations/{taken_back}")).expect(202)["state"], "cancelled");
    server.post(&review(&taken_back), &rejected).expect_problem(409, &["cancelled"]);
    let last: Vec<_> = server.follow(&format!("/v1/evaluations/{bad}/events"), &[]).map(|event| event.kind).collect();
    assert_eq!(last.last().unwrap(), "rejected", "{last:?}");
}
