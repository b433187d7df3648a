//! The arguments of `crucible mcp`.

use super::settings::SettingFlags;
use clap::Args;
use crucible::compose::McpSettings;
use crucible::config::{Override, Overrides};
use crucible_core::{ByteSize, TimeSpan};
use std::net::SocketAddr;

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible mcp                                   what a host starts and talks to
  crucible mcp --listen 127.0.0.1:8765           at http://127.0.0.1:8765/mcp
  crucible mcp --policy strict --memory 512MiB   for every run
  crucible mcp --policy-choice strict --policy-choice research

A model can name no file of this machine, and only policies that --policy-choice names. On an address
that others can reach, callers need keys, as with `crucible serve`. Everything that it started ends with it:
when the host closes its end, at SIGTERM and at Ctrl-C.")]
pub(crate) struct McpArguments {
    /// Serve HTTP there, at /mcp, instead of standard input and output
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder of the service whose keys let callers in, where they need any [default: the user's own]
    #[arg(long, value_name = "DIR", requires = "listen")]
    data_dir: Option<String>,
    /// A policy that a call may name instead of the one in force; repeatable
    #[arg(long, value_name = "NAME")]
    policy_choice: Vec<String>,
    /// Sandboxes that are open at one time
    #[arg(long, value_name = "NUMBER", default_value = "8")]
    most_sandboxes: u8,
    /// How long an open sandbox may lie idle
    #[arg(long, value_name = "TIME", default_value = "10m")]
    idle_timeout: TimeSpan,
    /// How long an open sandbox may live
    #[arg(long, value_name = "TIME", default_value = "1h")]
    lifetime: TimeSpan,
    /// Bytes of each output stream, and of a file, that a model is given at once
    #[arg(long, value_name = "SIZE", default_value = "32KiB")]
    most_output: ByteSize,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

impl McpArguments {
    /// What was asked for, as settings.
    pub(crate) fn overrides(&self) -> Overrides {
        let mut overrides = self.settings.overrides();
        let data = self.data_dir.clone().map(|value| Override { key: "serve.data", value, flag: "--data-dir" });
        overrides.settings.extend(data);
        overrides
    }

    /// What the tools may use.
    pub(crate) fn settings_of_tools(&self) -> McpSettings {
        McpSettings {
            policy_choices: self.policy_choice.clone(),
            most_sandboxes: self.most_sandboxes.into(),
            idle_timeout: self.idle_timeout,
            lifetime: self.lifetime,
            most_output: self.most_output,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let text = text.replace("localhost", "127.0.0.1");
    text.parse().map_err(|_| "it is no address with a port, like 127.0.0.1:8765".to_owned())
}
