//! The table of tools: names, words, hints, and schemas with the limits and defaults that are in force here.
//!
//! Invariant: a hint never says less than what a tool can do: what changes files of a sandbox is destructive, and what runs
//! programs that may reach the network is open to the world.

use crate::results::{
    BehaviorResult, ClosedResult, EvidenceResult, ExecResult, ListResult, ReadResult, RemovedResult, RunResult,
    SandboxResult, SandboxesResult, ScanResult, WrittenResult,
};
use crate::schema::{of_arguments, of_result};
use crate::server::McpParts;
use crucible_core::{ByteSize, Limits, TimeSpan};
use crucible_server::MOST_BODY;
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::ToSchema;

/// What a host tells its model of the whole.
pub(crate) const INSTRUCTIONS: &str = "\
Crucible runs code isolated: no access to this machine's files, and no network unless its operator allowed some. \
`run_code` is for one program in a fresh sandbox. For several steps that share files, `open_sandbox`, then `exec_in_sandbox`, \
`write_file`, `read_file` and `list_files`, and `close_sandbox` when it isn't needed any more. All paths are a sandbox's own; \
relative ones lie in /work. A program that fails, is ended by a limit or is denied by the policy is a result, with its status. \
`scan_code` looks at a program without running it; `run_behavior` and `run_evidence` tell what a run did and what it was protected by.";

/// How a tool may change things.
enum Effect {
    /// It changes nothing.
    Reads,
    /// It only adds.
    Adds,
    /// It can remove or replace.
    Replaces,
    /// The same, and doing it twice is doing it once.
    ReplacesOnce,
}

/// Whether what a tool runs may reach out.
#[derive(Clone, Copy)]
enum World {
    Closed,
    Open,
}

/// Every tool.
pub(crate) fn table(parts: &McpParts) -> Vec<Tool> {
    let words = Words(parts);
    let world = if parts.may_reach_out { World::Open } else { World::Closed };
    let sandbox = json!({"type": "string", "description": "The sandbox, by the sandbox_id that open_sandbox gave."});
    let run = json!({"type": "string", "description": "The run, by the run_id that run_code gave."});
    let path = |what: &str| json!({"type": "string", "minLength": 1, "maxLength": 1024, "description": format!("{what} In the sandbox: below /work, or absolute; without '..'.")});
    vec![
        tool::<RunResult>(
            "run_code",
            "Run a program",
            "Runs one program in a fresh sandbox, which is removed afterwards, and gives its output and how it ended.",
            words.run_code(),
            &["code"],
            (Effect::Adds, world),
        ),
        tool::<ScanResult>(
            "scan_code",
            "Scan a program",
            "Looks at a program without running it: what it looks like it does, and whether the policy would let it in.",
            words.scan_code(),
            &[],
            (Effect::Reads, World::Closed),
        ),
        tool::<SandboxResult>(
            "open_sandbox",
            "Open a sandbox",
            "Opens a sandbox that stays, for several commands that share files and processes.",
            words.open_sandbox(),
            &[],
            (Effect::Adds, World::Closed),
        ),
        tool::<SandboxesResult>(
            "list_sandboxes",
            "List open sandboxes",
            "Lists the sandboxes that are open.",
            json!({}),
            &[],
            (Effect::Reads, World::Closed),
        ),
        tool::<ExecResult>(
            "exec_in_sandbox",
            "Run a command in a sandbox",
            "Runs a command in an open sandbox and waits for its end. For a shell's syntax: [\"sh\", \"-c\", \"...\"].",
            words.exec(&sandbox),
            &["sandbox_id", "command"],
            (Effect::Replaces, world),
        ),
        tool::<ClosedResult>(
            "close_sandbox",
            "Close a sandbox",
            "Ends every process in a sandbox and removes it with all its files.",
            json!({"sandbox_id": sandbox}),
            &["sandbox_id"],
            (Effect::ReplacesOnce, World::Closed),
        ),
        tool::<ReadResult>(
            "read_file",
            "Read a file",
            "Reads a file of an open sandbox, or a part of it: text as it is, other bytes in base64.",
            words.read_file(&sandbox, path("The file.")),
            &["sandbox_id", "path"],
            (Effect::Reads, World::Closed),
        ),
        tool::<WrittenResult>(
            "write_file",
            "Write a file",
            "Writes a file in an open sandbox, with the folders above it, replacing one that is there.",
            write_file(&sandbox, path("The file.")),
            &["sandbox_id", "path"],
            (Effect::ReplacesOnce, World::Closed),
        ),
        tool::<ListResult>(
            "list_files",
            "List a folder",
            "Lists a folder of an open sandbox.",
            json!({"sandbox_id": sandbox, "path": with_default(path("The folder."), "/work".into())}),
            &["sandbox_id"],
            (Effect::Reads, World::Closed),
        ),
        tool::<RemovedResult>(
            "remove_file",
            "Remove a file",
            "Removes a file, a link or an empty folder of an open sandbox.",
            json!({"sandbox_id": sandbox, "path": path("What to remove.")}),
            &["sandbox_id", "path"],
            (Effect::Replaces, World::Closed),
        ),
        tool::<BehaviorResult>(
            "run_behavior",
            "What a run did",
            "Tells what the host saw a run do: refused system calls, processes, files, limits, and findings that foretold it.",
            json!({"run_id": run}),
            &["run_id"],
            (Effect::Reads, World::Closed),
        ),
        tool::<EvidenceResult>(
            "run_evidence",
            "What a run was protected by",
            "Tells what a run was protected by: layers, limits, kernel, policy, hashes, and the attestation that covers it.",
            json!({"run_id": run}),
            &["run_id"],
            (Effect::Reads, World::Closed),
        ),
    ]
}

