//! The arguments of `crucible serve`, `keys`, `projects` and `store`.

use super::client::ServerFlags;
use clap::{Args, Subcommand, ValueEnum};
use crucible::compose::Unsafe;
use crucible::config::{Override, Overrides};
use crucible_core::{ProjectId, Role, TimeSpan};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible serve                                 on http://127.0.0.1:8080, for this machine alone
  crucible serve --data-dir /srv/crucible
  crucible keys create --role admin me && crucible serve --listen 0.0.0.0:8080

There is nothing to set up: what it keeps is in one folder. It can be killed at any moment; what was
accepted is run when it starts again. SIGTERM lets what runs come to its end first. The interface is
described at /openapi.json; `crucible submit`, `watch`, `get`, `list` and `cancel` talk to it.")]
pub(crate) struct ServeArguments {
    /// Where it listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The folder with all that it keeps [default: the user's own]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Who is let in: keys, none, or auto, which is keys unless only this machine can reach it [default: auto]
    #[arg(long, value_name = "WHO")]
    auth: Option<String>,
    /// Evaluations that run at one time [default: twice the processors]
    #[arg(long, value_name = "NUMBER")]
    most_running: Option<String>,
    /// How long what runs may go on after SIGTERM, before it is ended and put back
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) drain: TimeSpan,
    /// Serve the interface of E2B's SDK, too, at /e2b
    #[arg(long)]
    pub(crate) e2b: bool,
    /// How it logs on standard error
    #[arg(long, value_name = "HOW", default_value = "text")]
    pub(crate) log: LogFormat,
    /// Admit the subprocess backend, which isolates nothing
    #[arg(long = "unsafe")]
    admit_unsafe: bool,
}

/// How a service logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object on each line.
    Json,
    /// Not at all.
    Off,
}

impl ServeArguments {
    /// What was asked for, as settings.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut settings = Vec::new();
        let mut add = |key, flag, value: &Option<String>| {
            settings.extend(value.clone().map(|value| Override { key, value, flag }));
        };
        add("serve.listen", "--listen", &self.listen);
        add("serve.data", "--data-dir", &self.data_dir);
        add("serve.auth", "--auth", &self.auth);
        add("serve.most_running", "--most-running", &self.most_running);
        Overrides { preset: None, settings }
    }

    /// Whether the backend that isolates nothing is admitted.
    pub(crate) const fn unsafe_backends(&self) -> Unsafe {
        if self.admit_unsafe { Unsafe::Admitted } else { Unsafe::Refused }
    }
}

/// Which service's folder.
#[derive(Args, Debug)]
pub(crate) struct DataFlags {
    /// The service's folder [default: the user's own]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
}

