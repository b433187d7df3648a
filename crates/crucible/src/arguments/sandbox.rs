//! The arguments of `crucible sandbox`.

use super::io::Controls;
use super::settings::SettingFlags;
use clap::{Args, Subcommand};
use crucible_core::{Error, ErrorKind, GuestPath, Result, TimeSpan};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Whose sandboxes, and what to do with them.
#[derive(Args, Debug)]
pub(crate) struct SandboxArguments {
    /// The service that has them: http://host:8080; without this, those that processes of this machine keep
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: SandboxVerb,
}

/// What to do with sandboxes that stay open.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxVerb {
    /// Make a sandbox that stays open, and print its id
    Create(Box<SandboxCreateArguments>),
    /// List the sandboxes that are open
    List(SandboxListArguments),
    /// Run a command in one
    Exec(SandboxExecArguments),
    /// Copy files into one and out of it
    Cp(CopyArguments),
    /// List a folder of one
    Ls(SandboxLsArguments),
    /// Open an interactive shell in one
    Shell(SandboxShellArguments),
    /// Make a second one with the same files
    Fork(SandboxForkArguments),
    /// Remove some, with all that runs in them
    Rm(SandboxRmArguments),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  id=$(crucible sandbox create --memory 1GiB --disk 512MiB)
  crucible sandbox exec $id -- sh -c 'echo hello > greeting'
  crucible sandbox create -l python --idle-timeout 1h --lifetime 8h
  crucible sandbox create --server http://sandboxes.example:8080

It stays until it is removed, nobody has used it for the idle timeout, or its lifetime is over. A
process of its own keeps it, and ends with it; or a service that --server names does, with its own
settings, for which the key is in CRUCIBLE_KEY. --timeout is for each command that names none.")]
pub(crate) struct SandboxCreateArguments {
    /// The language whose interpreter it has; without this, the ordinary programs of this machine
    #[arg(short, long, value_name = "NAME")]
    pub(crate) language: Option<String>,
    /// Give every command an environment variable; K alone passes yours on; repeatable
    #[arg(long, value_name = "K[=V]")]
    pub(crate) env: Vec<String>,
    /// How long it may lie idle [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub(crate) idle_timeout: Option<TimeSpan>,
    /// How long it may live [default: 1h]
    #[arg(long, value_name = "TIME")]
    pub(crate) lifetime: Option<TimeSpan>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
    /// One JSON document about it on standard output, instead of its id
    #[arg(long)]
    json: bool,
    /// Keeps the sandbox in this place, which a process that was asked to make one has claimed
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) keep_in: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible sandbox list
  crucible sandbox list --json | jq -r '.sandboxes[].id'")]
pub(crate) struct SandboxListArguments {
    /// One JSON document on standard output
    #[arg(long)]
    json: bool,
}

/// Flags about a command in a sandbox.
#[derive(Args, Debug)]
pub(crate) struct CommandFlags {
    /// Where it starts [default: /work]
    #[arg(short = 'w', long = "workdir", value_name = "DIR")]
    pub(crate) directory: Option<GuestPath>,
    /// Give it an environment variable; K alone passes yours on; repeatable
    #[arg(long, value_name = "K[=V]")]
    pub(crate) env: Vec<String>,
    /// The user inside that it runs as, where the backend has several
    #[arg(short, long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// How long it may take: 30s; then it is ended with all that it started, and nothing else
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<TimeSpan>,
}

#[derive(Args, Debug)]
#[command(
    override_usage = "crucible sandbox exec [OPTIONS] ID [--] CMD [ARGS...]",
    after_help = "\
Examples:
  crucible sandbox exec $id -- python3 -c 'print(1)'
  crucible sandbox exec $id -w /tmp --env A=1 -- sh -c 'pwd; echo $A'
  tar c src | crucible sandbox exec $id -- tar x
  crucible sandbox exec -t $id -- top              with a terminal of its own

Standard input, output and errors pass straight through. The exit code is the command's, 128+N after
signal N, 124 after its timeout. Ctrl-C, and what asks Crucible to end, is passed on to the command;
a second time ends it with all that it started."
)]
pub(crate) struct SandboxExecArguments {
    #[command(flatten)]
    pub(crate) flags: CommandFlags,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Don't neutralise control sequences where the output is a terminal
    #[arg(long)]
    raw: bool,
    /// The sandbox's id, or the beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// What a command's streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interactive {
    /// Three pipes.
    No,
    /// A terminal.
    Yes,
}

impl SandboxExecArguments {
    /// What its streams are.
    pub(crate) const fn interactive(&self) -> Interactive {
        if self.tty { Interactive::Yes } else { Interactive::No }
    }

    /// What happens to control sequences on a terminal.
    pub(crate) const fn controls(&self) -> Controls {
        if self.raw { Controls::Passed } else { Controls::Neutralised }
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible sandbox cp data.csv $id:                into /work, under its own name
  crucible sandbox cp $id:/work/out.txt .          out again
  crucible sandbox cp -r project $id:/work         a folder with all that is in it
  pg_dump | crucible sandbox cp - $id:/tmp/dump    from standard input; `-` is standard output, too

Of folders, regular files are copied; what is something else is named and left out. A local name
with a colon begins with ./ here.")]
pub(crate) struct CopyArguments {
    /// Copy folders, too
    #[arg(short, long)]
    recursive: bool,
    /// Where from: a local path, ID:PATH, or -
    #[arg(value_name = "SRC")]
    pub(crate) source: CopyPlace,
    /// Where to
    #[arg(value_name = "DEST")]
    pub(crate) destination: CopyPlace,
}

/// Whether folders are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folders {
    /// They are refused.
    Refused,
    /// They are copied with all that is in them.
    Copied,
}

impl CopyArguments {
    /// Whether folders are copied.
    pub(crate) const fn folders(&self) -> Folders {
        if self.recursive { Folders::Copied } else { Folders::Refused }
    }
}

/// One end of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CopyPlace {
    /// A path here.
    Local(PathBuf),
    /// Standard input or output.
    Standard,
    /// A path in a sandbox.
    Sandbox(SandboxPath),
}

