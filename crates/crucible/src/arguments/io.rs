//! Flags about what goes into a sandbox and what comes out.

use crate::output::Format;
use clap::Args;
use crucible_core::{Error, ErrorKind, GuestPath, Label, Result, TimeSpan, Tripwire};
use std::path::{Path, PathBuf};

/// Flags about what goes in and what comes out.
#[derive(Args, Debug)]
pub(crate) struct IoFlags {
    /// Standard input from a file; without this, your own passes through
    #[arg(long, value_name = "FILE", help_heading = "Input and output")]
    pub(crate) stdin: Option<PathBuf>,
    /// Put a file in, below /work (its own name if DEST is left out) or below /tmp; repeatable
    #[arg(long = "file", value_name = "SRC[:DEST]", help_heading = "Input and output")]
    pub(crate) files: Vec<FileFlag>,
    /// Bring a file or folder out when the program has ended; repeatable
    #[arg(long, value_name = "PATH", help_heading = "Input and output")]
    pub(crate) collect: Vec<GuestPath>,
    /// Where to put what was brought out [default: the current folder; with --json, only into the JSON]
    #[arg(long, value_name = "DIR", requires = "collect", help_heading = "Input and output")]
    pub(crate) collect_to: Option<PathBuf>,
    /// Let what was brought out replace files that are there
    #[arg(long, requires = "collect", help_heading = "Input and output")]
    force: bool,
    /// Give the program an environment variable; K alone passes yours on; repeatable
    #[arg(long, value_name = "K[=V]", help_heading = "Input and output")]
    pub(crate) env: Vec<String>,
    /// Plant a tripwire: credentials, file, environment or listener, in its usual place or another; repeatable
    #[arg(long = "tripwire", value_name = "KIND[=PLACE]", help_heading = "Input and output")]
    pub(crate) tripwires: Vec<Tripwire>,
    /// If the policy holds the program, wait so long for somebody to decide, and then go on: 30s, 10m
    #[arg(long, value_name = "TIME", help_heading = "Isolation")]
    pub(crate) wait_for_review: Option<TimeSpan>,
    /// Compare the run with earlier ones that have the same label, and remember it if it doesn't stand out
    #[arg(long, value_name = "NAME", help_heading = "Record")]
    pub(crate) label: Option<Label>,
    /// A summary on standard error when it has ended: findings, behaviour, anomalies, what was watched
    #[arg(long, help_heading = "Record")]
    report: bool,
    /// Exactly one JSON outcome on standard output, nothing else there
    #[arg(long, help_heading = "Input and output")]
    json: bool,
    /// Don't neutralise control sequences where the output is a terminal
    #[arg(long, help_heading = "Input and output")]
    raw: bool,
}

/// What may happen to a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and that is an error.
    Refused,
    /// It is replaced.
    Replaced,
}

/// What is told of a run when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reporting {
    /// Only what the program can't know.
    Quiet,
    /// All of the record, in short.
    Full,
}

/// What happens to control sequences on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Controls {
    /// All but colours are neutralised.
    Neutralised,
    /// They pass.
    Passed,
}

impl IoFlags {
    /// How the outcome is shown.
    pub(crate) const fn format(&self) -> Format {
        Format::of_json_flag(self.json)
    }

    /// What is told of the run when it has ended.
    pub(crate) const fn reporting(&self) -> Reporting {
        if self.report { Reporting::Full } else { Reporting::Quiet }
    }

    /// What may happen to a file that is already there.
    pub(crate) const fn existing(&self) -> Existing {
        if self.force { Existing::Replaced } else { Existing::Refused }
    }

    /// What happens to control sequences on a terminal.
    pub(crate) const fn controls(&self) -> Controls {
        if self.raw { Controls::Passed } else { Controls::Neutralised }
    }
}

/// A file to put in, as `SRC[:DEST]` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFlag {
    pub(crate) source: PathBuf,
    pub(crate) destination: GuestPath,
}

impl std::str::FromStr for FileFlag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |message: String| Error::new(ErrorKind::InvalidInput, "read a file to put in", message);
        let (source, destination) = text.rsplit_once(':').unwrap_or((text, ""));
        if source.is_empty() {
            return Err(refuse("the source is empty".to_owned()));
        }
        let destination = if destination.is_empty() && !text.ends_with(':') {
            let name = Path::new(source).file_name().and_then(std::ffi::OsStr::to_str);
            let nameless = || refuse(format!("{source:?} has no name of its own; say SRC:DEST"));
            GuestPath::parse(name.ok_or_else(nameless)?)?
        } else {
            GuestPath::parse(destination)?
        };
        let writable = destination.within_work().is_some_and(|path| !path.is_empty())
            || destination.as_str().strip_prefix("/tmp/").is_some();
        if !writable {
            let message = format!("the sandbox path {destination} is neither below {} nor below /tmp", GuestPath::WORK);
            return Err(refuse(message));
        }
        Ok(Self { source: source.into(), destination })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_below_the_work_folder_under_its_own_name_or_another() {
        let destination = |text: &str| text.parse::<FileFlag>().unwrap().destination.as_str().to_owned();
        assert_eq!(destination("/a/data.csv"), "/work/data.csv");
        assert_eq!(destination("/a/data.csv:in/d.csv"), "/work/in/d.csv");
        assert_eq!(destination("data.csv:/tmp/d.csv"), "/tmp/d.csv");
        assert_eq!("a:b:c".parse::<FileFlag>().unwrap().source, PathBuf::from("a:b"));
    }

    #[test]
    fn a_file_goes_nowhere_else() {
        for text in
            ["", ":x", "x:", "x:../y", "x:/etc/passwd", "x:/work", "x:/tmp", "x:/workshop/y", "..", "x:a/", "/", "x:/"]
        {
            assert!(text.parse::<FileFlag>().is_err(), "{text}");
        }
    }
}