fn tool<T: ToSchema>(
    name: &'static str,
    title: &str,
    description: &'static str,
    properties: Value,
    required: &[&str],
    (effect, world): (Effect, World),
) -> Tool {
    let (read_only, destructive, idempotent) = match effect {
        Effect::Reads => (true, false, true),
        Effect::Adds => (false, false, false),
        Effect::Replaces => (false, true, false),
        Effect::ReplacesOnce => (false, true, true),
    };
    let hints = ToolAnnotations::with_title(title)
        .read_only(read_only)
        .destructive(destructive)
        .idempotent(idempotent)
        .open_world(matches!(world, World::Open));
    let arguments: Arc<JsonObject> = of_arguments(properties, required);
    Tool::new(name, description, arguments)
        .with_title(title)
        .with_raw_output_schema(of_result::<T>())
        .with_annotations(hints)
}

fn with_default(mut schema: Value, default: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("default".to_owned(), default);
    }
    schema
}

/// Arguments in words, with what is in force here.
struct Words<'a>(&'a McpParts);

impl Words<'_> {
    fn run_code(&self) -> Value {
        self.with_policy(json!({
            "code": {"type": "string", "description": "The program's source."},
            "language": self.language("The program's language."),
            "args": {"type": "array", "items": {"type": "string"}, "description": "The program's arguments."},
            "stdin": {"type": "string", "description": "What the program reads on standard input.", "default": ""},
            "files": files("Files to put into the sandbox before the program starts."),
            "collect": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Files and folders of the sandbox to bring out afterwards: below /work, or absolute.",
            },
            "env": environment("Variables of the program, in addition to the usual ones."),
            "limits": self.limits("Seconds that the program may take."),
        }))
    }

    fn scan_code(&self) -> Value {
        self.with_policy(json!({
            "code": {"type": "string", "description": "The program's source. Without it, files are looked at alone."},
            "language": self.language("The program's language."),
            "files": files("Files that would be beside it."),
        }))
    }

    fn open_sandbox(&self) -> Value {
        let idle = self.0.bounds.idle_timeout;
        self.with_policy(json!({
            "language": {
                "type": "string",
                "enum": self.0.languages,
                "description": "The language whose interpreter it is to have. Without one it has the ordinary programs.",
            },
            "env": environment("Variables of every command in it."),
            "limits": self.limits("Seconds that a command may take which says nothing of it."),
            "idle_timeout_seconds": number(
                "Seconds after which it is removed when nobody uses it.",
                (1.0, seconds(idle)),
                Some(seconds(idle)),
            ),
        }))
    }

    fn exec(&self, sandbox: &Value) -> Value {
        let most = seconds(self.0.maximum.timeout);
        json!({
            "sandbox_id": sandbox,
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "description": "A program of the sandbox and its arguments.",
            },
            "stdin": {"type": "string", "description": "What it reads on standard input.", "default": ""},
            "env": environment("Variables in addition to the sandbox's."),
            "directory": {"type": "string", "description": "Where it starts, in the sandbox.", "default": "/work"},
            "timeout_seconds": number(
                "Seconds that it may take. Without it, as many as the sandbox was opened with.",
                (seconds(Limits::minimum().timeout), most),
                None,
            ),
        })
    }

    fn read_file(&self, sandbox: &Value, path: Value) -> Value {
        let most = self.0.bounds.most_output;
        json!({
            "sandbox_id": sandbox,
            "path": path,
            "offset_bytes": {"type": "integer", "minimum": 0, "default": 0, "description": "Where to begin, in bytes."},
            "max_bytes": {"type": "integer", "minimum": 1, "maximum": most, "default": most, "description": "Bytes to read at most."},
        })
    }

    fn language(&self, what: &str) -> Value {
        let mut schema = json!({"type": "string", "enum": self.0.languages, "description": what});
        if let Some(usual) = self.0.languages.first() {
            schema = with_default(schema, usual.as_str().into());
        }
        schema
    }

    /// With the policies that a call may name, where there are any.
    fn with_policy(&self, mut properties: Value) -> Value {
        if let (Some(properties), false) = (properties.as_object_mut(), self.0.policies.is_empty()) {
            let policy = json!({
                "type": "string",
                "enum": self.0.policies,
                "description": "The policy that decides what is let in and what protects it. Without it, the one in force here.",
            });
            properties.insert("policy".to_owned(), policy);
        }
        properties
    }

    fn limits(&self, timeout: &str) -> Value {
        let (usual, least, most) = (&self.0.limits, Limits::minimum(), &self.0.maximum);
        let mut properties = Map::new();
        let mut add = |name: &str, schema| properties.insert(name.to_owned(), schema);
        let times = |limits: &Limits| (seconds(limits.timeout), seconds(limits.cpu_time));
        let ((usual_time, usual_cpu), (least_time, least_cpu), (most_time, most_cpu)) =
            (times(usual), times(&least), times(most));
        add("timeout_seconds", number(timeout, (least_time, most_time), Some(usual_time)));
        let cpu = "Seconds of processor time of all its processes together.";
        add("cpu_seconds", number(cpu, (least_cpu, most_cpu), Some(usual_cpu)));
        let mebibytes = |limits: &Limits| (whole_mebibytes(limits.memory), whole_mebibytes(limits.disk));
        let ((usual_memory, usual_disk), (least_memory, least_disk), (most_memory, most_disk)) =
            (mebibytes(usual), mebibytes(&least), mebibytes(most));
        let memory = "Mebibytes of memory of all its processes together.";
        add("memory_mib", integer(memory, (least_memory, most_memory), usual_memory));
        let disk = "Mebibytes in all its files together.";
        add("disk_mib", integer(disk, (least_disk, most_disk), usual_disk));
        let processes = "Processes and threads at one time.";
        add("processes", integer(processes, (least.pids.into(), most.pids.into()), usual.pids.into()));
        json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "description": "What it may use, where that differs from the defaults. A policy may allow less.",
        })
    }
}