impl DataFlags {
    /// What was asked for, as settings.
    pub(crate) fn overrides(&self) -> Overrides {
        let data = self.data_dir.clone().map(|value| Override { key: "serve.data", value, flag: "--data-dir" });
        Overrides { preset: None, settings: data.into_iter().collect() }
    }
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysVerb {
    /// Make a key, and print it this once
    Create(KeysCreateArguments),
    /// List keys
    List(KeysListArguments),
    /// Take keys out of use
    Revoke(KeysRevokeArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible keys create --role admin me           before the service is started for the first time
  CRUCIBLE_KEY=... crucible keys create --server http://host:8080 --role submitter --project team-7 ci

Without --server the keys are in this machine's own folder, whose service mustn't run meanwhile.")]
pub(crate) struct KeysCreateArguments {
    /// What it is called: who has it, or what for
    pub(crate) name: String,
    /// What it may do: viewer, submitter, reviewer or admin
    #[arg(long, value_name = "ROLE", default_value = "submitter")]
    pub(crate) role: Role,
    /// Whose evaluations it is for
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) project: ProjectId,
    #[command(flatten)]
    pub(crate) place: KeysPlace,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible keys list
  crucible keys list --json | jq -r '.keys[] | select(.revoked_at == null).name'")]
pub(crate) struct KeysListArguments {
    #[command(flatten)]
    pub(crate) place: KeysPlace,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible keys revoke 019b2c4e-7a31-7d04-9f52-3c1f6f1b2a11")]
pub(crate) struct KeysRevokeArguments {
    /// Their ids, as `crucible keys list` tells them
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) place: KeysPlace,
}

/// Where the keys are.
#[derive(Args, Debug)]
pub(crate) struct KeysPlace {
    /// Ask this service, with the key in CRUCIBLE_KEY
    #[arg(long, value_name = "URL", conflicts_with = "data_dir")]
    pub(crate) server: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataFlags,
    /// One JSON document on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to do with what projects may have.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectsVerb {
    /// List projects that have quotas of their own
    List(ProjectsListArguments),
    /// Say what a project may have
    Set(ProjectsSetArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible projects list
  crucible projects list --json | jq '.projects[].quotas.most_running'")]
pub(crate) struct ProjectsListArguments {
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible projects set team-7 --most-running 4 --most-queued 1000
  crucible projects set team-7 --most-per-day none

What isn't named stays as it is. It is an administrator's; the key is in CRUCIBLE_KEY.")]
pub(crate) struct ProjectsSetArguments {
    /// The project
    #[arg(value_name = "PROJECT")]
    pub(crate) project: ProjectId,
    #[command(flatten)]
    pub(crate) quotas: QuotaFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

/// What is to be bounded; one of them at least.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub(crate) struct QuotaFlags {
    /// Evaluations that run at one time; none is no bound
    #[arg(long, value_name = "NUMBER|none", allow_hyphen_values = true)]
    pub(crate) most_running: Option<Bound<u32>>,
    /// Evaluations that wait at one time
    #[arg(long, value_name = "NUMBER|none", allow_hyphen_values = true)]
    pub(crate) most_queued: Option<Bound<u64>>,
    /// Evaluations accepted within a day
    #[arg(long, value_name = "NUMBER|none", allow_hyphen_values = true)]
    pub(crate) most_per_day: Option<Bound<u64>>,
}

/// A bound, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound<T>(pub(crate) Option<T>);

impl<T: FromStr> FromStr for Bound<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|bound| Self(Some(bound))).map_err(|_| "it is neither a whole number nor none".to_owned())
    }
}

/// What to do with what a service keeps.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Look through all of it
    Check(StoreCheckArguments),
    /// Copy all of it into a new folder
    Backup(StoreBackupArguments),
    /// Forget what is old, or more than there is room for
    Gc(StoreGcArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible store check             exit code 0 if nothing is damaged, else 1

The service mustn't run meanwhile.")]
pub(crate) struct StoreCheckArguments {
    #[command(flatten)]
    pub(crate) data: DataFlags,
    /// One JSON document on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible store backup /srv/backup/2026-11-26
  crucible serve --data-dir /srv/backup/2026-11-26           a copy is a service's folder

While the service runs, POST /v1/store/backup asks the service itself.")]
pub(crate) struct StoreBackupArguments {
    /// The folder to be made
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) data: DataFlags,
}

#[derive(Args, Debug)]
#[command(
    group = clap::ArgGroup::new("what").required(true).multiple(true),
    after_help = "\
Examples:
  crucible store gc --older-than 30d
  crucible store gc --larger-than 10GiB          the oldest first, until the rest takes no more

Only what has its final state is ever forgotten. The service mustn't run meanwhile; `serve.keep` in the
configuration has it do the same by itself."
)]
pub(crate) struct StoreGcArguments {
    /// What came to its end this long ago
    #[arg(long, value_name = "TIME", group = "what")]
    pub(crate) older_than: Option<TimeSpan>,
    /// What goes beyond this size
    #[arg(long, value_name = "SIZE", group = "what")]
    pub(crate) larger_than: Option<crucible_core::ByteSize>,
    #[command(flatten)]
    pub(crate) data: DataFlags,
    /// One JSON document on standard output
    #[arg(long)]
    pub(crate) json: bool,
}
