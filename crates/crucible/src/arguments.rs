//! The command line as data: every verb and flag, its help, and how a mistake is answered.

/// How the results of verbs with a flag `--json` are shown. Before the rooms, which use it.
macro_rules! format_of {
    ($($arguments:ty),*) => {$(
        impl $arguments {
            /// How the result is shown.
            pub(crate) const fn format(&self) -> $crate::output::Format {
                $crate::output::Format::of_json_flag(self.json)
            }
        }
    )*};
}

mod attack;
mod attest;
mod baseline;
mod bench;
mod client;
mod image;
mod io;
mod mcp;
mod policy;
mod review;
mod runtime;
mod sandbox;
mod scan;
mod serve;
mod settings;

pub(crate) use attack::{AttackArguments, RangeArguments};
pub(crate) use attest::{AttestListArguments, AttestVerb, AttestVerifyArguments};
pub(crate) use baseline::BaselineVerb;
pub(crate) use bench::BenchArguments;
pub(crate) use client::{
    CancelArguments, DemoArguments, GetArguments, ListArguments, ServerFlags, SubmitArguments, WatchArguments,
};
pub(crate) use image::ImageVerb;
pub(crate) use io::{Controls, Existing, FileFlag, IoFlags, Reporting};
pub(crate) use mcp::McpArguments;
pub(crate) use policy::{
    PolicyCheckArguments, PolicyExplainArguments, PolicyListArguments, PolicyShowArguments, PolicyVerb,
};
pub(crate) use review::{DecideArguments, ReviewListArguments, ReviewRunArguments, ReviewShowArguments, ReviewVerb};
pub(crate) use runtime::{RuntimeListArguments, RuntimeVerb};
pub(crate) use sandbox::{
    Chosen, CommandFlags, CopyArguments, CopyPlace, Folders, Interactive, SandboxArguments, SandboxCreateArguments,
    SandboxExecArguments, SandboxForkArguments, SandboxListArguments, SandboxLsArguments, SandboxPath,
    SandboxRmArguments, SandboxShellArguments, SandboxVerb,
};
pub(crate) use scan::{
    Detail, RulesExplainArguments, RulesListArguments, RulesTestArguments, RulesVerb, ScanArguments, ScanFormat,
};
pub(crate) use serve::{
    Bound, DataFlags, KeysCreateArguments, KeysListArguments, KeysPlace, KeysRevokeArguments, KeysVerb, LogFormat,
    ProjectsSetArguments, ProjectsVerb, ServeArguments, StoreBackupArguments, StoreCheckArguments, StoreGcArguments,
    StoreVerb,
};
pub(crate) use settings::SettingFlags;

use crate::exit::Exit;
use crate::output;
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand};
use crucible_core::nearest;
use std::ffi::OsString;

/// Runs untrusted code in isolation.
#[derive(Debug, Parser)]
#[command(
    name = "crucible",
    version,
    about = "Runs untrusted code so that it can't touch anything",
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "\
Examples:
  crucible run script.py                     like python3 script.py, but in a jail
  crucible run -c 'print(1)' --timeout 2s    a line of code, with two seconds to live
  crucible scan script.py                    what it looks like it wants to do, without running it
  crucible doctor                            what this machine can and can't enforce
  crucible attack                            whether the isolation holds here, by harmless probes

