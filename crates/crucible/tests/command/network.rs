//! The way out that an allow-list opens: to what it names, and to nothing else.

use crate::docker::{has_python, with_daemon};
use crate::support::{Backend, JAIL, backends, crucible, is_usable};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const GVISOR: Backend = Backend { name: "gvisor", flags: &["-b", "gvisor"] };
const DOCKER: Backend = Backend { name: "docker", flags: &["-b", "docker"] };

/// Every backend that has a way out and runs Python here.
fn backends_with_a_way_out() -> Vec<Backend> {
    let usable = [JAIL, GVISOR].into_iter().filter(is_usable);
    usable.chain(has_python().then_some(DOCKER)).collect()
}

/// A server on the loopback, for as long as the test goes on.
struct Server {
    port: u16,
    /// How many called it.
    calls: Arc<AtomicUsize>,
}

/// Serves one word to everybody, or sends everybody elsewhere. `None` where the machine has no such loopback.
fn serve(host: &str, elsewhere: Option<String>) -> Option<Server> {
    let listener = TcpListener::bind((host, 0)).ok()?;
    let (port, calls) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let answer = match elsewhere {
        None => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nword\n".to_owned(),
        Some(url) => format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n"),
    };
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 4096];
            let _read = stream.read(&mut head).unwrap();
            let _hung_up = stream.write_all(answer.as_bytes());
        }
    });
    Some(Server { port, calls })
}

fn server() -> u16 {
    serve("127.0.0.1", None).unwrap().port
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
    for backend in backends_with_a_way_out() {
        let (allowed, other) = (server().to_string(), server().to_string());
        let network = format!("allow:127.0.0.1:{allowed}");
        let arguments = ["run", "-c", ASKS, "--json", "--network", &network, "--", &allowed, &other];
        let outcome = with_daemon(crucible(&arguments).backend(backend)).output().json();
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
    for backend in backends_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("own.toml");
        let text = "extends = 'default'\nnetwork = 'allow:127.0.0.1:9'\n[during]\nend_on = ['connection_refused']\n";
        std::fs::write(&policy, text).unwrap();
        let code = "import urllib.request\ntry: urllib.request.urlopen('http://127.0.0.1:1/')\nexcept OSError: pass\nimport time\ntime.sleep(60)";
        let arguments = ["run", "-c", code, "--json", "--timeout", "30s", "--policy", policy.to_str().unwrap()];
        let outcome = with_daemon(crucible(&arguments).backend(backend)).output().json();
        assert_eq!(outcome["status"], "denied", "{outcome}");
    }
}

#[test]
fn a_redirect_leads_to_nothing_that_is_not_listed_by_ipv4_and_ipv6() {
    for host in ["127.0.0.1", "::1"] {
        let Some(target) = serve(host, None) else {
            eprintln!("skipped for {host}: this machine has no such loopback");
            continue;
        };
        let named = |port: u16| if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        for backend in backends_with_a_way_out() {
            let redirect = serve(host, Some(format!("http://{}/", named(target.port)))).unwrap();
            let network = format!("allow:{}", named(redirect.port));
            let code = format!(
                "import urllib.error, urllib.request\ntry: urllib.request.urlopen('http://{}/')\nexcept urllib.error.HTTPError as error: print(error.code, error.read().decode())",
                named(redirect.port)
            );
            let arguments = ["run", "-c", &code, "--json", "--network", &network];
            let outcome = with_daemon(crucible(&arguments).backend(backend)).output().json();
            let expected = format!("403 crucible: {} isn't on the allow-list\n\n", named(target.port));
            assert_eq!(outcome["stdout"], expected, "{}: {outcome}", backend.name);
            assert_eq!(redirect.calls.load(Ordering::SeqCst), 1, "{}", backend.name);
        }
        assert_eq!(target.calls.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn much_goes_both_ways_and_many_ask_at_once() {
    // Everything that is said on a tunnel comes back.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut read = stream.try_clone().unwrap();
                let _ended = std::io::copy(&mut read, &mut stream).is_ok();
                let _told = stream.shutdown(std::net::Shutdown::Write).is_ok();
            });
        }
    });
    let code = format!(
        "
import os, socket, threading
host, port = os.environ['https_proxy'].removeprefix('http://').split(':')
sent = os.urandom(1 << 20)
right = []
def tunnel():
    proxy = socket.create_connection((host, int(port)), 30)
    proxy.sendall(b'CONNECT 127.0.0.1:{port} HTTP/1.1\\r\\n\\r\\n')
    heard = b''
    while not heard.endswith(b'\\r\\n\\r\\n'): heard += proxy.recv(1)
    def say(): proxy.sendall(sent); proxy.shutdown(socket.SHUT_WR)
    saying = threading.Thread(target=say); saying.start()
    right.append(proxy.makefile('rb').read() == sent)
    saying.join()
all = [threading.Thread(target=tunnel) for _ in range(20)]
for one in all: one.start()
for one in all: one.join()
print(right.count(True))"
    );
    for backend in backends_with_a_way_out() {
        let network = format!("allow:127.0.0.1:{port}");
        let arguments = ["run", "-c", &code, "--json", "--network", &network];
        let outcome = with_daemon(crucible(&arguments).backend(backend)).output().json();
        assert_eq!(outcome["stdout"], "20\n", "{}: {outcome}", backend.name);
        assert_eq!(outcome["validity"], "valid", "{}: {outcome}", backend.name);
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
