//! The sandbox routes over a Unix socket, with a scripted backend behind them.

#![expect(clippy::unwrap_used, reason = "tests")]

use crucible_api::client::{Address, Client, Found, Heard, Upload};
use crucible_api::v1::{
    CreateSandbox, ExecRequest, HttpProblem, OutputStream, SandboxRecord, Status, SubmitEvaluation, Validity,
};
use crucible_core::{Discard, Error, ErrorKind, EvaluationSpec, Limits, LiveFeature, Policy, Result, Stream, TimeSpan};
use crucible_engine::{Engine, LanguageTable, NodeFacts, SessionSpec, Sessions};
use crucible_server::{MOST_BODY, SandboxService, SpecReader, sandbox_routes};
use crucible_testkit::fake::{FakeBackend, Fault, Ledger, Script, Step, everything};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

struct Plain;

impl SpecReader for Plain {
    fn session_spec(&self, request: &CreateSandbox) -> Result<SessionSpec> {
        let time = |text: &Option<String>| text.as_ref().map(|text| text.parse::<TimeSpan>().unwrap());
        Ok(SessionSpec {
            backend: request.backend.clone().unwrap_or_else(|| "auto".to_owned()),
            language: None,
            limits: Limits { output: crucible_core::ByteSize::bytes(1000), ..Limits::default() },
            policy: request.policy.as_deref().map_or_else(Policy::default, |name| Policy::built_in(name).unwrap()),
            env: request.env.clone(),
            tripwires: request.tripwires.iter().map(|text| text.parse().unwrap()).collect(),
            command_timeout: time(&request.command_timeout),
            idle_timeout: time(&request.idle_timeout).unwrap_or(SessionSpec::IDLE_TIMEOUT),
            lifetime: time(&request.lifetime).unwrap_or(SessionSpec::LIFETIME),
        })
    }

    fn evaluation_spec(&self, _request: SubmitEvaluation) -> Result<EvaluationSpec> {
        Err(Error::new(ErrorKind::Refused, "read the request", "there are sandboxes here and nothing else"))
    }

    fn backend(&self, name: &str, _spec: &EvaluationSpec) -> Result<String> {
        Ok(name.to_owned())
    }
}

struct Service {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    client: Client,
    ledger: Arc<Ledger>,
}

fn serve(script: Script) -> Service {
    let mut capabilities = everything();
    capabilities.live = [LiveFeature::Signals].into();
    let backend = FakeBackend::new(script).with_capabilities(capabilities);
    let ledger = backend.ledger();
    let languages = LanguageTable::from(BTreeMap::new());
    let node = NodeFacts { kernel: "6".to_owned() };
    let engine = Engine::new(vec![Arc::new(backend)], languages, Limits::maximum(), node);
    let sessions = Arc::new(Sessions::new(Arc::new(engine), Arc::new(Discard), 3));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let routes = sandbox_routes(SandboxService::new(sessions, Arc::new(Plain)));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = Client::new(Address::Unix(socket.clone()));
    Service { _folder: folder, socket, client, ledger }
}

impl Service {
    async fn create(&self) -> String {
        self.client.create_sandbox(&CreateSandbox::default()).await.unwrap().id
    }

    /// Sends bytes and gives the answer's status line and body.
    async fn raw(&self, head: &str, body: &[u8]) -> (String, String) {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        // It may be refused before it is read.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let reading =
            async { while !is_whole(&answer) && stream.read_buf(&mut answer).await.is_ok_and(|read| read > 0) {} };
        tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_ascii_lowercase(), body.to_owned())
    }

    async fn post(&self, path: &str, body: &str) -> (u16, String) {
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
        let (head, body) = self.raw(&head, body.as_bytes()).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }
}

/// Whether all of an answer whose length is told has come.
fn is_whole(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}