`crucible VERB --help` shows examples of each. Exit codes are in docs/exit-codes.md."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a program in a fresh sandbox
    Run(Box<RunArguments>),
    /// Run any command of this machine in a fresh sandbox
    Exec(Box<ExecArguments>),
    /// Keep a sandbox open for many commands: create, exec, cp, ls, shell, fork, list, rm
    Sandbox(Box<SandboxArguments>),
    /// Serve evaluations over HTTP: queue them, run them, keep what came of them
    Serve(ServeArguments),
    /// Serve the Model Context Protocol: tools by which a model runs code, on standard input and output or over HTTP
    Mcp(Box<McpArguments>),
    /// Submit programs to a service
    Submit(Box<SubmitArguments>),
    /// Show an evaluation of a service, with what came of it
    Get(GetArguments),
    /// List a service's evaluations
    List(ListArguments),
    /// Follow an evaluation of a service as it goes
    Watch(WatchArguments),
    /// Cancel evaluations of a service
    Cancel(CancelArguments),
    /// Show five things on a running service: a program, hostile ones, load, live events, its parts
    Demo(DemoArguments),
    /// Keys that a service lets in: create, list, revoke
    #[command(subcommand)]
    Keys(KeysVerb),
    /// What projects may have at a service: list, set
    #[command(subcommand)]
    Projects(ProjectsVerb),
    /// What a service keeps: check, backup, gc
    #[command(subcommand)]
    Store(StoreVerb),
    /// Have every component test itself
    SelfTest(SelfTestArguments),
    /// Say what this machine can and can't enforce, with the mend for each
    Doctor(DoctorArguments),
    /// Look at programs without running them, and say what they look like they do
    Scan(Box<ScanArguments>),
    /// List, explain and test the rules that scanning goes by
    #[command(subcommand)]
    Rules(RulesVerb),
    /// Attack the isolation with harmless probes, and say which properties it holds
    Attack(Box<AttackArguments>),
    /// Serves the attack suite from inside a range
    #[command(hide = true)]
    Range(RangeArguments),
    /// Verify and list attestations of what isolation held, and print this node's key
    #[command(subcommand)]
    Attest(AttestVerb),
    /// List, show and check policies, and say what one makes of a program
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Look at programs that a policy has held, decide about them, and run them
    #[command(subcommand)]
    Review(ReviewVerb),
    /// Container images: list, pull, remove, and make one of this machine's own runtime
    #[command(subcommand)]
    Image(ImageVerb),
    /// What earlier runs with a label were like: list, show, forget
    #[command(subcommand)]
    Baseline(BaselineVerb),
    /// Runtimes for languages that run as WebAssembly: install, list, remove
    #[command(subcommand)]
    Runtime(RuntimeVerb),
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print completions for a shell
    Completions(CompletionsArguments),
    /// Measure how fast it is
    Bench(BenchArguments),
}

#[derive(Args, Debug)]
#[command(
    override_usage = "crucible run [OPTIONS] FILE|-|-c CODE [-- ARGS...]",
    after_help = "\
Examples:
  crucible run script.py -- one two                   arguments for the program go after --
  crucible run -c 'print(input())' < question.txt     standard input, output and errors pass through
  echo 'console.log(1)' | crucible run -l javascript -
  crucible run plot.py --file data.csv --collect plot.png --collect-to results
  crucible run task.py --memory 1GiB --timeout 5m --json > outcome.json
  crucible run task.py --label gsm8k --report         what it did, and how it stands to earlier runs
  crucible run task.py --tripwire credentials --tripwire listener=/tmp/docker.sock --json | jq .tripwires

The program starts in /work, which is all that it can write to besides /tmp. The exit code is the
program's; 124 after a timeout, 137 out of memory, 125 after another limit, 128+N after signal N.
Crucible's own failures are 2 (usage) and 64 to 78, with one line on standard error."
)]
pub(crate) struct RunArguments {
    /// The program: a file, or - for standard input
    #[arg(value_name = "FILE", required_unless_present = "code", conflicts_with = "code")]
    pub(crate) file: Option<OsString>,
    /// The program itself
    #[arg(short = 'c', long, value_name = "CODE", allow_hyphen_values = true)]
    pub(crate) code: Option<OsString>,
    /// Arguments for the program
    #[arg(last = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
    /// Its language; without this, the file's ending tells, and else it is Python
    #[arg(short, long, value_name = "NAME")]
    pub(crate) language: Option<String>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    #[command(flatten)]
    pub(crate) io: IoFlags,
}

