//! Sandboxes that stay open, on the wire: making one, commands in it, its files.

use super::object;
use super::observed::{Behavior, Coverage, Tripwire};
use super::outcome::{Evidence, Status, Validity};
use super::problem::ProblemDetail;
use super::protection::{Layer, Layers, isolation, layers};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// A sandbox to be made. Everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CreateSandbox {
    /// A backend's name, or `auto`.
    pub backend: Option<String>,
    /// The language whose interpreter it is to have; without one it has the ordinary programs.
    pub language: Option<String>,
    /// A policy's name.
    pub policy: Option<String>,
    /// The network inside: `none`, or `allow:HOST:PORT,...`; without it, the policy's.
    pub network: Option<String>,
    /// Limits that differ from the usual ones, by their names in the configuration: `{"memory": "1GiB", "pids": 128}`.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub limits: BTreeMap<String, serde_json::Value>,
    /// Variables of every command.
    pub env: BTreeMap<String, String>,
    /// Things to plant that an honest guest leaves alone: `file=.netrc`. Variables can't be planted here.
    pub tripwires: Vec<String>,
    /// How long a command may take that says nothing of it: `30s`. Without it, as long as the sandbox lives.
    pub command_timeout: Option<String>,
    /// How long it may lie idle: `10m`.
    pub idle_timeout: Option<String>,
    /// How long it may live: `1h`.
    pub lifetime: Option<String>,
}

/// A sandbox that stays open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// `open`, or `ending` when it is about to be no more.
    pub state: SandboxState,
    /// The backend that made it.
    pub backend: String,
    /// How strong its wall is: `none`, `shared_kernel`, `own_kernel`.
    pub isolation: String,
    /// Its language.
    pub language: Option<String>,
    /// The path inside of the language's interpreter.
    pub interpreter: Option<String>,
    /// Its policy's name.
    pub policy: String,
    /// When it was made.
    pub created_at: String,
    /// How long it may lie idle, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long it may live, in milliseconds.
    pub lifetime_ms: u64,
    /// Limits in force, by their names in the configuration.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub limits: BTreeMap<String, serde_json::Value>,
    /// What can be done in it: `terminals`, `signals`, `command_trees`, `users`, `files`, `forks`.
    pub features: Vec<String>,
    /// Its layers as they were applied.
    #[schema(value_type = BTreeMap<String, Layer>)]
    pub layers: Layers,
    /// Commands and file transfers that are going on.
    pub busy: u64,
    /// Commands that were started in it.
    pub commands: u64,
    /// What it used until now; `null` where that isn't told.
    pub usage: Option<SandboxUsage>,
}

/// Whether a sandbox can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SandboxState {
    /// It can.
    Open,
    /// It is about to be no more.
    Ending,
}

/// What a sandbox used. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SandboxUsage {
    /// Since it was made.
    pub wall_ms: f64,
    /// Processor time of everything in it.
    pub cpu_ms: f64,
    /// Most memory at one time, files included; `null` where the host can't tell.
    pub memory_peak_bytes: Option<u64>,
    /// Most processes and threads at one time; `null` where the host can't tell.
    pub processes_peak: Option<u64>,
}

impl From<&core::Usage> for SandboxUsage {
    fn from(usage: &core::Usage) -> Self {
        Self {
            wall_ms: milliseconds(usage.wall),
            cpu_ms: milliseconds(usage.cpu),
            memory_peak_bytes: usage.memory_peak_bytes,
            processes_peak: usage.processes_peak,
        }
    }
}

/// The layers and the wall of a sandbox, as [`Sandbox`] tells them.
#[must_use]
pub fn sandbox_protection(wall: core::Isolation, applied: &core::Layers) -> (String, Layers) {
    (isolation(wall).to_owned(), layers(applied))
}

