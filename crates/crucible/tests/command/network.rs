//! The way out that an allow-list opens: to what it names, and to nothing else.

use crate::support::{backends, crucible};
use std::io::{Read, Write};
use std::net::TcpListener;

/// Serves one word to everybody, on the loopback, for as long as the test goes on.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _read = stream.read(&mut head).unwrap();
            let _hung_up = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nword\n");
        }
    });
    port
}

const ASKS: &str = "
import socket, sys, urllib.error, urllib.request
allowed, other = sys.argv[1:]
print(urllib.request.urlopen(f'http://127.0.0.1:{allowed}/').read().decode(), end='')
try:
    urllib.request.urlopen(f'http://127.0.0.1:{other}/')
except urllib.error.HTTPError as error:
    print(error.code)
for port in allowed, other:
    try:
        socket.create_connection(('127.0.0.1', int(port)), 5)
        print('past the proxy')
    except OSError:
        print('refused')
";

#[test]
fn a_listed_destination_is_reached_through_the_proxy_and_nothing_else_in_any_way() {
    for backend in backends().into_iter().filter(|backend| backend.name == "jail") {
        let (allowed, other) = (server().to_string(), server().to_string());
        let network = format!("allow:127.0.0.1:{allowed}");
        let arguments = ["run", "-c", ASKS, "--json", "--network", &network, "--", &allowed, &other];
        let outcome = crucible(&arguments).backend(backend).output().json();
        assert_eq!(outcome["stdout"], "word\n403\nrefused\nrefused\n", "{outcome}");
        let seen = |kind: &str| -> Vec<&str> {
            let all = outcome["behavior"].as_array().unwrap().iter();
            all.filter(|seen| seen["kind"] == kind).map(|seen| seen["name"].as_str().unwrap()).collect()
        };
        assert_eq!(seen("connection_made"), [format!("127.0.0.1:{allowed}")]);
        assert_eq!(seen("connection_refused"), [format!("127.0.0.1:{other}")]);
        assert_eq!(outcome["monitoring"]["network"]["state"], "sampled");
    }
}

#[test]
fn a_policy_can_end_a_run_that_asks_for_what_is_not_listed() {
    for backend in backends().into_iter().filter(|backend| backend.name == "jail") {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("own.toml");
        let text = "extends = 'default'\nnetwork = 'allow:127.0.0.1:9'\n[during]\nend_on = ['connection_refused']\n";
        std::fs::write(&policy, text).unwrap();
        let code = "import urllib.request\ntry: urllib.request.urlopen('http://127.0.0.1:1/')\nexcept OSError: pass\nimport time\ntime.sleep(60)";
        let arguments = ["run", "-c", code, "--json", "--timeout", "30s", "--policy", policy.to_str().unwrap()];
        let outcome = crucible(&arguments).backend(backend).output().json();
        assert_eq!(outcome["status"], "denied", "{outcome}");
    }
}

#[test]
fn what_is_no_network_and_what_cannot_have_one_is_refused_in_one_line() {
    for network in ["host", "allow:", "allow:a.example", "allow:*:80", "allow:a.example:0"] {
        let run = crucible(&["run", "-c", "1", "--network", network]).output();
        assert_eq!(run.code(), 2, "{network}: {}", run.stderr());
    }
    for backend in backends().into_iter().filter(|backend| backend.name == "subprocess") {
        let run = crucible(&["run", "-c", "1", "--network", "allow:a.example:80"]).backend(backend).output();
        assert!(run.stderr().contains("can't give the network"), "{}", run.stderr());
        assert!(run.code() >= 64, "{}", run.code());
    }
}
