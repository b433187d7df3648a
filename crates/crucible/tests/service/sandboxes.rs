//! Sandboxes that stay open, over HTTP: made, used, copied, removed.

use crate::keys::key;
use crate::place::{Place, shared};
use serde_json::json;

#[test]
fn a_sandbox_runs_commands_keeps_files_is_copied_and_goes() {
    let shared = shared();
    let server = &shared.server;
    let made = server.post("/v1/sandboxes", &json!({"limits": {"memory": "128MiB"}, "lifetime": "5m"}));
    let sandbox = made.expect(201);
    let id = sandbox["id"].as_str().unwrap();
    let path = format!("/v1/sandboxes/{id}");
    assert_eq!(made.header("location"), Some(path.as_str()));
    assert_eq!((&sandbox["state"], &sandbox["limits"]["memory"]), (&json!("open"), &json!("128MiB")));
    let exec = |sandbox: &str, command: &str| {
        let request = json!({"command": ["sh", "-c", command], "stdin": "in\n"});
        server.post(&format!("{sandbox}/exec"), &request).expect(200)
    };
    let done = exec(&path, "cat; echo no >&2; exit 3");
    assert_eq!((&done["stdout"], &done["stderr"], &done["exit_code"]), (&json!("in\n"), &json!("no\n"), &json!(3)));
    let file = |sandbox: &str, name: &str| format!("{sandbox}/files?path={name}");
    server.ask("PUT", &file(&path, "a.txt"), &[], b"\xff\0kept").expect(204);
    assert_eq!(server.get(&file(&path, "a.txt")).body, b"\xff\0kept");
    let entries = server.get(&file(&path, ".")).expect(200);
    assert!(entries["entries"].as_array().unwrap().iter().any(|entry| entry["name"] == "a.txt"), "{entries}");
    server.get(&file(&path, "b.txt")).expect_problem(404, &[]);
    server.get(&file(&path, "../../etc/passwd")).expect_problem(400, &["'..'"]);
    server.get(&format!("{path}/files")).expect_problem(400, &["path"]);
    let large = [("content-length", "99999999999")];
    server.ask("PUT", &file(&path, "b.txt"), &large, b"").expect_problem(413, &["disk limit"]);
    let copy = server.post(&format!("{path}/fork"), &json!({})).expect(201)["id"].as_str().unwrap().to_owned();
    let copy = format!("/v1/sandboxes/{copy}");
    server.delete(&file(&path, "a.txt")).expect(204);
    assert_eq!(exec(&copy, "wc -c <a.txt")["stdout"], "6\n");
    let listed = server.get("/v1/sandboxes?limit=1000").expect(200);
    let known =
        |id: &str| listed["sandboxes"].as_array().unwrap().iter().any(|one| id.ends_with(one["id"].as_str().unwrap()));
    assert!(known(&path) && known(&copy), "{listed}");
    for path in [&path, &copy] {
        server.delete(path).expect(204);
        server.get(path).expect_problem(404, &[]);
        server.delete(path).expect_problem(404, &[]);
    }
}

#[test]
fn the_command_uses_sandboxes_of_a_service() {
    let place = Place::new();
    let (secret, _) = key(&place, "ci", "submitter", "ci");
    let server = place.serve(&["--auth", "keys"]);
    let url = server.url();
    let with_key =
        |arguments: &[&str]| place.run_with_key(&secret, &[&["sandbox", "--server", &url], arguments].concat());
    let well = |arguments: &[&str]| {
        let output = with_key(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    place.badly(&["sandbox", "create", "--server", &url], 67, &["there is no key"]);
    place.badly(&["sandbox", "list", "--server", "nowhere"], 65, &["no address of a service"]);
    let made =
        well(&["create", "--memory", "128MiB", "--lifetime", "5m", "--timeout", "20s", "--env", "A=b", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!((&made["limits"]["memory"], &made["lifetime_ms"]), (&json!("128MiB"), &json!(300_000)));
    let id = made["id"].as_str().unwrap();
    // It isn't one of this machine's own, nor of whoever shows no key.
    place.badly(&["sandbox", "exec", id, "--", "true"], 66, &["there is no sandbox"]);
    place.badly(&["sandbox", "exec", "--server", &url, id, "--", "true"], 67, &["there is no key"]);
    let end = &id[id.len() - 6..];
    let done = with_key(&["exec", end, "--", "sh", "-c", "echo $A; echo no >&2; exit 3"]);
    assert_eq!((done.status.code(), &done.stdout[..], &done.stderr[..]), (Some(3), &b"b\n"[..], &b"no\n"[..]));
    let file = place.path("a.txt");
    std::fs::write(&file, b"\xff\0kept").unwrap();
    well(&["cp", file.to_str().unwrap(), &format!("{id}:")]);
    assert!(well(&["ls", id]).contains("           6  a.txt"));
    let fork = well(&["fork", id]);
    let back = place.path("back.txt");
    well(&["cp", &format!("{}:a.txt", fork.trim()), back.to_str().unwrap()]);
    assert_eq!(std::fs::read(&back).unwrap(), b"\xff\0kept");
    let listed = well(&["list"]);
    assert!(listed.contains(id) && listed.contains(fork.trim()), "{listed}");
    let preset = with_key(&["create", "--preset", "mine"]);
    assert!(String::from_utf8_lossy(&preset.stderr).contains("presets are of this machine"));
    well(&["rm", fork.trim()]);
    well(&["rm", "--all"]);
    assert_eq!(well(&["list"]), "");
}
