//! Who is let in, and what they see and may do.

use crate::place::Place;
use serde_json::json;

/// Makes a key before the service is started.
pub(crate) fn key(place: &Place, name: &str, role: &str, project: &str) -> (String, String) {
    let made = place.well(&place.on_data(&["keys", "create", name, "--role", role, "--project", project, "--json"]));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    (made["secret"].as_str().unwrap().to_owned(), made["key"]["id"].as_str().unwrap().to_owned())
}

#[test]
fn an_address_that_others_reach_is_not_listened_on_without_keys() {
    let place = Place::new();
    let data = place.data().to_str().unwrap();
    let serve = |more: &[&'static str]| [&["serve", "--listen", "0.0.0.0:0", "--data-dir", data], more].concat();
    place.badly(&serve(&["--auth", "none"]), 77, &["without keys"]);
    place.badly(&serve(&[]), 77, &["there is no key", "crucible keys create"]);
    let (_, id) = key(&place, "once", "admin", "default");
    place.well(&place.on_data(&["keys", "revoke", &id]));
    place.badly(&serve(&[]), 77, &["there is no key"]);
}

#[test]
fn a_key_opens_its_own_project_with_its_own_role_and_nothing_else() {
    let place = Place::new();
    let (admin, _) = key(&place, "admin", "admin", "ops");
    let (submitter, _) = key(&place, "one", "submitter", "red");
    let (viewer, _) = key(&place, "eye", "viewer", "red");
    let (other, other_id) = key(&place, "two", "submitter", "blue");
    assert!(place.well(&place.on_data(&["keys", "list"])).contains("blue"));
    let mut server = place.serve(&["--auth", "keys"]);
    let refused = server.get("/v1/evaluations");
    refused.expect_problem(401, &["there is no key"]);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    for open in ["/healthz", "/readyz", "/openapi.json"] {
        assert_eq!(server.get(open).status, 200, "{open}");
    }
    for closed in ["/metrics", "/v1/queue", "/v1/components", "/v1/backends", "/v1/events", "/v1/sandboxes", "/v1/keys"]
    {
        server.get(closed).expect_problem(401, &[]);
    }
    server.key = Some("crucible_wrong".to_owned());
    server.get("/v1/evaluations").expect_problem(401, &["opens nothing"]);

    server.key = Some(submitter);
    let id = server.submit("echo mine");
    let sandbox = server.post("/v1/sandboxes", &json!({})).expect(201)["id"].as_str().unwrap().to_owned();
    assert_eq!(server.result(&id)["project"], "red");
    server.post("/v1/keys", &json!({"name": "a", "role": "admin"})).expect_problem(403, &["admin"]);
    server.send("PUT", "/v1/queue", &json!({"flow": "paused"})).expect_problem(403, &[]);
    server.post("/v1/store/check", &json!({})).expect_problem(403, &[]);
    let decision = json!({"decision": "approved", "reason": "x"});
    server.post(&format!("/v1/evaluations/{id}/review"), &decision).expect_problem(403, &["reviewer"]);
    server.get("/v1/evaluations?project=blue").expect_problem(404, &[]);

    let evaluation = format!("/v1/evaluations/{id}");
    let files = format!("/v1/sandboxes/{sandbox}/files?path=a");
    let exec = format!("/v1/sandboxes/{sandbox}/exec");
    server.key = Some(viewer);
    server.get(&evaluation).expect(200);
    server.get(&format!("/v1/sandboxes/{sandbox}")).expect(200);
    for refused in [
        server.post("/v1/evaluations", &json!({"code": "1"})),
        server.post("/v1/evaluations:batch", &json!({"evaluations": [{"code": "1"}]})),
        server.delete(&evaluation),
        server.post("/v1/sandboxes", &json!({})),
        server.post(&exec, &json!({"command": ["true"]})),
        server.ask("PUT", &files, &[], b"x"),
        server.delete(&files),
        server.post(&format!("/v1/sandboxes/{sandbox}/fork"), &json!({})),
        server.delete(&format!("/v1/sandboxes/{sandbox}")),
    ] {
        refused.expect_problem(403, &["submitter"]);
    }

    server.key = Some(other.clone());
    for missing in [
        server.get(&evaluation),
        server.delete(&evaluation),
        server.get(&format!("{evaluation}/events")),
        server.get(&format!("/v1/sandboxes/{sandbox}")),
        server.post(&exec, &json!({"command": ["true"]})),
        server.get(&files),
        server.ask("PUT", &files, &[], b"x"),
        server.delete(&format!("/v1/sandboxes/{sandbox}")),
    ] {
        missing.expect_problem(404, &[]);
    }
    assert_eq!(server.get("/v1/evaluations").expect(200)["evaluations"], json!([]));
    assert_eq!(server.get("/v1/sandboxes").expect(200)["sandboxes"], json!([]));
    // One project's idempotency key says nothing to another.
    let own = server.submit_with(json!({"code": "echo 2", "language": "bash", "idempotency_key": "k"}));

    server.key = Some(admin);
    assert_eq!(server.get("/v1/evaluations").expect(200)["evaluations"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/v1/evaluations?project=blue").expect(200)["evaluations"][0]["id"], own);
    server.get(&format!("/v1/sandboxes/{sandbox}")).expect(200);
    let made = server.post("/v1/keys", &json!({"name": "ci", "role": "viewer", "project": "blue"})).expect(201);
    let listed = server.get("/v1/keys");
    assert!(!listed.text().contains(made["secret"].as_str().unwrap()) && !listed.text().contains("hash"));
    assert_eq!(listed.expect(200)["keys"].as_array().unwrap().len(), 5);
    server.ask("DELETE", &format!("/v1/keys/{other_id}"), &[], b"").expect(204);
    server.ask("DELETE", "/v1/keys/x", &[], b"").expect_problem(404, &[]);
    server.key = Some(other);
    server.get("/v1/evaluations").expect_problem(401, &["out of use"]);
}

#[test]
fn the_command_shows_its_key_and_makes_others_on_the_service() {
    let place = Place::new();
    let (admin, _) = key(&place, "admin", "admin", "default");
    let server = place.serve(&["--auth", "keys"]);
    let url = server.url();
    let with_key = |arguments: &[&str]| {
        let output = place.run_with_key(&admin, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    place.badly(&["list", "--server", &url], 67, &["there is no key"]);
    let made = with_key(&["keys", "create", "ci", "--role", "submitter", "--project", "ci", "--server", &url]);
    assert!(made.starts_with("crucible_"), "{made}");
    let listed = with_key(&["keys", "list", "--server", &url]);
    let line = listed.lines().find(|line| line.contains(" ci ")).unwrap_or_else(|| panic!("{listed}"));
    let id = line.split(' ').next().unwrap();
    with_key(&["keys", "revoke", id, "--server", &url]);
    assert!(with_key(&["keys", "list", "--server", &url]).contains("revoked"));
    // The folder is the service's alone for as long as that runs.
    place.badly(&place.on_data(&["keys", "list"]), 69, &["--server"]);
}
