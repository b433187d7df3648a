//! Every route answers what is good, and says what is wrong with what isn't.

use crate::place::shared;
use serde_json::json;
use std::collections::BTreeSet;

const UNKNOWN: &str = "019b2c4e-7a31-7d04-9f52-3c1f6f1b2a11";

#[test]
fn every_route_that_reads_answers() {
    let shared = shared();
    let server = &shared.server;
    assert_eq!(server.get("/healthz").text(), "ok\n");
    assert_eq!(server.get("/readyz").text(), "ready\n");
    let described = server.get("/openapi.json").expect(200);
    assert_eq!(described["openapi"], "3.1.0");
    let operations =
        described["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let names: Vec<_> = operations.filter_map(|operation| operation["operationId"].as_str()).collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert!(names.len() > 20 && different.len() == names.len(), "{names:?}");
    for (path, part) in [
        ("/v1/evaluations", "/evaluations"),
        ("/v1/evaluations?state=finished&limit=1", "/evaluations"),
        ("/v1/sandboxes", "/sandboxes"),
        ("/v1/components", "/components/0/component"),
        ("/v1/queue", "/most_running"),
        ("/v1/backends", "/backends/0/in_use"),
    ] {
        let answer = server.get(path).expect(200);
        assert!(answer.pointer(part).is_some(), "{path}: {answer}");
        let plain = path.split('?').next().unwrap();
        assert!(described["paths"][plain]["get"]["responses"]["200"].is_object(), "{plain} isn't described");
    }
    let components = server.get("/v1/components").expect(200);
    assert!(components["ready"] == true && components["unwell"] == json!([]), "{components}");
    let metrics = server.get("/metrics");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = metrics.text();
    for line in ["# TYPE crucible_http_requests_total counter", "# TYPE crucible_queue_tasks gauge"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_a_problem_document() {
    let shared = shared();
    let server = &shared.server;
    let post =
        |path: &str, body: &str| server.ask("POST", path, &[("content-type", "application/json")], body.as_bytes());
    for (path, body, status, part) in [
        ("/v1/evaluations", "{\"code\"", 400, "EOF"),
        ("/v1/evaluations", "[]", 400, "expected an object"),
        ("/v1/evaluations", "{\"cod\": \"1\"}", 400, "cod"),
        ("/v1/evaluations", "{}", 400, "neither code nor a command"),
        ("/v1/evaluations", "{\"code\": \"1\", \"language\": \"cobol\"}", 404, "language: "),
        ("/v1/evaluations", "{\"code\": \"1\", \"backend\": \"subprocess\"}", 403, "backend: "),
        ("/v1/evaluations", "{\"code\": \"1\", \"policy\": \"/etc/passwd\"}", 404, "policy: "),
        ("/v1/evaluations", "{\"code\": \"1\", \"limits\": {\"memory\": \"9999GiB\"}}", 400, "memory"),
        ("/v1/evaluations", "{\"code\": \"1\", \"priority\": 1000}", 400, "1000"),
        ("/v1/evaluations", "{\"code\": \"1\", \"idempotency_key\": \"\"}", 400, "idempotency_key: "),
        ("/v1/evaluations", "{\"code\": \"1\", \"labels\": {\"\": \"\"}}", 400, "labels: "),
        ("/v1/evaluations?wait=soon", "{\"code\": \"1\"}", 400, "wait: "),
        ("/v1/evaluations?wait=1h", "{\"code\": \"1\"}", 400, "300 s"),
        ("/v1/evaluations?w=1", "{\"code\": \"1\"}", 400, "unknown field"),
        ("/v1/evaluations:batch", "{\"evaluations\": []}", 400, "1 to 1000"),
        ("/v1/keys", "{\"name\": \"a\", \"role\": \"admin\"}", 409, "without keys"),
        ("/v1/keys", "{\"name\": \"a\", \"role\": \"god\"}", 400, "role"),
        ("/v1/store/backup", "{\"name\": \"../x\"}", 400, "name: "),
        ("/v1/store/gc", "{}", 400, "older_than"),
        ("/v1/store/gc", "{\"older_than\": \"x\"}", 400, "older_than"),
        ("/v1/sandboxes", "{\"policy\": \"none\"}", 404, "none"),
    ] {
        post(path, body).expect_problem(status, &[part]);
    }
    server.ask("POST", "/v1/evaluations", &[("content-type", "text/plain")], b"{}").expect_problem(415, &[]);
    for path in [
        "/v1/evaluations?limit=0",
        "/v1/evaluations?limit=1001",
        "/v1/evaluations?limit=x",
        "/v1/evaluations?state=done",
        "/v1/evaluations?label=x",
        "/v1/evaluations?created_from=yesterday",
        "/v1/evaluations?cursor=x",
        "/v1/evaluations?project=A%20B",
        "/v1/evaluations?nothing=1",
        "/v1/sandboxes?cursor=x",
        "/v1/events?after=x",
    ] {
        server.get(path).expect_problem(400, &[]);
    }
    server.ask("GET", "/v1/events", &[("last-event-id", "x")], b"").expect_problem(400, &["Last-Event-ID"]);
}

#[test]
fn what_is_not_there_is_not_found_and_a_wrong_method_is_not_allowed() {
    let shared = shared();
    let server = &shared.server;
    for id in [UNKNOWN, "x", "%FF", "%2e%2e"] {
        for (method, path) in [
            ("GET", format!("/v1/evaluations/{id}")),
            ("DELETE", format!("/v1/evaluations/{id}")),
            ("GET", format!("/v1/evaluations/{id}/events")),
            ("GET", format!("/v1/sandboxes/{id}")),
            ("DELETE", format!("/v1/sandboxes/{id}")),
            ("GET", format!("/v1/sandboxes/{id}/files?path=a")),
            ("DELETE", format!("/v1/sandboxes/{id}/files?path=a")),
        ] {
            server.ask(method, &path, &[], b"").expect_problem(404, &[]);
        }
        let decision = json!({"decision": "approved", "reason": "x", "by": "y"});
        server.post(&format!("/v1/evaluations/{id}/review"), &decision).expect_problem(404, &[]);
        server.post(&format!("/v1/sandboxes/{id}/exec"), &json!({"command": ["a"]})).expect_problem(404, &[]);
    }
    for path in ["/nothing", "/v1", "/v1/nothing", "/v2/evaluations", "/v1/evaluations/"] {
        server.get(path).expect_problem(404, &[]);
    }
    for (method, path) in [
        ("PUT", "/v1/evaluations"),
        ("PATCH", "/v1/queue"),
        ("POST", "/v1/components"),
        ("DELETE", "/metrics"),
        ("POST", "/healthz"),
        ("BREW", "/v1/evaluations"),
    ] {
        let answer = server.ask(method, path, &[], b"");
        answer.expect_problem(405, &[]);
        assert!(answer.header("allow").is_some_and(|allowed| !allowed.is_empty()), "{method} {path}: {answer:?}");
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let shared = shared();
    // None of it is ever sent: an answer that came only after the body would never come.
    let headers = [("content-type", "application/json"), ("content-length", "17000000")];
    for path in ["/v1/evaluations", "/v1/evaluations:batch", "/v1/sandboxes"] {
        shared.server.ask("POST", path, &headers, b"").expect_problem(413, &["16777216"]);
    }
    // One that doesn't say how much it is is cut off.
    let piece = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    let body = piece.repeat(17);
    let headers = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    shared.server.ask("POST", "/v1/evaluations", &headers, &body).expect_problem(413, &["16777216"]);
}

#[test]
fn without_keys_no_other_site_and_no_other_name_of_the_host_is_answered() {
    let shared = shared();
    let server = &shared.server;
    server.ask("GET", "/v1/queue", &[("host", "rebound.example")], b"").expect_problem(403, &["Host"]);
    server.ask("GET", "/v1/queue", &[("origin", "https://example.org")], b"").expect_problem(403, &["Origin"]);
    server.ask("GET", "/v1/queue", &[("origin", "null")], b"").expect_problem(403, &["Origin"]);
    server.ask("GET", "/v1/queue", &[("origin", "http://localhost:3000")], b"").expect(200);
    server.ask("GET", "/v1/queue", &[("host", "localhost")], b"").expect(200);
}

#[test]
fn each_answer_has_a_request_id_and_large_ones_are_compressed_where_that_is_wanted() {
    let shared = shared();
    let server = &shared.server;
    let made = server.get("/healthz");
    assert!(made.header("x-request-id").is_some_and(|id| id.len() == 36), "{made:?}");
    let given = server.ask("GET", "/v1/nothing", &[("x-request-id", "mine")], b"");
    assert_eq!(given.header("x-request-id"), Some("mine"));
    assert_eq!(given.header("x-content-type-options"), Some("nosniff"));
    let plain = server.get("/openapi.json");
    assert_eq!(plain.header("content-encoding"), None);
    let packed = server.ask("GET", "/openapi.json", &[("accept-encoding", "gzip")], b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.body.len() / 2, "{} of {}", packed.body.len(), plain.body.len());
    let small = server.ask("GET", "/healthz", &[("accept-encoding", "gzip")], b"");
    assert_eq!(small.header("content-encoding"), None);
}