fn exec(command: &str) -> ExecRequest {
    ExecRequest { command: vec![command.to_owned()], ..ExecRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_made_shown_listed_by_pages_and_removed() {
    let service = serve(Script::default());
    let ids = [service.create().await, service.create().await, service.create().await];
    let shown = service.client.sandbox(&ids[1]).await.unwrap();
    assert_eq!(
        (shown.id.as_str(), shown.backend.as_str(), shown.features),
        (ids[1].as_str(), "fake", vec!["signals".to_owned()])
    );
    let listed: Vec<_> = service.client.sandboxes().await.unwrap().into_iter().map(|sandbox| sandbox.id).collect();
    assert_eq!(listed, ids);
    let (head, body) = service.raw("GET /v1/sandboxes?limit=2 HTTP/1.1", b"").await;
    assert!(head.starts_with("http/1.1 200") && body.contains(&format!("\"cursor\":\"{}\"", ids[1])), "{body}");
    let full = service.client.create_sandbox(&CreateSandbox::default()).await.unwrap_err();
    assert!(full.kind() == ErrorKind::Refused && full.to_string().contains("3 sandboxes"), "{full}");
    service.client.destroy_sandbox(&ids[0]).await.unwrap();
    let gone = service.client.sandbox(&ids[0]).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    service.create().await;
    assert_eq!(service.ledger.created(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_saw_of_a_sandbox_is_told_while_it_lives_and_after() {
    let service = serve(Script::default());
    let id = service.create().await;
    let record = async || {
        let (head, body) = service.raw(&format!("GET /v1/sandboxes/{id}/record HTTP/1.1"), b"").await;
        assert!(head.starts_with("http/1.1 200"), "{head} {body}");
        serde_json::from_str::<SandboxRecord>(&body).unwrap()
    };
    let living = record().await;
    assert_eq!((living.id.as_str(), living.ended, living.validity), (id.as_str(), None, Validity::Valid));
    let posture = living.evidence.posture.unwrap();
    assert!(posture.before.as_planned > 0 && posture.after.is_none(), "{posture:?}");
    service.client.destroy_sandbox(&id).await.unwrap();
    let ended = record().await;
    assert_eq!((ended.ended.as_deref(), ended.validity), (Some("it was removed"), Validity::Valid));
    assert!(ended.evidence.posture.unwrap().after.is_some());
    let unknown = format!("GET /v1/sandboxes/{}/record HTTP/1.1", crucible_core::SandboxId::generate());
    assert!(service.raw(&unknown, b"").await.0.starts_with("http/1.1 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_no_tripwires_of_a_sandbox_that_stays_open() {
    let service = serve(Script::default());
    let (status, body) = service.post("/v1/sandboxes", "{\"tripwires\": [\"environment=TOKEN\"]}").await;
    assert!(status == 403 && body.contains("variable"), "{status} {body}");
    assert_eq!(service.ledger.created(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_is_a_problem_document_with_its_status() {
    let service = serve(Script::default());
    let id = service.create().await;
    let exec = format!("/v1/sandboxes/{id}/exec");
    let unknown = format!("/v1/sandboxes/{}/exec", crucible_core::SandboxId::generate());
    for (path, body, status, part) in [
        ("/v1/nothing", "{}", 404, "/v1/nothing"),
        ("/v1/sandboxes", "{\"langage\": \"x\"}", 400, "langage"),
        ("/v1/sandboxes", "{\"limits\"", 400, "EOF"),
        ("/v1/sandboxes", "{\"policy\": \"strict\"}", 403, "stays open"),
        ("/v1/sandboxes", "{\"lifetime\": \"1ms\"}", 400, "lifetime"),
        ("/v1/sandboxes/x/exec", "{\"command\": [\"a\"]}", 404, "no sandbox"),
        (&unknown, "{\"command\": [\"a\"]}", 404, "no sandbox"),
        (&exec, "{}", 400, "no command"),
        (&exec, "{\"command\": [\"a\"], \"timeout\": \"soon\"}", 400, "timeout"),
        (&exec, "{\"command\": [\"a\"], \"directory\": \"../x\"}", 400, "'..'"),
        (&exec, "{\"command\": [\"a\"], \"stdin\": \"\", \"stdin_base64\": \"\"}", 400, "both"),
        (&exec, "{\"command\": [\"a\"], \"user\": \"root\"}", 403, "another user"),
        (&exec, "{\"command\": [\"a\"], \"terminal\": {\"rows\": 1, \"columns\": 1}}", 403, "terminal"),
        (&exec, "{\"command\": [\"a\\u0000\"]}", 400, "NUL"),
        (&format!("/v1/sandboxes/{id}/fork"), "", 403, "second sandbox"),
    ] {
        let (seen, answer) = service.post(path, body).await;
        let problem: HttpProblem =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{path} {body}: {error}: {answer}"));
        assert_eq!((seen, problem.status), (status, status), "{path} {body}: {answer}");
        assert!(problem.detail.contains(part) && problem.uri.starts_with("urn:crucible:problem:"), "{answer}");
    }
    let (head, _) = service.raw("PATCH /v1/sandboxes HTTP/1.1", b"").await;
    assert!(head.starts_with("http/1.1 405") && head.contains("application/problem+json"), "{head}");
    let (head, _) = service.raw(&format!("GET {exec} HTTP/1.1"), b"").await;
    assert!(head.starts_with("http/1.1 400"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let service = serve(Script::default());
    let id = service.create().await;
    // Only its beginning is ever sent.
    let head =
        format!("POST /v1/sandboxes HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}", MOST_BODY + 1);
    let (head, body) = service.raw(&head, b"{").await;
    assert!(head.starts_with("http/1.1 413") && body.contains("larger"), "{head} {body}");
    let head =
        format!("PUT /v1/sandboxes/{id}/files?path=x HTTP/1.1\r\ncontent-length: {}", Limits::default().disk.get() + 1);
    let (head, body) = service.raw(&head, b"x").await;
    assert!(head.starts_with("http/1.1 413") && body.contains("disk limit"), "{head} {body}");
    assert!(service.ledger.written().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_waits_for_the_end_or_comes_line_by_line() {
    let steps = [Step::EchoStdin, Step::Write(Stream::Stderr, b"\xff".to_vec()), Step::Exit(3)];
    let service = serve(Script::of(steps));
    let exec = format!("/v1/sandboxes/{}/exec", service.create().await);
    let (status, body) = service.post(&exec, r#"{"command":["x"],"stdin":"hello"}"#).await;
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &told["status"], &told["exit_code"]), (200, &"exited".into(), &3.into()));
    assert_eq!((&told["stdout"], &told["stderr_base64"]), (&"hello".into(), &"/w==".into()));
    let (status, body) = service.post(&format!("{exec}?stream=true"), r#"{"command":["x"],"stdin":"hello"}"#).await;
    let events: Vec<&str> = body.lines().filter(|line| line.starts_with('{')).collect();
    assert!(status == 200 && events.len() == 4 && events[0] == r#"{"event":"started"}"#, "{body}");
    assert!(events[3].starts_with(r#"{"event":"ended","status":"exited","exit_code":3"#), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_beyond_the_limit_ends_a_command_that_is_waited_for() {
    let service = serve(Script::of([Step::Flood(Stream::Stdout)]));
    let exec = format!("/v1/sandboxes/{}/exec", service.create().await);
    let (_, body) = service.post(&exec, r#"{"command":["x"]}"#).await;
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&told["status"], &told["limit"], &told["stdout_truncated"]),
        (&"limit_exceeded".into(), &"output".into(), &true.into())
    );
    assert_eq!(told["stdout"].as_str().unwrap().len(), 1000);
    // This backend can't end one command alone, and that is said.
    assert_eq!(told["others_ended"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_has_input_later_and_bytes_exactly() {
    let service = serve(Script::of([Step::EchoStdin]));
    let id = service.create().await;
    let mut conversation = service.client.exec(&id, exec("x")).await.unwrap();
    assert!(matches!(conversation.listener.next().await.unwrap(), Heard::Started));
    for piece in [&b"one\0"[..], b"\xff\xfe", b"three"] {
        conversation.speaker.input(piece.to_vec()).await.unwrap();
    }
    conversation.speaker.end_of_input().await.unwrap();
    let mut all = Vec::new();
    let ended = loop {
        match conversation.listener.next().await.unwrap() {
            Heard::Output(OutputStream::Stdout, bytes) => all.extend_from_slice(&bytes),
            Heard::Ended(ended) => break ended,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((all.as_slice(), ended.status), (&b"one\0\xff\xfethree"[..], Status::Exited));
    let unknown = service.client.exec("00000000-0000-7000-8000-000000000000", exec("x")).await.map(drop).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_started_is_told_in_the_conversation() {
    let service = serve(Script::default().with_fault(Fault::Exec));
    let id = service.create().await;
    let mut conversation = service.client.exec(&id, exec("x")).await.unwrap();
    let error = conversation.listener.next().await.unwrap_err();
    assert!(error.to_string().contains("the fake could not start the command"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_its_command() {
    let service = serve(Script::of([Step::WaitForever]));
    let id = service.create().await;
    for _ in 0..3 {
        let mut conversation = service.client.exec(&id, exec("x")).await.unwrap();
        assert!(matches!(conversation.listener.next().await.unwrap(), Heard::Started));
        drop(conversation);
        let mut stream = UnixStream::connect(&service.socket).await.unwrap();
        let body = r#"{"command":["x"]}"#;
        let head = format!(
            "POST /v1/sandboxes/{id}/exec HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
    }
    let idle = async {
        while service.client.sandbox(&id).await.unwrap().busy > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), idle).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_in_and_come_out_and_folders_are_listed() {
    let service = serve(Script::default());
    let id = service.create().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let upload = Upload { content: Box::new(std::io::Cursor::new(bytes.clone())), length: None, executable: true };
    service.client.write_file(&id, "/work/a b/c", upload).await.unwrap();
    let Found::File(mut content) = service.client.read_file(&id, "/work/a b/c").await.unwrap() else {
        panic!("a file")
    };
    let mut back = Vec::new();
    content.read_to_end(&mut back).await.unwrap();
    assert!(back == bytes);
    let Found::Folder(list) = service.client.read_file(&id, "/work").await.unwrap() else { panic!("a folder") };
    assert_eq!(list.entries[0].name, "a b");
    assert_eq!(service.client.read_file(&id, "/work/none").await.map(drop).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(service.client.remove_file(&id, "/work/a b/c").await.unwrap_err().kind(), ErrorKind::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_lies_idle_ends_and_one_that_is_used_does_not() {
    let service = serve(Script::of([Step::WaitForever]));
    let request = CreateSandbox { idle_timeout: Some("1s".to_owned()), ..CreateSandbox::default() };
    let (idle, used) = (
        service.client.create_sandbox(&request).await.unwrap().id,
        service.client.create_sandbox(&request).await.unwrap().id,
    );
    let mut conversation = service.client.exec(&used, exec("x")).await.unwrap();
    assert!(matches!(conversation.listener.next().await.unwrap(), Heard::Started));
    let gone = async {
        while service.client.sandbox(&idle).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    service.client.sandbox(&used).await.unwrap();
}