fn write_file(sandbox: &Value, path: Value) -> Value {
    json!({
        "sandbox_id": sandbox,
        "path": path,
        "content": {"type": "string", "description": format!("What to write, as text. A whole call has at most {MOST_BODY} bytes.")},
        "content_base64": {"type": "string", "description": "What to write byte for byte, in base64, instead of content."},
        "executable": {"type": "boolean", "default": false, "description": "Whether it may be executed."},
    })
}

fn seconds(time: TimeSpan) -> f64 {
    time.get().as_secs_f64()
}

fn whole_mebibytes(size: ByteSize) -> u64 {
    size.get().div_ceil(1 << 20)
}

fn number(what: &str, (least, most): (f64, f64), usual: Option<f64>) -> Value {
    let schema = json!({"type": "number", "minimum": least, "maximum": most, "description": what});
    usual.into_iter().fold(schema, |schema, usual| with_default(schema, usual.into()))
}

fn integer(what: &str, (least, most): (u64, u64), usual: u64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most, "default": usual, "description": what})
}

fn environment(what: &str) -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}, "description": what})
}

fn files(what: &str) -> Value {
    json!({
        "type": "array",
        "maxItems": 4096,
        "description": what,
        "items": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "Where it goes in the sandbox: below /work, or absolute."},
                "content": {"type": "string", "description": "What is in it, as text."},
                "content_base64": {"type": "string", "description": "What is in it byte for byte, in base64, instead of content."},
                "executable": {"type": "boolean", "default": false, "description": "Whether it may be executed."},
            },
            "required": ["path"],
            "additionalProperties": false,
        },
    })
}