#[derive(Args, Debug)]
#[command(
    override_usage = "crucible exec [OPTIONS] [--] CMD [ARGS...]",
    after_help = "\
Examples:
  crucible exec -- ls -l /                 what the inside looks like
  crucible exec --file data.csv -- sort data.csv
  crucible exec -- sh -c 'id; echo $HOME'"
)]
pub(crate) struct ExecArguments {
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    #[command(flatten)]
    pub(crate) io: IoFlags,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible self-test               exit code 0 if every component is sound, else 1
  crucible self-test --json | jq '.components[] | select(.healthy | not)'")]
pub(crate) struct SelfTestArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible doctor                  exit code 0 if the default backend can run, else 1
  crucible doctor --json | jq '.backends[] | select(.name == \"jail\") | .layers'")]
pub(crate) struct DoctorArguments {
    /// One JSON report on standard output
    #[arg(long)]
    json: bool,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print every value and where it came from
    Show(Box<ConfigShowArguments>),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible config show                          every value: default, file:line, variable or flag
  crucible config show --preset quick           what a preset changes
  CRUCIBLE_LIMITS_MEMORY=1GiB crucible config show | grep memory")]
pub(crate) struct ConfigShowArguments {
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// JSON on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible completions bash > ~/.local/share/bash-completion/completions/crucible
  crucible completions fish > ~/.config/fish/completions/crucible.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

format_of!(SelfTestArguments, DoctorArguments, ConfigShowArguments);

/// The command line's grammar, for completions and the reference page.
pub(crate) fn grammar() -> clap::Command {
    Arguments::command()
}

/// Reads the command line. Help and mistakes are printed here.
///
/// # Errors
/// What the process ends with, where there is nothing left to do.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Exit> {
    Arguments::try_parse_from(arguments).map_err(|error| {
        use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion};
        match error.kind() {
            DisplayHelp | DisplayVersion => output::styled_data(&error.render()),
            DisplayHelpOnMissingArgumentOrSubcommand => {
                output::styled_message(&error.render());
                Exit::Usage
            }
            _ => {
                let (message, mut hints) = mistake(&error.render().to_string());
                if let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand)
                    && let Some(verb) = nearest(given, grammar().get_subcommands().map(clap::Command::get_name))
                {
                    hints.insert(0, format!("did you mean '{verb}'?"));
                }
                output::failure(&message, &hints);
                Exit::Usage
            }
        }
    })
}

/// One line and hints from clap's paragraphs.
fn mistake(rendered: &str) -> (String, Vec<String>) {
    let (mut message, mut hints, mut usage) = (Vec::new(), Vec::new(), None);
    for line in rendered.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if let Some(line) = line.strip_prefix("Usage: ") {
            usage = Some(line);
            break;
        } else if !line.starts_with("For more information") {
            message.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    match usage {
        Some(usage) => hints.push(format!("usage: {usage}")),
        None if hints.is_empty() => {
            hints.push("`crucible --help` and `crucible VERB --help` show what there is".to_owned())
        }
        None => {}
    }
    (message.join(" "), hints)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[&str]) -> Result<Arguments, String> {
        Arguments::try_parse_from(line).map_err(|error| mistake(&error.render().to_string()).0)
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }

    #[test]
    fn the_programs_arguments_follow_two_dashes() {
        let Verb::Run(run) = read(&["crucible", "run", "x.py", "--json", "--", "--json", "-c"]).unwrap().verb else {
            panic!("run was asked for")
        };
        assert_eq!(run.args, ["--json", "-c"]);
        assert_eq!(run.io.format(), output::Format::Json);
        read(&["crucible", "run", "-c", "-1", "--", "a"]).unwrap();
        read(&["crucible", "run", "-"]).unwrap();
    }

    #[test]
    fn a_command_needs_no_dashes_before_it_but_may_have_them() {
        for line in [&["crucible", "exec", "ls", "-l"][..], &["crucible", "exec", "-b", "jail", "--", "ls", "-l"]] {
            let Verb::Exec(exec) = read(line).unwrap().verb else { panic!("exec was asked for") };
            assert_eq!(exec.command, ["ls", "-l"]);
        }
    }

    #[test]
    fn what_makes_no_sense_is_one_line() {
        for line in [
            &["crucible", "run"][..],
            &["crucible", "run", "x.py", "-c", "1"],
            &["crucible", "run", "x.py", "y.py"],
            &["crucible", "run", "x.py", "--memory", "12"],
            &["crucible", "run", "x.py", "--memory", "-1MiB"],
            &["crucible", "run", "x.py", "--pids", "99999999999999999999"],
            &["crucible", "run", "x.py", "--network", "host"],
            &["crucible", "exec"],
            &["crucible", "rnu"],
            &["crucible", "bench", "--rounds", "0"],
        ] {
            let message = read(line).unwrap_err();
            assert!(!message.is_empty() && !message.contains('\n'), "{line:?}: {message:?}");
        }
        let negative = read(&["crucible", "run", "x.py", "--memory", "-1MiB"]).unwrap_err();
        assert!(negative.contains("is not a size with its unit"), "{negative}");
    }
}
