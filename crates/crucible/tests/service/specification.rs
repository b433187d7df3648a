//! What an evaluation was asked for as, what a list shows of it, and the attestation that covers it.

use crate::place::{Place, shared};
use serde_json::json;

#[test]
fn what_was_asked_for_can_be_asked_for_again() {
    let shared = shared();
    let server = &shared.server;
    let asked = json!({
        "code": "read x; cat a.txt; echo \"$x $A $1\"", "language": "bash", "args": ["arg"], "stdin": "in\n",
        "files": [{"path": "a.txt", "content": "file ", "executable": false}], "collect": ["a.txt"],
        "env": {"A": "1"}, "limits": {"pids": 7}, "labels": {"suite": "specifications"}, "priority": 2,
        "tripwires": ["credentials"], "policy": "research",
    });
    let first = server.submit_with(asked);
    let ended = server.result(&first);
    let told = server.get(&format!("/v1/evaluations/{first}/specification")).expect(200);
    assert_eq!((&told["code"], &told["stdin"]), (&json!("read x; cat a.txt; echo \"$x $A $1\""), &json!("in\n")));
    assert_eq!((&told["limits"]["pids"], &told["policy"]), (&json!(7), &json!("research")));
    assert_eq!((&told["labels"], &told["priority"]), (&json!({"suite": "specifications"}), &json!(2)));
    let second = server.submit_with(told.clone());
    assert_eq!(server.result(&second)["outcome"]["stdout"], ended["outcome"]["stdout"]);
    let again = server.get(&format!("/v1/evaluations/{second}/specification")).expect(200);
    assert_eq!(again, told);
    // What isn't text comes as it was.
    let bytes = server.submit_with(json!({"command": ["cat"], "stdin_base64": "/wA="}));
    let bytes = server.get(&format!("/v1/evaluations/{bytes}/specification")).expect(200);
    assert_eq!(
        (&bytes["command"], &bytes["stdin_base64"], &bytes["stdin"]),
        (&json!(["cat"]), &json!("/wA="), &json!(null))
    );
    server.get("/v1/evaluations/x/specification").expect_problem(404, &[]);
}

#[test]
fn a_rerun_can_be_on_another_backend() {
    let shared = shared();
    let server = &shared.server;
    let first = server.submit_with(json!({"code": "echo 1", "language": "bash", "labels": {"suite": "elsewhere"}}));
    server.result(&first);
    let rerun = format!("/v1/evaluations/{first}/rerun");
    let told = |id: &serde_json::Value| {
        server.get(&format!("/v1/evaluations/{}/specification", id.as_str().unwrap())).expect(200)["backend"].clone()
    };
    assert_eq!(told(&server.ask("POST", &rerun, &[], b"").expect(202)["id"]), "auto");
    assert_eq!(told(&server.post(&rerun, &json!({"backend": "jail"})).expect(202)["id"]), "jail");
    server.post(&rerun, &json!({"backend": "subprocess"})).expect_problem(403, &["backend: "]);
    server.post(&rerun, &json!({"backend": "jial"})).expect_problem(404, &["did you mean 'jail'?"]);
    server.post(&rerun, &json!({"backends": "jail"})).expect_problem(400, &["backends"]);
    server.ask("POST", &rerun, &[("content-type", "text/plain")], b"{}").expect_problem(415, &[]);
}

#[test]
fn a_list_is_searched_and_ordered_and_shows_what_a_row_needs() {
    let place = Place::new();
    let server = place.serve(&[]);
    let submit =
        |suite: &str| server.submit_with(json!({"code": "echo 1", "language": "bash", "labels": {"Suite": suite}}));
    let ids: Vec<_> = ["alpha", "beta", "Alphabet", "gamma"].into_iter().map(submit).collect();
    let ended = server.result(&ids[0]);
    let list = |query: &str| {
        let list = server.get(&format!("/v1/evaluations?{query}")).expect(200);
        let ids = list["evaluations"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>(), list["cursor"].clone())
    };
    assert_eq!(list("search=alpha").0, [ids[2].clone(), ids[0].clone()]);
    assert_eq!(list("search=ALPHA&order=oldest").0, [ids[0].clone(), ids[2].clone()]);
    assert_eq!(list("search=suite").0.len(), 4);
    assert_eq!(list(&format!("search={}", &ids[1][24..])).0, [ids[1].clone()]);
    assert_eq!(list("search=%22%3A%22").0, Vec::<String>::new());
    assert_eq!(list("search=").0.len(), 4);
    let (first, cursor) = list("order=oldest&limit=3");
    assert_eq!(first, ids[..3]);
    assert_eq!(
        list(&format!("order=oldest&limit=3&cursor={}", cursor.as_str().unwrap())),
        (ids[3..].to_vec(), json!(null))
    );
    server.get(&format!("/v1/evaluations?cursor={}", cursor.as_str().unwrap())).expect_problem(400, &["cursor"]);
    server.get("/v1/evaluations?order=best").expect_problem(400, &["order"]);
    server.get(&format!("/v1/evaluations?search={}", "x".repeat(201))).expect_problem(400, &["search"]);
    let row = server.get("/v1/evaluations?search=alpha&order=oldest").expect(200)["evaluations"][0].clone();
    assert_eq!((&row["language"], &row["backend"]), (&json!("bash"), &json!("jail")));
    assert_eq!(
        (&row["status"], &row["validity"], &row["verdict"]),
        (&json!("exited"), &json!("valid"), &json!("allow"))
    );
    let (row, whole) = (row["wall_ms"].as_f64().unwrap(), ended["outcome"]["usage"]["wall_ms"].as_f64().unwrap());
    assert!((row - whole).abs() < 1.0, "{row} {whole}");
}

#[test]
fn an_evaluation_that_no_attestation_covers_has_none_to_download() {
    let shared = shared();
    let server = &shared.server;
    let id = server.submit("echo 1");
    server.get(&format!("/v1/evaluations/{id}/attestation")).expect_problem(404, &["none covers"]);
    server.result(&id);
    server.get(&format!("/v1/evaluations/{id}/attestation")).expect_problem(404, &["none covers"]);
    server.get("/v1/evaluations/x/attestation").expect_problem(404, &[]);
}
