//! Conversations of a host with the server, line by line, with a scripted backend behind it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use crucible_api::v1::{CreateSandbox, SubmitEvaluation};
use crucible_core::{
    ByteSize, Error, ErrorKind, EvaluationId, EvaluationSpec, GuestPath, Limits, NetworkPolicy, Policy, Program,
    Result, Stream, TimeSpan,
};
use crucible_engine::{Engine, LanguageTable, NodeFacts, SessionSpec};
use crucible_mcp::{Bounds, Mcp, McpParts, serve};
use crucible_server::SpecReader;
use crucible_testkit::fake::{FakeBackend, FakeFile, Fault, Ledger, Script, Step};
use crucible_testkit::languages;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// Takes what requests say, as the configuration of a command would.
struct Plain;

fn limits(asked: &BTreeMap<String, Value>) -> Result<Limits> {
    let mut all = serde_json::to_value(Limits::default()).unwrap();
    all.as_object_mut().unwrap().extend(asked.clone());
    serde_json::from_value(all).map_err(|error| Error::new(ErrorKind::InvalidInput, "read", format!("limits: {error}")))
}

impl SpecReader for Plain {
    fn session_spec(&self, request: &CreateSandbox) -> Result<SessionSpec> {
        let time = |text: &Option<String>| text.as_ref().map(|text| text.parse::<TimeSpan>().unwrap());
        Ok(SessionSpec {
            backend: "auto".to_owned(),
            language: request.language.clone(),
            limits: limits(&request.limits)?,
            policy: request.policy.as_deref().map_or_else(Policy::default, |name| Policy::built_in(name).unwrap()),
            env: request.env.clone(),
            tripwires: Vec::new(),
            command_timeout: time(&request.command_timeout),
            idle_timeout: time(&request.idle_timeout).unwrap(),
            lifetime: time(&request.lifetime).unwrap(),
        })
    }

    fn evaluation_spec(&self, request: SubmitEvaluation) -> Result<EvaluationSpec> {
        let language = request.language.unwrap_or_else(|| "python".to_owned());
        Ok(EvaluationSpec {
            id: EvaluationId::generate(),
            program: Program::Source { language, code: request.code.unwrap().into_bytes(), args: request.args },
            backend: "auto".to_owned(),
            stdin: request.stdin.unwrap_or_default().into_bytes(),
            files: Vec::new(),
            collect: request.collect.iter().map(|path| GuestPath::parse(path)).collect::<Result<_>>()?,
            tripwires: Vec::new(),
            env: request.env,
            limits: limits(&request.limits)?,
            policy: request.policy.as_deref().map_or_else(Policy::default, |name| Policy::built_in(name).unwrap()),
            review: None,
            label: None,
        })
    }

    fn backend(&self, name: &str, _spec: &EvaluationSpec) -> Result<String> {
        Ok(name.to_owned())
    }
}

