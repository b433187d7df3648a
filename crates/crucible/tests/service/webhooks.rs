//! Webhooks: a real receiver hears of ends, signed, over plain HTTP and over TLS.

use crate::place::{Place, Server, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Answers 500 to as many requests as it is told to, then 204, and writes down each request in a line.
const RECEIVER: &str = r#"
import base64, hashlib, hmac, http.server, json, ssl, sys
seen, failures, certificate = sys.argv[1], [int(sys.argv[2])], sys.argv[3:]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        code = 204
        if failures[0] > 0:
            failures[0] -= 1
            code = 500
        with open(seen, "a") as file:
            head = {name.lower(): value for name, value in self.headers.items()}
            file.write(json.dumps({"path": self.path, "head": head, "body": body.decode(), "code": code}) + "\n")
        self.send_response(code)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[0], certificate[1])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Receiver {
    process: Child,
    port: u16,
    seen: PathBuf,
}

impl Receiver {
    fn start(place: &Place, failures: u32, certificate: &[PathBuf]) -> Self {
        let seen = place.path("seen");
        let mut command = Command::new("python3");
        command.arg("-c").arg(RECEIVER).arg(&seen).arg(failures.to_string()).args(certificate);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, port: line.trim().parse().unwrap(), seen }
    }

    fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.seen).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn until_seen(&self, count: usize) -> Vec<Value> {
        until("the receiver hears it", || Some(self.seen()).filter(|seen| seen.len() >= count))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const INSIDE: &str = "[serve]\nwebhook_networks = [\"127.0.0.1\"]\n";

fn make(server: &Server, url: &str) -> (String, String) {
    let made = server.post("/v1/webhooks", &json!({"url": url})).expect(201);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&made["webhook"]["id"]), text(&made["secret"]))
}

/// The signature that the standard wants, as Python's own library makes it.
fn signature(secret: &str, seen: &Value) -> String {
    let script = "import base64,hashlib,hmac,sys; key=base64.b64decode(sys.argv[1]); \
                  print('v1,'+base64.b64encode(hmac.new(key, sys.argv[2].encode(), hashlib.sha256).digest()).decode())";
    let head = |name: &str| seen["head"][name].as_str().unwrap();
    let signed = format!("{}.{}.{}", head("webhook-id"), head("webhook-timestamp"), seen["body"].as_str().unwrap());
    let key = secret.strip_prefix("whsec_").unwrap();
    let made = Command::new("python3").args(["-c", script, key, &signed]).output().unwrap();
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_address_hears_of_an_end_signed_and_again_after_it_failed() {
    let place = Place::new();
    place.configure(INSIDE, &[]);
    let receiver = Receiver::start(&place, 1, &[]);
    let server = place.serve(&[]);
    let (id, secret) = make(&server, &format!("http://127.0.0.1:{}/hook?for=me", receiver.port));
    assert_eq!(STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap().len(), 32);
    let evaluation = server.submit("exit 3");
    let seen = receiver.until_seen(2);
    assert_eq!(
        (&seen[0]["code"], &seen[1]["code"], &seen[1]["path"]),
        (&json!(500), &json!(204), &json!("/hook?for=me"))
    );
    assert_eq!(seen[0]["head"]["webhook-id"], seen[1]["head"]["webhook-id"]);
    assert_eq!(seen[1]["head"]["webhook-signature"].as_str().unwrap(), signature(&secret, &seen[1]));
    let message: Value = serde_json::from_str(seen[1]["body"].as_str().unwrap()).unwrap();
    assert_eq!((&message["type"], &message["data"]["evaluation"]), (&json!("evaluation.finished"), &json!(evaluation)));
    assert_eq!(message["data"]["data"]["exit_code"], 3);
    let listed = until("it is noted", || {
        let listed = server.get("/v1/webhooks").expect(200)["webhooks"][0].clone();
        (listed["delivered"] == 1).then_some(listed)
    });
    assert_eq!((&listed["id"], &listed["state"], &listed["last_error"]), (&json!(id), &json!("on"), &Value::Null));
    assert!(!server.get("/v1/webhooks").text().contains(&secret[6..]));
}

#[test]
fn what_ended_while_it_was_off_or_the_service_was_killed_is_told_afterwards() {
    let place = Place::new();
    place.configure(INSIDE, &[]);
    let receiver = Receiver::start(&place, 0, &[]);
    let server = place.serve(&[]);
    let (id, _) = make(&server, &format!("http://127.0.0.1:{}/", receiver.port));
    let path = format!("/v1/webhooks/{id}");
    assert_eq!(server.send("PUT", &path, &json!({"enabled": false})).expect(200)["state"], "off");
    let first = server.submit("true");
    server.result(&first);
    server.kill();
    let server = place.serve(&[]);
    assert!(receiver.seen().is_empty());
    server.send("PUT", &path, &json!({"enabled": true})).expect(200);
    let seen = receiver.until_seen(1);
    assert!(seen[0]["body"].as_str().unwrap().contains(&first));
    assert_eq!(server.delete(&path).status, 204);
    server.get("/v1/webhooks").expect(200);
    server.delete(&path).expect_problem(404, &["no webhook"]);
    server.stop();
}

#[test]
fn over_tls_only_whom_this_machine_trusts_is_told() {
    let place = Place::new();
    place.configure(INSIDE, &[]);
    let (key, certificate) = (place.path("key.pem"), place.path("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=receiver", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "openssl"), "openssl is required: {error}");
            eprintln!("skipped: there is no openssl: {error}");
            return;
        }
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let receiver = Receiver::start(&place, 0, &[certificate.clone(), key]);
    let url = format!("https://127.0.0.1:{}/", receiver.port);
    let server = place.serve(&[]);
    let (id, _) = make(&server, &url);
    let tried = server.post(&format!("/v1/webhooks/{id}/test"), &json!({})).expect(200);
    assert_eq!(tried["delivered"], false);
    assert!(tried["error"].as_str().unwrap().contains("certificate"), "{tried}");
    assert!(receiver.seen().is_empty());
    server.stop();
    let trusting = format!("SSL_CERT_FILE={}", certificate.display());
    let server = place.serve_in(&["/usr/bin/env", &trusting], &[]);
    let tried = server.post(&format!("/v1/webhooks/{id}/test"), &json!({})).expect(200);
    assert_eq!(tried, json!({"delivered": true, "error": null}));
    assert!(receiver.until_seen(1)[0]["body"].as_str().unwrap().contains("evaluation.ping"));
}

