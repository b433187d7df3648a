//! The arguments of the verbs that talk to a service: `submit`, `get`, `list`, `watch`, `cancel`.

use super::settings::SettingFlags;
use clap::Args;
use crucible_core::{GuestPath, TimeSpan};
use std::ffi::OsString;

/// Which service, and how its answer is shown.
#[derive(Args, Debug)]
pub(crate) struct ServerFlags {
    /// The service [default: client.server of the configuration, http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
}

format_of!(ServerFlags);

#[derive(Args, Debug)]
#[command(
    override_usage = "crucible submit [OPTIONS] FILE...|-|-c CODE",
    after_help = "\
Examples:
  crucible submit script.py                        prints the id; `crucible watch ID` follows it
  crucible submit -c 'print(1)' --wait             waits for the result, and ends as the program did
  crucible submit solutions/*.py --labels suite=humaneval --wait
  id=$(crucible submit task.py --timeout 5m --memory 1GiB)

What isn't said is as the service has it. The key is in CRUCIBLE_KEY."
)]
pub(crate) struct SubmitArguments {
    /// Programs: files, or - for standard input. Several are submitted together
    #[arg(value_name = "FILE", required_unless_present = "code", conflicts_with = "code")]
    pub(crate) files: Vec<OsString>,
    /// The program itself
    #[arg(short = 'c', long, value_name = "CODE", allow_hyphen_values = true)]
    pub(crate) code: Option<String>,
    /// Their language; without this, each file's ending tells
    #[arg(short, long, value_name = "NAME")]
    pub(crate) language: Option<String>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// Put a file of this machine in; repeatable
    #[arg(long = "file", value_name = "SRC[:DEST]")]
    pub(crate) inputs: Vec<super::io::FileFlag>,
    /// Bring a file or folder out; repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) collect: Vec<GuestPath>,
    /// Give it an environment variable; repeatable
    #[arg(long, value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// A file of this machine for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) stdin: Option<OsString>,
    /// Compare it with earlier runs that have this label
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
    /// What it can be found by; repeatable
    #[arg(long = "labels", value_name = "K=V")]
    pub(crate) labels: Vec<String>,
    /// What goes first: the higher, from -128 to 127
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_hyphen_values = true)]
    pub(crate) priority: i8,
    /// How long it is to wait at least
    #[arg(long, value_name = "TIME")]
    pub(crate) delay: Option<TimeSpan>,
    /// Given again with the same request, it gives the same evaluation; for one program
    #[arg(long, value_name = "TEXT")]
    pub(crate) idempotency_key: Option<String>,
    /// Wait for the results
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible get 019b2c4e-7a31-7d04-9f52-3c1f6f1b2a11
  crucible get --json ID | jq .outcome.evidence")]
pub(crate) struct GetArguments {
    /// Its id
    pub(crate) id: String,
    /// Wait so long for its result
    #[arg(long, value_name = "TIME")]
    pub(crate) wait: Option<TimeSpan>,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible list --state running
  crucible list --label suite=humaneval --status timed_out --all --json")]
pub(crate) struct ListArguments {
    /// How far they are: queued, held, running, finished, failed, cancelled, dead
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// How they ended: exited, signaled, timed_out, out_of_memory, limit_exceeded, denied
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// What ran them
    #[arg(short, long, value_name = "NAME")]
    pub(crate) backend: Option<String>,
    /// Whether their outcome says something: valid, infrastructure_failure, sabotage_suspected
    #[arg(long, value_name = "VALIDITY")]
    pub(crate) validity: Option<String>,
    /// A label with its value
    #[arg(long, value_name = "K=V")]
    pub(crate) label: Option<String>,
    /// How many
    #[arg(long, value_name = "NUMBER", default_value_t = 50, conflicts_with = "all")]
    pub(crate) limit: usize,
    /// All of them
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible watch ID                what the program writes, as it comes; ends as the program did
  crucible watch --json ID         every event, one on each line")]
pub(crate) struct WatchArguments {
    /// Its id
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible cancel ID...            one that waits never starts; one that runs is ended")]
pub(crate) struct CancelArguments {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible serve &
  crucible demo

Its hostile samples bound themselves, reach for nothing beyond this machine's loopback, and are never
sent to a backend that isolates nothing.")]
pub(crate) struct DemoArguments {
    /// The service [default: client.server of the configuration, http://127.0.0.1:8080]
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
}