/// A host in conversation with a server.
struct Host {
    mcp: Mcp,
    ledger: Arc<Ledger>,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: Option<WriteHalf<DuplexStream>>,
    serving: JoinHandle<Result<()>>,
    stop: CancellationToken,
    heard: Vec<Value>,
    last_id: u64,
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    within(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

fn start(script: Script, policies: &[&str]) -> (Mcp, Arc<Ledger>) {
    let backend = FakeBackend::new(script);
    let ledger = backend.ledger();
    let languages = LanguageTable::from(BTreeMap::from([("python".to_owned(), languages::python())]));
    let engine =
        Engine::new(vec![Arc::new(backend)], languages, Limits::maximum(), NodeFacts { kernel: "6".to_owned() });
    let parts = McpParts {
        engine: Arc::new(engine),
        specs: Arc::new(Plain),
        reviews: None,
        limits: Limits::default(),
        // Less than the engine would let through.
        maximum: Limits { memory: ByteSize::mib(1024), ..Limits::maximum() },
        languages: vec!["python".to_owned()],
        policies: policies.iter().map(|&name| name.to_owned()).collect(),
        may_reach_out: Policy::default().network != NetworkPolicy::None,
        bounds: Bounds {
            most_sandboxes: 2,
            most_running: 2,
            idle_timeout: TimeSpan::secs(600),
            lifetime: TimeSpan::secs(3600),
            most_output: 1000,
        },
    };
    (Mcp::new(parts), ledger)
}

impl Host {
    async fn meet(script: Script) -> Self {
        Self::meet_with(script, &[]).await
    }

    async fn meet_with(script: Script, policies: &[&str]) -> Self {
        let (mcp, ledger) = start(script, policies);
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(mcp.clone(), tokio::io::split(theirs), stop.clone()));
        let (reader, writer) = tokio::io::split(ours);
        let lines = BufReader::new(reader).lines();
        let mut host = Self { mcp, ledger, lines, writer: Some(writer), serving, stop, heard: Vec::new(), last_id: 0 };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let welcome = host.ask("initialize", hello).await;
        assert_eq!(welcome["result"]["serverInfo"]["name"], "crucible");
        host.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        host
    }

    async fn say(&mut self, message: Value) {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
    }

    /// Makes a request, and gives its id.
    async fn request(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.say(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// Waits for the answer to a request; what else is heard is kept.
    async fn answer(&mut self, id: u64) -> Value {
        let lines = &mut self.lines;
        let heard = &mut self.heard;
        within("an answer", async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the server went away");
                let message: Value = serde_json::from_str(&line).unwrap();
                if message["id"] == id {
                    return message;
                }
                heard.push(message);
            }
        })
        .await
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params).await;
        self.answer(id).await
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await;
        assert!(answer.get("error").is_none(), "{tool}: {answer}");
        answer["result"].clone()
    }

    /// Calls a tool that must do what it is asked for.
    async fn well(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_ne!(result["isError"], true, "{tool}: {result}");
        // What is structured is there as text, too.
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        text
    }

    /// Calls a tool that must say what is wrong.
    async fn badly(&mut self, tool: &str, arguments: Value, part: &str) {
        let result = self.call(tool, arguments.clone()).await;
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(result["isError"] == true && text.contains(part), "{tool} {arguments}: {part:?} is not in {result}");
    }
}

/// Longer than any test waits, so that nothing ends by itself what is to be ended otherwise.
const ENDLESS: f64 = 1000.0;

fn endless_run() -> Value {
    json!({"name": "run_code", "arguments": {"code": "1", "limits": {"timeout_seconds": ENDLESS}}})
}