#[test]
fn addresses_inside_and_what_is_no_address_are_refused_and_roles_and_projects_are_kept() {
    let place = Place::new();
    let key = |name: &str, role: &str, project: &str| {
        let made =
            place.well(&place.on_data(&["keys", "create", name, "--role", role, "--project", project, "--json"]));
        serde_json::from_str::<Value>(&made).unwrap()["secret"].as_str().unwrap().to_owned()
    };
    let (red, eye, blue) = (key("a", "submitter", "red"), key("b", "viewer", "red"), key("c", "submitter", "blue"));
    let mut server = place.serve(&["--auth", "keys"]);
    let hook = |url: &str| json!({"url": url});
    server.key = Some(red);
    for inside in ["https://127.0.0.1/", "https://169.254.169.254/latest", "http://93.184.216.34/", "https://[::1]/"] {
        server.post("/v1/webhooks", &hook(inside)).expect_problem(403, &["url"]);
    }
    for wrong in ["", "no address", "ftp://example.org/", "https://me:secret@example.org/"] {
        server.post("/v1/webhooks", &hook(wrong)).expect_problem(400, &["url"]);
    }
    let unknown = json!({"url": "https://example.org/", "kinds": ["output_produced"]});
    server.post("/v1/webhooks", &unknown).expect_problem(400, &["kinds", "finished"]);
    let others = json!({"url": "https://example.org/", "project": "blue"});
    server.post("/v1/webhooks", &others).expect_problem(403, &["project"]);
    // A name that leads inside is only found out when it is looked up, and not gone to.
    let (id, _) = make(&server, "https://localhost:1/");
    let tried = server.post(&format!("/v1/webhooks/{id}/test"), &json!({})).expect(200);
    assert!(tried["error"].as_str().unwrap().contains("admitted"), "{tried}");
    server.key = Some(eye);
    assert_eq!(server.get("/v1/webhooks").expect(200)["webhooks"][0]["id"], json!(id));
    server.post("/v1/webhooks", &hook("https://example.org/")).expect_problem(403, &["submitter"]);
    server.delete(&format!("/v1/webhooks/{id}")).expect_problem(403, &[]);
    server.key = Some(blue);
    assert_eq!(server.get("/v1/webhooks").expect(200)["webhooks"], json!([]));
    server.delete(&format!("/v1/webhooks/{id}")).expect_problem(404, &[]);
    server.post(&format!("/v1/webhooks/{id}/test"), &json!({})).expect_problem(404, &[]);
    server.send("PUT", "/v1/webhooks/no-id", &json!({"enabled": true})).expect_problem(404, &[]);
}

#[test]
fn what_is_no_network_keeps_the_service_from_starting() {
    let place = Place::new();
    place.configure("[serve]\nwebhook_networks = [\"10.0.0.0/99\"]\n", &[]);
    place.badly(&place.on_data(&["serve", "--listen", "127.0.0.1:0"]), 78, &["webhook_networks", "10.0.0.0/99"]);
    place.configure("[serve]\nrequest_networks = [\"all\"]\n", &[]);
    place.badly(&place.on_data(&["serve", "--listen", "127.0.0.1:0"]), 78, &["request_networks", "all"]);
}