/// What the host saw of a sandbox: until now, or until its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SandboxRecord {
    /// The sandbox's id.
    pub id: String,
    /// The backend that made it.
    pub backend: String,
    /// Why it is no more, in words; `null` while it lives.
    pub ended: Option<String>,
    /// What it used.
    pub usage: SandboxUsage,
    /// Limits that the host saw it run into.
    pub limits_observed: Vec<String>,
    /// What the host saw it do. Times count from when it was made.
    pub behavior: Vec<Behavior>,
    /// How well each part of it could be watched: `processes`, `system_calls`, `network`, `files`, `resources`.
    pub monitoring: BTreeMap<String, Coverage>,
    /// What was planted in it to be left alone.
    pub tripwires: Vec<Tripwire>,
    /// Whether what came of it says something about the task.
    pub validity: Validity,
    /// Why, where it isn't simply valid.
    pub validity_reasons: Vec<String>,
    /// What it was protected by. Its `code_hash` is empty: nobody knows beforehand what will be run in it.
    pub evidence: Evidence,
}

/// Some sandboxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SandboxList {
    /// The oldest first.
    pub sandboxes: Vec<Sandbox>,
    /// For the next page; `null` where there is none.
    pub cursor: Option<String>,
}

/// A command to be run in a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables in addition to the sandbox's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where it starts; without it, in the work folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The user inside that it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How large its terminal is; without it, it has three separate streams.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::maybe")]
    pub terminal: Option<TerminalSize>,
    /// How long it may take: `10s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Standard input as text, where it isn't sent later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Standard input byte for byte, instead of `stdin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_base64: Option<String>,
}

/// How many characters a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

impl From<TerminalSize> for core::TerminalSize {
    fn from(size: TerminalSize) -> Self {
        Self { rows: size.rows, columns: size.columns }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExecEnded {
    /// How it ended.
    pub status: Status,
    /// Its own exit code, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The limit, where one ended it.
    pub limit: Option<String>,
    /// From its start to its end.
    pub wall_ms: f64,
    /// Limits that the host saw the sandbox run into meanwhile.
    pub limits_observed: Vec<String>,
    /// Whether everything else in the sandbox had to be ended with it.
    pub others_ended: bool,
}

/// A command that was run to its end, with what it wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExecOutcome {
    /// How it ended.
    #[serde(flatten)]
    pub ended: ExecEnded,
    /// Standard output; where it isn't UTF-8, with replacement characters.
    pub stdout: String,
    /// Standard error; where it isn't UTF-8, with replacement characters.
    pub stderr: String,
    /// Standard output exactly, where it isn't UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout_base64: Option<String>,
    /// Standard error exactly, where it isn't UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr_base64: Option<String>,
    /// Whether more was written to standard output than the limit allows.
    pub stdout_truncated: bool,
    /// Whether more was written to standard error than the limit allows.
    pub stderr_truncated: bool,
}

impl ExecOutcome {
    /// With the output as it came.
    #[must_use]
    pub fn new(ended: ExecEnded, stdout: core::Output, stderr: core::Output) -> Self {
        let (stdout_truncated, stderr_truncated) = (stdout.truncated, stderr.truncated);
        let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(error) => {
                let exactly = STANDARD.encode(error.as_bytes());
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(exactly))
            }
        };
        let ((stdout, stdout_base64), (stderr, stderr_base64)) = (text(stdout.bytes), text(stderr.bytes));
        Self { ended, stdout, stderr, stdout_base64, stderr_base64, stdout_truncated, stderr_truncated }
    }
}

/// Something that happens while a command runs: one line each of a streamed answer, and what isn't a stream's bytes in a
/// conversation over a WebSocket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ExecEvent {
    /// It runs.
    Started,
    /// It wrote something. Only in a streamed answer: in a conversation this is a binary message.
    Output {
        /// `stdout` or `stderr`.
        stream: OutputStream,
        /// The bytes.
        base64: String,
    },
    /// It ended, and everything that it wrote was told.
    Ended(ExecEnded),
    /// Crucible failed.
    Failed {
        /// What went wrong.
        error: ProblemDetail,
    },
}

