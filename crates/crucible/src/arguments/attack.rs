//! Flags of the attack suite.

use crate::output::Format;
use clap::Args;
use crucible::compose::{self, Unsafe};
use crucible::config::{Override, Overrides};
use crucible_core::{NetworkPolicy, Result};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible attack                           the jail on this machine, with the default policy
  crucible attack --controls                both arms: the sandbox as it is used, and a weakened one
  crucible attack --group network --only kernel.io_uring
  crucible attack --ablation                which layers hold each property; takes minutes
  crucible attack -b jail -b subprocess --unsafe
  crucible attack --json > report.json; crucible attack --junit report.xml --html report.html

A property is held only where the probe, which is harmless, reached its canary in a weakened sandbox and
didn't in yours. Exit code 1 if a property is breached, else 3 if one is inconclusive, else 0.")]
pub(crate) struct AttackArguments {
    /// The backends to attack; once for each
    #[arg(short, long = "backend", value_name = "NAME", help_heading = "What is attacked")]
    backend: Vec<String>,
    /// The policy of the sandboxes
    #[arg(long, value_name = "NAME|FILE", help_heading = "What is attacked")]
    policy: Option<String>,
    /// The network of the sandboxes: with allow:HOST:PORT they have the way out of any allow-list [default: the policy's]
    #[arg(long, value_name = "NETWORK", help_heading = "What is attacked")]
    network: Option<NetworkPolicy>,
    /// Admit the subprocess backend, which isolates nothing; it is attacked in a range
    #[arg(long = "unsafe", help_heading = "What is attacked")]
    admit_unsafe: bool,
    /// These scenarios only
    #[arg(long, value_name = "ID", num_args = 1.., help_heading = "What is tried")]
    pub(crate) only: Vec<String>,
    /// These groups of scenarios only
    #[arg(long, value_name = "NAME", num_args = 1.., help_heading = "What is tried")]
    pub(crate) group: Vec<String>,
    /// Scenarios of your own in place of the default ones: a folder of *.toml files
    #[arg(long, value_name = "FOLDER", help_heading = "What is tried")]
    pub(crate) scenarios: Option<PathBuf>,
    /// Find out which layers hold each property, by leaving them off in turn
    #[arg(long, help_heading = "What is tried")]
    pub(crate) ablation: bool,
    /// List the scenarios and run nothing
    #[arg(long, help_heading = "What is tried")]
    pub(crate) list: bool,
    /// Show both arms of every property
    #[arg(long, help_heading = "What is shown")]
    pub(crate) controls: bool,
    /// One JSON report on standard output
    #[arg(long, help_heading = "What is shown")]
    json: bool,
    /// Also write a JUnit report
    #[arg(long, value_name = "FILE", help_heading = "What is shown")]
    pub(crate) junit: Option<PathBuf>,
    /// Also write a page to be opened in a browser
    #[arg(long, value_name = "FILE", help_heading = "What is shown")]
    pub(crate) html: Option<PathBuf>,
}

impl AttackArguments {
    /// What was asked for, as settings.
    pub(crate) fn overrides(&self) -> Overrides {
        let policy = self.policy.clone().map(|value| Override { key: "run.policy", value, flag: "--policy" });
        let network = self.network.as_ref().map(NetworkPolicy::to_string);
        let network = network.map(|value| Override { key: "run.network", value, flag: "--network" });
        Overrides { preset: None, settings: policy.into_iter().chain(network).collect() }
    }

    /// The backends, each once.
    ///
    /// # Errors
    /// As [`compose::choose`].
    pub(crate) fn backends(&self, configured: &str) -> Result<Vec<&'static str>> {
        let admitted = if self.admit_unsafe { Unsafe::Admitted } else { Unsafe::Refused };
        let asked: Vec<&str> = match self.backend.as_slice() {
            [] => vec![configured],
            named => named.iter().map(String::as_str).collect(),
        };
        let mut chosen = Vec::new();
        for name in asked {
            let name = compose::choose(name, admitted)?;
            if !chosen.contains(&name) {
                chosen.push(name);
            }
        }
        Ok(chosen)
    }

    /// Whether all of the default scenarios are put to the backends.
    pub(crate) const fn is_whole_suite(&self) -> bool {
        self.only.is_empty() && self.group.is_empty() && self.scenarios.is_none()
    }

    /// How the result is shown.
    pub(crate) const fn format(&self) -> Format {
        Format::of_json_flag(self.json)
    }
}

#[derive(Args, Debug)]
pub(crate) struct RangeArguments {
    /// The backend
    pub(crate) backend: String,
    /// The policy, as JSON
    pub(crate) policy: String,
}
