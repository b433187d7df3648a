//! Backends that are switched off, and bounded.

use crate::place::{Place, Server, until};
use serde_json::{Value, json};

fn jail(server: &Server) -> Value {
    let all = server.get("/v1/backends").expect(200)["backends"].clone();
    all.as_array().unwrap().iter().find(|backend| backend["backend"] == "jail").unwrap().clone()
}

#[test]
fn a_backend_that_is_switched_off_begins_nothing_new_even_after_a_restart() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    assert_eq!((&jail(&server)["enabled"], &jail(&server)["most_running"]), (&json!(true), &json!(null)));
    let running = server
        .submit_with(json!({"code": "echo on; read x; sleep 60", "language": "bash", "backend": "jail",
        "limits": {"timeout": "90s"}}));
    server.until_written(&running);
    let set = server.send("PUT", "/v1/backends/jail", &json!({"enabled": false})).expect(200);
    assert_eq!((&set["enabled"], &set["in_use"]), (&json!(false), &json!(false)));
    assert!(set["out_because"].as_str().unwrap().contains("switched off"), "{set}");
    // What runs goes on; what is new waits.
    assert_eq!(server.get(&format!("/v1/evaluations/{running}")).expect(200)["state"], "running");
    let waiting = server.submit_with(json!({"code": "echo 1", "language": "bash", "backend": "jail"}));
    server.kill();
    server = place.serve(&[]);
    assert_eq!((&jail(&server)["enabled"], &jail(&server)["in_use"]), (&json!(false), &json!(false)));
    assert_eq!(server.get(&format!("/v1/evaluations/{waiting}?wait=1s")).expect(200)["state"], "queued");
    server.send("PUT", "/v1/backends/jail", &json!({"enabled": true})).expect(200);
    assert_eq!(server.result(&waiting)["outcome"]["stdout"], "1\n");
    server.delete(&format!("/v1/evaluations/{running}")).expect(202);
    for (name, body, status, part) in [
        ("jial", json!({"enabled": true}), 404, "jial"),
        ("jail", json!({}), 400, "enabled"),
        ("jail", json!({"enabled": true, "most_running": 0}), 400, "most_running"),
        ("jail", json!({"enabled": true, "more": 1}), 400, "more"),
    ] {
        server.send("PUT", &format!("/v1/backends/{name}"), &body).expect_problem(status, &[part]);
    }
}

#[test]
fn no_more_run_on_a_backend_than_it_may() {
    let place = Place::new();
    let server = place.serve(&["--most-running", "4"]);
    let set = server.send("PUT", "/v1/backends/jail", &json!({"enabled": true, "most_running": 1})).expect(200);
    assert_eq!(set["most_running"], 1);
    let long = || {
        server.submit_with(json!({"code": "echo on; sleep 60", "language": "bash", "backend": "jail",
        "limits": {"timeout": "90s"}}))
    };
    let (first, second) = (long(), long());
    until("one runs", || (jail(&server)["running"] == 1).then_some(()));
    server.until_written(&first);
    let events = server.get(&format!("/v1/evaluations/{second}")).expect(200);
    assert_ne!(events["state"], "finished");
    assert_eq!(jail(&server)["running"], 1);
    server.send("PUT", "/v1/backends/jail", &json!({"enabled": true})).expect(200);
    server.until_written(&second);
    assert_eq!((&jail(&server)["running"], &jail(&server)["most_running"]), (&json!(2), &json!(null)));
    for id in [&first, &second] {
        server.delete(&format!("/v1/evaluations/{id}")).expect(202);
        server.result(id);
    }
}

#[test]
fn what_a_run_uses_is_told_while_it_runs() {
    let place = Place::new();
    let server = place.serve(&[]);
    let id = server.submit_with(json!({"code": "import time\nend = time.time() + 1\nwhile time.time() < end: pass\n"}));
    let events: Vec<_> = server.follow(&format!("/v1/evaluations/{id}/events"), &[]).collect();
    let samples: Vec<_> =
        events.iter().filter(|event| event.kind == "usage_sampled").map(|event| &event.data["data"]).collect();
    assert!((2..=12).contains(&samples.len()), "{samples:?}");
    let used: Vec<_> = samples.iter().map(|sample| sample["cpu_ms"].as_f64().unwrap()).collect();
    assert!(used.is_sorted() && used.last() > Some(&50.0), "{samples:?}");
    assert!(samples[0]["memory_bytes"].is_u64() || samples[0]["memory_bytes"].is_null(), "{samples:?}");
}
