//! Sandboxes that stay open, over HTTP: made, used, copied, removed.

use crate::keys::key;
use crate::place::{Place, shared};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

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

/// Listens on the loopback: what it says to whoever calls, and the connection.
fn listen() -> (u16, std::sync::mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, callers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            let mut caller = caller.unwrap();
            let _hung_up = caller.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nword\n");
            if sender.send(caller).is_err() {
                break;
            }
        }
    });
    (port, callers)
}

#[test]
fn a_sandbox_reaches_what_its_allow_list_names_as_its_copy_does_and_its_connections_end_with_it() {
    let place = Place::new();
    place.configure("[serve]\nrequest_networks = [\"127.0.0.0/8\"]\n", &[]);
    let server = place.serve(&[]);
    let ((listed, callers), (other, not_called)) = (listen(), listen());
    server.post("/v1/sandboxes", &json!({"network": "all"})).expect_problem(400, &["network: "]);
    let inside = json!({"network": "allow:10.0.0.5:80"});
    server.post("/v1/sandboxes", &inside).expect_problem(403, &["10.0.0.5:80", "serve.request_networks"]);
    let request = json!({"language": "python", "network": format!("allow:127.0.0.1:{listed}")});
    let made = server.post("/v1/sandboxes", &request).expect(201);
    let path = format!("/v1/sandboxes/{}", made["id"].as_str().unwrap());
    let code = format!(
        "import urllib.error, urllib.request\n\
         for port in {listed}, {other}:\n\
         \x20   try: print(urllib.request.urlopen(f'http://127.0.0.1:{{port}}/').read())\n\
         \x20   except urllib.error.HTTPError as error: print(error.code)\n"
    );
    let copy = server.post(&format!("{path}/fork"), &json!({})).expect(201)["id"].as_str().unwrap().to_owned();
    let copy = format!("/v1/sandboxes/{copy}");
    for sandbox in [&path, &copy] {
        let command = json!({"command": ["python3", "-c", code]});
        let done = server.post(&format!("{sandbox}/exec"), &command).expect(200);
        assert_eq!(done["stdout"], "b'word\\n'\n403\n", "{done}");
        callers.recv().unwrap();
        let record = server.get(&format!("{sandbox}/record")).expect(200);
        let seen = |kind: &str| -> Vec<&str> {
            let all = record["behavior"].as_array().unwrap().iter();
            all.filter(|seen| seen["kind"] == kind).map(|seen| seen["name"].as_str().unwrap()).collect()
        };
        assert_eq!(seen("connection_made"), [format!("127.0.0.1:{listed}")], "{record}");
        assert_eq!(seen("connection_refused"), [format!("127.0.0.1:{other}")], "{record}");
    }
    let holds = format!(
        "import socket, time\n\
         way = socket.create_connection(('127.0.0.1', 3128))\n\
         way.sendall(b'CONNECT 127.0.0.1:{listed} HTTP/1.1\\r\\n\\r\\n')\n\
         time.sleep(1000)\n"
    );
    std::thread::scope(|threads| {
        let exec = format!("{path}/exec");
        let server = &server;
        threads.spawn(move || server.post(&exec, &json!({"command": ["python3", "-c", holds]})));
        let mut caller = callers.recv().unwrap();
        server.delete(&path).expect(204);
        caller.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        assert_eq!(caller.read(&mut [0]).unwrap(), 0);
    });
    server.delete(&copy).expect(204);
    assert!(not_called.try_recv().is_err());
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
