//! The attack suite, run over HTTP.

use crate::place::{Place, until};
use serde_json::{Value, json};

fn state(attack: &Value) -> &str {
    attack["state"].as_str().unwrap()
}

#[test]
fn an_attack_is_run_kept_and_told_of_and_only_one_is_at_a_time() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    let listed: Value =
        serde_json::from_str(&place.well(&["attack", "-b", "jail", "--only", "filesystem.host_path", "--json"]))
            .unwrap();
    assert_eq!(server.get("/v1/attacks").expect(200)["attacks"], json!([]));
    for (body, status, part) in [
        (json!({"backend": "jial"}), 404, "did you mean 'jail'?"),
        (json!({"backend": "subprocess"}), 403, "isolates nothing"),
        (json!({"backend": "jail", "only": ["filesystem.nothing"]}), 404, "filesystem.nothing"),
        (json!({}), 400, "backend"),
    ] {
        server.post("/v1/attacks", &body).expect_problem(status, &[part]);
    }
    let few = json!({"backend": "jail", "only": ["filesystem.host_path", "filesystem.parent_path"]});
    let id = server.post("/v1/attacks", &few).expect(202)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/attacks/{id}");
    let finished = until("the attack is over", || {
        let attack = server.get(&path).expect(200);
        (state(&attack) != "running").then_some(attack)
    });
    assert_eq!(
        (state(&finished), &finished["done"], &finished["total"]),
        ("finished", &json!(2), &json!(2)),
        "{finished}"
    );
    assert_eq!((&finished["held"], &finished["breached"], &finished["failure"]), (&json!(2), &json!(0), &json!(null)));
    let (told, printed) = (&finished["report"], &listed);
    assert_eq!(
        (&told["format"], &told["node"], &told["policy"]),
        (&printed["format"], &printed["node"], &printed["policy"])
    );
    assert_eq!(told["suites"][0]["properties"][0]["id"], "filesystem.host_path");

    // All of it takes long enough for another one to come, and to be ended.
    let whole = server.post("/v1/attacks", &json!({"backend": "jail"})).expect(202)["id"].as_str().unwrap().to_owned();
    server.post("/v1/attacks", &few).expect_problem(409, &[&whole]);
    until("it is under way", || {
        (server.get("/v1/attacks").expect(200)["attacks"][0]["total"].as_u64() > Some(50)).then_some(())
    });
    server.delete(&format!("/v1/attacks/{whole}")).expect(202);
    let ended = until("it is over", || {
        let attack = server.get(&format!("/v1/attacks/{whole}")).expect(200);
        (state(&attack) != "running").then_some(attack)
    });
    assert_eq!((state(&ended), &ended["report"]), ("cancelled", &json!(null)));
    server.delete(&path).expect(202);
    for missing in ["/v1/attacks/x", "/v1/attacks/019b2c4e-7a31-7d04-9f52-3c1f6f1b2a11"] {
        server.get(missing).expect_problem(404, &[]);
        server.delete(missing).expect_problem(404, &[]);
    }

    // One whose process is killed has failed.
    let last = server.post("/v1/attacks", &json!({"backend": "jail"})).expect(202)["id"].as_str().unwrap().to_owned();
    server.kill();
    server = place.serve(&[]);
    let attacks = server.get("/v1/attacks").expect(200)["attacks"].clone();
    let told: Vec<_> =
        attacks.as_array().unwrap().iter().map(|one| (one["id"].as_str().unwrap(), state(one))).collect();
    assert_eq!(told, [(last.as_str(), "failed"), (whole.as_str(), "cancelled"), (id.as_str(), "finished")]);
    assert_eq!(server.get(&path).expect(200), finished);
}

#[test]
fn only_an_administrator_runs_and_ends_attacks_and_sets_backends() {
    let place = Place::new();
    let key = |role: &str| place.well(&place.on_data(&["keys", "create", role, "--role", role])).trim().to_owned();
    let reviewer = key("reviewer");
    let mut server = place.serve(&["--auth", "keys"]);
    server.get("/v1/attacks").expect_problem(401, &[]);
    server.key = Some(reviewer);
    server.get("/v1/attacks").expect(200);
    server.post("/v1/attacks", &json!({"backend": "jail"})).expect_problem(403, &["admin"]);
    server.delete("/v1/attacks/x").expect_problem(403, &["admin"]);
    server.send("PUT", "/v1/backends/jail", &json!({"enabled": false})).expect_problem(403, &["admin"]);
}