/// One of a command's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputStream {
    /// Standard output, or all that a terminal shows.
    Stdout,
    /// Standard error.
    Stderr,
}

impl OutputStream {
    /// The first byte of a binary message with its bytes.
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }

    /// The stream with that tag.
    #[must_use]
    pub const fn of_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// What a caller says in a conversation, besides the bytes of standard input, which are binary messages. `start` comes first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum ExecControl {
    /// Starts the command.
    Start(ExecRequest),
    /// Says how large its terminal is now.
    Resize(TerminalSize),
    /// Sends a signal to its process group: `TERM`, `SIGTERM` or `15`.
    Signal {
        /// Which.
        signal: String,
    },
    /// Ends its standard input.
    EndOfInput,
}

/// What a path in a sandbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file with one name.
    File,
    /// A folder.
    Directory,
    /// Anything else: a link, a pipe, a socket, a file with several names.
    Other,
}

/// One file of a sandbox. Its name is the guest's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileEntry {
    /// The name; where it isn't UTF-8, with replacement characters.
    pub name: String,
    /// The name exactly, where it isn't UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_base64: Option<String>,
    /// What it is.
    pub kind: FileKind,
    /// Its size in bytes, for a file.
    pub size: u64,
}

impl From<core::FileEntry> for FileEntry {
    fn from(entry: core::FileEntry) -> Self {
        let kind = match entry.kind {
            core::FileKind::File => FileKind::File,
            core::FileKind::Directory => FileKind::Directory,
            core::FileKind::Other => FileKind::Other,
        };
        let (name, name_base64) = match String::from_utf8(entry.name) {
            Ok(name) => (name, None),
            Err(error) => {
                (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(STANDARD.encode(error.as_bytes())))
            }
        };
        Self { name, name_base64, kind, size: entry.size }
    }
}

/// A folder of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileList {
    /// What is in it, sorted by name.
    pub entries: Vec<FileEntry>,
}

/// A time in milliseconds, to the microsecond.
#[must_use]
pub fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> ExecEnded {
        ExecEnded {
            status: Status::Exited,
            exit_code: Some(0),
            signal: None,
            limit: None,
            wall_ms: 1.5,
            limits_observed: vec![],
            others_ended: false,
        }
    }

    #[test]
    fn an_outcome_has_its_end_beside_its_output() {
        let output = |bytes: &[u8]| core::Output { bytes: bytes.to_vec(), truncated: false };
        let outcome = ExecOutcome::new(ended(), output(b"hi\n"), output(b"\xff"));
        let expected = r#"{"status":"exited","exit_code":0,"signal":null,"limit":null,"wall_ms":1.5,"limits_observed":[],"others_ended":false,"stdout":"hi\n","stderr":"�","stderr_base64":"/w==","stdout_truncated":false,"stderr_truncated":false}"#;
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<ExecOutcome>(&text).unwrap(), outcome);
    }

    #[test]
    fn what_is_said_in_a_conversation_is_told_by_its_tag() {
        let start = ExecControl::Start(ExecRequest { command: vec!["true".to_owned()], ..ExecRequest::default() });
        for (control, expected) in [
            (start, r#"{"do":"start","command":["true"]}"#),
            (ExecControl::Resize(TerminalSize { rows: 1, columns: 2 }), r#"{"do":"resize","rows":1,"columns":2}"#),
            (ExecControl::Signal { signal: "INT".to_owned() }, r#"{"do":"signal","signal":"INT"}"#),
            (ExecControl::EndOfInput, r#"{"do":"end_of_input"}"#),
        ] {
            let text = serde_json::to_string(&control).unwrap();
            assert_eq!(text, expected);
            assert_eq!(serde_json::from_str::<ExecControl>(&text).unwrap(), control);
        }
        for wrong in [r#"{"do":"dance"}"#, r#"{"do":"start","comand":[]}"#, r#"{"do":"resize","rows":-1,"columns":2}"#]
        {
            assert!(serde_json::from_str::<ExecControl>(wrong).is_err(), "{wrong}");
        }
    }
}