fn writes(text: impl Into<Vec<u8>>) -> Step {
    Step::Write(Stream::Stdout, text.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_says_what_it_takes_what_it_gives_and_what_it_may_change() {
    let mut host = Host::meet_with(Script::default(), &["strict"]).await;
    let answer = host.ask("tools/list", json!({})).await;
    let tools = answer["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.len(), 12);
    for tool in tools {
        let name = tool["name"].as_str().unwrap();
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{name}: {schema}");
            let text = tool[schema].to_string();
            for reference in text.split("\"$ref\":\"").skip(1) {
                let target = reference.split('"').next().unwrap();
                let name = target.strip_prefix("#/$defs/").unwrap_or_else(|| panic!("{name}: {target}"));
                assert!(tool[schema]["$defs"][name].is_object(), "{name}: nothing is at {target}");
            }
        }
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{name}: {hint}");
        }
        for (argument, schema) in tool["inputSchema"]["properties"].as_object().unwrap() {
            assert!(schema["description"].as_str().is_some_and(|text| text.len() > 5), "{name}: {argument}");
        }
    }
    let tool = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap();
    let run = tool("run_code");
    let limits = &run["inputSchema"]["properties"]["limits"]["properties"];
    let memory = json!({"type": "integer", "minimum": 4, "maximum": 1024, "default": 256, "description": limits["memory_mib"]["description"]});
    assert_eq!(limits["memory_mib"], memory);
    assert_eq!(limits["timeout_seconds"]["default"], 10.0);
    assert_eq!(run["inputSchema"]["properties"]["policy"]["enum"], json!(["strict"]));
    assert_eq!(
        (&run["annotations"]["readOnlyHint"], &run["annotations"]["openWorldHint"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(tool("read_file")["annotations"]["readOnlyHint"], true);
    assert_eq!(tool("close_sandbox")["annotations"]["destructiveHint"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schema_offers_is_taken_and_what_it_does_not_offer_is_named() {
    let mut host = Host::meet_with(Script::of([writes("ok")]), &["default"]).await;
    let tools = host.ask("tools/list", json!({})).await["result"]["tools"].clone();
    let sandbox = host.well("open_sandbox", json!({})).await["sandbox_id"].clone();
    let run = host.well("run_code", json!({"code": "1"})).await["run_id"].clone();
    for tool in tools.as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        let properties = tool["inputSchema"]["properties"].as_object().unwrap();
        let mut arguments: BTreeMap<&str, Value> = BTreeMap::new();
        for (property, schema) in properties {
            let value = match (property.as_str(), schema["type"].as_str().unwrap()) {
                ("sandbox_id", _) => sandbox.clone(),
                ("run_id", _) => run.clone(),
                ("content_base64", _) => continue,
                (_, "string") => schema["enum"][0].as_str().map_or_else(|| json!("a"), |first| json!(first)),
                (_, "integer" | "number") => schema.get("default").cloned().unwrap_or(json!(1)),
                ("command", _) => json!(["true"]),
                (_, "array") => json!([]),
                (_, "object") => schema["properties"].as_object().map_or_else(
                    || json!({"A": "1"}),
                    |inner| inner.iter().map(|(name, schema)| (name.clone(), schema["default"].clone())).collect(),
                ),
                (_, "boolean") => json!(true),
                (_, other) => panic!("{name}: {property} is {other}"),
            };
            arguments.insert(property, value);
        }
        let result = host.call(name, json!(arguments)).await;
        let text = result["content"][0]["text"].as_str().unwrap();
        // What isn't there in this fake sandbox is another matter than what can't be read.
        assert!(!text.contains("arguments: "), "{name} {arguments:?}: {text}");
        arguments.insert("nonsense", json!(1));
        host.badly(name, json!(arguments), "nonsense").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_result_that_says_it() {
    let mut host = Host::meet(Script::of([writes("ok")])).await;
    for (tool, arguments, part) in [
        ("run_code", json!({}), "code: it is missing"),
        ("run_code", json!({"code": 1}), "invalid type"),
        ("run_code", json!({"code": "1", "language": "cobol"}), "cobol"),
        ("run_code", json!({"code": "1", "limits": {"memory_mib": 1}}), "memory of 1MiB is outside"),
        ("run_code", json!({"code": "1", "limits": {"memory_mib": 1025}}), "memory of 1025MiB is outside 4MiB to 1GiB"),
        ("open_sandbox", json!({"limits": {"memory_mib": 1025}}), "memory of 1025MiB is outside 4MiB to 1GiB"),
        ("run_code", json!({"code": "1", "limits": {"timeout_seconds": -1}}), "limits.timeout_seconds"),
        ("run_code", json!({"code": "1", "limits": {"timeout_seconds": 0}}), "timeout of "),
        ("run_code", json!({"code": "1", "limits": {"memroy_mib": 1}}), "memroy_mib"),
        ("run_code", json!({"code": "1", "policy": "unisolated"}), "policy: "),
        ("run_code", json!({"code": "1", "collect": ["../x"]}), "'..'"),
        ("scan_code", json!({}), "neither code nor a file"),
        ("open_sandbox", json!({"idle_timeout_seconds": 601}), "idle_timeout_seconds: 601 is more than the 10m"),
        ("open_sandbox", json!({"policy": "/etc/passwd"}), "policy: "),
        ("exec_in_sandbox", json!({"command": ["true"]}), "sandbox_id"),
        ("exec_in_sandbox", json!({"sandbox_id": "nonsense", "command": ["true"]}), "there is no sandbox"),
        ("close_sandbox", json!({"sandbox_id": "../../etc"}), "there is no sandbox"),
        ("read_file", json!({"sandbox_id": "x", "path": "a"}), "there is no sandbox"),
        ("run_behavior", json!({"run_id": "nonsense"}), "there is no run"),
    ] {
        host.badly(tool, arguments, part).await;
    }
    assert_eq!(host.ledger.created(), 0);
    let sandbox = host.well("open_sandbox", json!({"language": "python"})).await["sandbox_id"].clone();
    for (tool, arguments, part) in [
        ("exec_in_sandbox", json!({"command": []}), "command"),
        ("exec_in_sandbox", json!({"command": ["true"], "directory": "../x"}), "directory: "),
        ("exec_in_sandbox", json!({"command": ["true"], "timeout_seconds": -5}), "timeout_seconds: "),
        ("read_file", json!({"path": "../../etc/passwd"}), "path: "),
        ("read_file", json!({"path": "a", "max_bytes": 0}), "max_bytes: 0 is outside 1 to 1000"),
        ("read_file", json!({"path": "a", "max_bytes": 1001}), "max_bytes: 1001 is outside"),
        ("write_file", json!({"path": "a"}), "neither content nor content_base64"),
        ("write_file", json!({"path": "a", "content": "", "content_base64": ""}), "both content and content_base64"),
        ("write_file", json!({"path": "a", "content_base64": "?"}), "content_base64: it isn't base64"),
        ("list_files", json!({"path": "a/"}), "path: "),
        ("remove_file", json!({"path": ""}), "path: "),
    ] {
        let mut arguments = arguments;
        arguments["sandbox_id"] = sandbox.clone();
        host.badly(tool, arguments, part).await;
    }
    // What isn't a call of a tool at all is the protocol's own error.
    let answer = host.ask("tools/call", json!({"name": "rm", "arguments": {}})).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    let answer = host.ask("resources/read", json!({"uri": "file:///etc/passwd"})).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("there is no resource"), "{answer}");
    let answer = host.ask("tools/nonsense", json!({})).await;
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_is_a_result_and_its_record_can_be_read() {
    let script = Script::of([writes("out"), Step::Write(Stream::Stderr, b"err".to_vec()), Step::Exit(3)])
        .with_file("/work/a b.txt", FakeFile::Regular(b"text".to_vec()))
        .with_file("/work/bytes", FakeFile::Regular(vec![0, 159]));
    let mut host = Host::meet(script).await;
    let run = host.well("run_code", json!({"code": "1", "collect": ["a b.txt", "bytes"]})).await;
    assert_eq!((&run["status"], &run["exit_code"]), (&json!("exited"), &json!(3)));
    assert_eq!((&run["stdout"], &run["stderr"]), (&json!("out"), &json!("err")));
    let id = run["run_id"].as_str().unwrap();
    let address = |part: &str| format!("crucible://runs/{id}{part}");
    let files = run["files"].as_array().unwrap();
    assert_eq!(files[0]["content"], "text");
    assert_eq!(files[0]["resource"], address("/files/a%20b.txt"));
    assert_eq!((&files[1]["content"], &files[1]["size"]), (&Value::Null, &json!(2)));
    let listed = host.ask("resources/list", json!({})).await["result"]["resources"].clone();
    assert_eq!(listed[0]["uri"], address(""));
    for (part, key, expected) in [
        ("/stdout", "text", "out"),
        ("/stderr", "text", "err"),
        ("/files/a%20b.txt", "text", "text"),
        ("/files/bytes", "blob", "AJ8="),
    ] {
        let read = host.ask("resources/read", json!({"uri": address(part)})).await;
        assert_eq!(read["result"]["contents"][0][key], expected, "{part}: {read}");
    }
    let record = host.ask("resources/read", json!({"uri": address("")})).await;
    let record: Value = serde_json::from_str(record["result"]["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!((&record["exit_code"], &record["files"][0]["content_base64"]), (&json!(3), &json!("")));
    for part in ["/nonsense", "/files/none", "/files/../stdout"] {
        let answer = host.ask("resources/read", json!({"uri": address(part)})).await;
        assert!(answer["error"].is_object(), "{part}: {answer}");
    }
    let behavior = host.well("run_behavior", json!({"run_id": id})).await;
    assert_eq!((&behavior["run_id"], &behavior["status"]), (&json!(id), &json!("exited")));
    let evidence = host.well("run_evidence", json!({"run_id": id})).await;
    assert_eq!((&evidence["evidence"]["kernel"], &evidence["evidence"]["policy"]), (&json!("6"), &json!("default")));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_output_is_cut_and_said_to_be_and_kept() {
    let long = "x".repeat(5000);
    let mut host = Host::meet(Script::of([writes(format!("first{long}last"))])).await;
    let run = host.well("run_code", json!({"code": "1"})).await;
    let shown = run["stdout"].as_str().unwrap();
    assert!(shown.starts_with("first") && shown.ends_with("last") && shown.len() < 1100, "{shown}");
    assert!(shown.contains("4009 bytes left out here"), "{shown}");
    assert_eq!((&run["stdout_left_out_bytes"], &run["stdout_truncated"]), (&json!(4009), &json!(false)));
    let uri = format!("crucible://runs/{}/stdout", run["run_id"].as_str().unwrap());
    let whole = host.ask("resources/read", json!({"uri": uri})).await;
    assert_eq!(whole["result"]["contents"][0]["text"].as_str().unwrap().len(), 5009);
    let sandbox = host.well("open_sandbox", json!({})).await["sandbox_id"].clone();
    let ended = host.well("exec_in_sandbox", json!({"sandbox_id": sandbox, "command": ["x"]})).await;
    assert_eq!(ended["stdout_left_out_bytes"], 4009);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_runs_are_forgotten() {
    let mut host = Host::meet(Script::of([writes("ok")])).await;
    let first = host.well("run_code", json!({"code": "1"})).await["run_id"].clone();
    for _ in 0..100 {
        host.well("run_code", json!({"code": "1"})).await;
    }
    let listed = host.ask("resources/list", json!({})).await["result"]["resources"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 100);
    host.badly("run_evidence", json!({"run_id": first}), "there is no run").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_its_run() {
    let mut host = Host::meet(Script::of([writes("begun"), Step::WaitForever])).await;
    let id = host.request("tools/call", endless_run()).await;
    let ledger = Arc::clone(&host.ledger);
    until("the program runs", || !ledger.commands().is_empty()).await;
    host.say(
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, "reason": "enough"}}),
    )
    .await;
    until("the sandbox is gone", || ledger.living() == 0).await;
    // The conversation goes on, and the cancelled call is never answered.
    host.ask("ping", json!({})).await;
    assert!(host.heard.iter().all(|message| message["id"] != id), "{:?}", host.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_ends_its_command_and_leaves_the_sandbox() {
    let mut host = Host::meet(Script::of([Step::WaitForever])).await;
    let sandbox = host.well("open_sandbox", json!({})).await["sandbox_id"].clone();
    let arguments = json!({"sandbox_id": sandbox, "command": ["x"], "timeout_seconds": ENDLESS});
    let id = host.request("tools/call", json!({"name": "exec_in_sandbox", "arguments": arguments})).await;
    let ledger = Arc::clone(&host.ledger);
    until("the command runs", || !ledger.commands().is_empty()).await;
    host.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})).await;
    let begun = Instant::now();
    loop {
        let listed = host.well("list_sandboxes", json!({})).await;
        if listed["sandboxes"][0]["busy"] == 0 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{listed}");
    }
    assert_eq!(ledger.living(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_closes_its_end_in_the_middle_of_a_run_leaves_nothing_behind() {
    let mut host = Host::meet(Script::of([Step::WaitForever])).await;
    host.well("open_sandbox", json!({})).await;
    host.request("tools/call", endless_run()).await;
    let ledger = Arc::clone(&host.ledger);
    until("the program runs", || !ledger.commands().is_empty()).await;
    assert_eq!(ledger.living(), 2);
    let begun = Instant::now();
    // A half that is dropped doesn't close the stream as long as the other one is there.
    host.writer.take().unwrap().shutdown().await.unwrap();
    within("the conversation's end", &mut host.serving).await.unwrap().unwrap();
    host.mcp.shut_down().await.unwrap();
    assert_eq!(ledger.living(), 0);
    // Hosts wait two seconds before they send signals.
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_answers_what_it_ends() {
    let mut host = Host::meet(Script::of([writes("begun"), Step::WaitForever])).await;
    let id = host.request("tools/call", endless_run()).await;
    let ledger = Arc::clone(&host.ledger);
    until("the program runs", || !ledger.commands().is_empty()).await;
    host.stop.cancel();
    let answer = host.answer(id).await;
    assert_eq!(answer["result"]["structuredContent"]["status"], "cancelled", "{answer}");
    within("the conversation's end", &mut host.serving).await.unwrap().unwrap();
    host.mcp.shut_down().await.unwrap();
    assert_eq!(ledger.living(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_starts_nothing_more() {
    let mut host = Host::meet(Script::of([writes("ok")])).await;
    host.mcp.shut_down().await.unwrap();
    host.badly("run_code", json!({"code": "1"}), "about to end").await;
    host.badly("open_sandbox", json!({}), "about to end").await;
    assert_eq!(host.ledger.created(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_are_opened_used_listed_and_closed_and_there_are_only_so_many() {
    let mut host = Host::meet(Script::of([Step::EchoStdin, Step::Exit(7)])).await;
    let sandbox = host.well("open_sandbox", json!({"language": "python", "idle_timeout_seconds": 30})).await;
    assert_eq!((&sandbox["language"], &sandbox["idle_timeout_seconds"]), (&json!("python"), &json!(30.0)));
    let id = sandbox["sandbox_id"].clone();
    let ended = host.well("exec_in_sandbox", json!({"sandbox_id": id, "command": ["x", "y"], "stdin": "hello"})).await;
    assert_eq!(
        (&ended["status"], &ended["exit_code"], &ended["stdout"]),
        (&json!("exited"), &json!(7), &json!("hello"))
    );
    host.well("open_sandbox", json!({})).await;
    host.badly("open_sandbox", json!({}), "2 sandboxes are open, and no more may be").await;
    let listed = host.well("list_sandboxes", json!({})).await;
    assert_eq!((listed["sandboxes"].as_array().unwrap().len(), &listed["most"]), (2, &json!(2)));
    assert_eq!(listed["sandboxes"][0]["commands"], 1);
    let closed = host.well("close_sandbox", json!({"sandbox_id": id})).await;
    assert_eq!(closed["closed"], true);
    host.badly("close_sandbox", json!({"sandbox_id": id}), "there is no sandbox").await;
    host.well("open_sandbox", json!({})).await;
    host.mcp.shut_down().await.unwrap();
    assert_eq!((host.ledger.created(), host.ledger.living()), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_progress_is_told_the_stages() {
    let mut host = Host::meet(Script::of([writes("hello"), Step::WaitForever])).await;
    let arguments = json!({"code": "1", "limits": {"timeout_seconds": 1.5}});
    let params = json!({"name": "run_code", "arguments": arguments, "_meta": {"progressToken": "t"}});
    let answer = host.ask("tools/call", params).await;
    assert_eq!(answer["result"]["structuredContent"]["status"], "timed_out", "{answer}");
    let told: Vec<_> = host.heard.iter().filter(|message| message["method"] == "notifications/progress").collect();
    assert!(told.iter().all(|message| message["params"]["progressToken"] == "t"), "{told:?}");
    let messages: Vec<_> = told.iter().filter_map(|message| message["params"]["message"].as_str()).collect();
    assert!(
        messages.iter().any(|message| message.starts_with("running") && message.ends_with("5 bytes of output")),
        "{messages:?}"
    );
    let progress: Vec<_> = told.iter().map(|message| message["params"]["progress"].as_f64().unwrap()).collect();
    assert!(progress.windows(2).all(|two| two[0] < two[1]), "{progress:?}");
    // Who doesn't ask is told nothing.
    host.heard.clear();
    host.call("run_code", json!({"code": "1", "limits": {"timeout_seconds": 0.1}})).await;
    assert!(host.heard.is_empty(), "{:?}", host.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crucible_fails_at_is_said_and_the_conversation_goes_on() {
    let mut host = Host::meet(Script::default().with_fault(Fault::Create)).await;
    let result = host.call("run_code", json!({"code": "1"})).await;
    assert_eq!(result["isError"], true, "{result}");
    assert!(result.get("structuredContent").is_none(), "{result}");
    host.badly("open_sandbox", json!({}), "").await;
    host.ask("ping", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_conversation_is_said() {
    let (mcp, _ledger) = start(Script::default(), &[]);
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(serve(mcp, tokio::io::split(theirs), CancellationToken::new()));
    ours.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n").await.unwrap();
    let error = within("the end", serving).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.hint().unwrap().contains("docs/mcp.md"));
    // One that goes away at once has done nothing wrong.
    let (mcp, _ledger) = start(Script::default(), &[]);
    let (ours, theirs) = tokio::io::duplex(64);
    drop(ours);
    within("the end", serve(mcp, tokio::io::split(theirs), CancellationToken::new())).await.unwrap();
}