impl From<OsString> for CopyPlace {
    /// Whatever has a colon before any slash is a sandbox's; what that means is looked at later.
    fn from(text: OsString) -> Self {
        if text == "-" {
            return Self::Standard;
        }
        let named = text.to_str().and_then(|text| text.split_once(':')).filter(|(id, _)| !id.contains('/'));
        match named {
            Some((id, path)) => Self::Sandbox(SandboxPath { id: id.to_owned(), path: path.to_owned() }),
            None => Self::Local(text.into()),
        }
    }
}

impl From<&OsStr> for CopyPlace {
    fn from(text: &OsStr) -> Self {
        text.to_owned().into()
    }
}

/// A path in a sandbox, as `ID[:PATH]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SandboxPath {
    /// The id, or a part of it.
    pub(crate) id: String,
    /// The path as it was said; empty for the work folder.
    path: String,
}

impl SandboxPath {
    /// The path inside.
    ///
    /// # Errors
    /// `InvalidInput` for one that can't be.
    pub(crate) fn path(&self) -> Result<GuestPath> {
        let text = if self.path.len() > 1 { self.path.trim_end_matches('/') } else { &self.path };
        if text.is_empty() && self.path.is_empty() {
            return Ok(GuestPath::work());
        }
        GuestPath::parse(if text.is_empty() { "/" } else { text })
    }

    /// Whether it was said that it is a folder.
    pub(crate) fn says_folder(&self) -> bool {
        self.path.is_empty() || self.path.ends_with('/')
    }
}

impl std::str::FromStr for SandboxPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (id, path) = text.split_once(':').unwrap_or((text, ""));
        if id.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "read a sandbox's path", "the sandbox's id is missing"));
        }
        Ok(Self { id: id.to_owned(), path: path.to_owned() })
    }
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible sandbox ls $id                  what is in /work
  crucible sandbox ls $id:/tmp --json")]
pub(crate) struct SandboxLsArguments {
    /// The sandbox, and the folder in it
    #[arg(value_name = "ID[:PATH]")]
    pub(crate) path: SandboxPath,
    /// One JSON document on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(
    override_usage = "crucible sandbox shell [OPTIONS] ID [-- CMD [ARGS...]]",
    after_help = "\
Examples:
  crucible sandbox shell $id               bash, or sh where there is none
  crucible sandbox shell $id -- python3    any other program that talks with a person

Its output reaches your terminal as it is, with all control sequences: a hostile program may say
things to your terminal by them."
)]
pub(crate) struct SandboxShellArguments {
    #[command(flatten)]
    pub(crate) flags: CommandFlags,
    /// The sandbox's id, or the beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Another program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible sandbox fork $id                prints the id of the second one

The second one has the files of the first, and none of its processes. Let those that write rest
meanwhile, where all files have to be of one moment. Both end with the same keeper if that is killed.")]
pub(crate) struct SandboxForkArguments {
    /// The sandbox's id, or the beginning or end of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// One JSON document about it on standard output, instead of its id
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  crucible sandbox rm $id
  crucible sandbox rm --all")]
pub(crate) struct SandboxRmArguments {
    /// Their ids, or the beginnings or ends of them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) ids: Vec<String>,
    /// All of yours
    #[arg(long)]
    all: bool,
}

/// Which sandboxes are meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chosen<'a> {
    /// These.
    Some(&'a [String]),
    /// All.
    All,
}

impl SandboxRmArguments {
    /// Which sandboxes are meant.
    pub(crate) fn chosen(&self) -> Chosen<'_> {
        if self.all { Chosen::All } else { Chosen::Some(&self.ids) }
    }
}

format_of!(SandboxCreateArguments, SandboxListArguments, SandboxLsArguments, SandboxForkArguments);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_colon_before_a_slash_is_in_a_sandbox() {
        let place = |text: &str| CopyPlace::from(OsString::from(text));
        let inside =
            |id: &str, path: &str| CopyPlace::Sandbox(SandboxPath { id: id.to_owned(), path: path.to_owned() });
        assert_eq!(place("019b:/work/a:b"), inside("019b", "/work/a:b"));
        assert_eq!(place("019b:"), inside("019b", ""));
        assert_eq!(place("./a:b"), CopyPlace::Local("./a:b".into()));
        assert_eq!(place("plain"), CopyPlace::Local("plain".into()));
        assert_eq!(place("-"), CopyPlace::Standard);
    }

    #[test]
    fn a_path_inside_is_below_the_work_folder_unless_it_says_otherwise() {
        let path = |text: &str| text.parse::<SandboxPath>().unwrap();
        for (text, expected) in [("x", "/work"), ("x:", "/work"), ("x:a", "/work/a"), ("x:a/", "/work/a"), ("x:/", "/")]
        {
            assert_eq!(path(text).path().unwrap().as_str(), expected, "{text}");
        }
        assert!(path("x:a/").says_folder() && !path("x:a").says_folder());
        assert!(path("x:../a").path().is_err() && "".parse::<SandboxPath>().is_err());
    }
}
