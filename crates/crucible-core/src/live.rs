//! What a sandbox can do that stays open for many commands, beyond running one program to its end: terminals, signals,
//! ending one command alone, named users, a second sandbox with the same files.
//!
//! Invariant: which of these a backend has is in its capabilities, and what isn't there is refused. No default method
//! pretends to have done anything.

use crate::error::{Error, ErrorKind, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Something that a sandbox can do while it stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveFeature {
    /// A command can have a terminal of the sandbox's own: [`crate::Command::terminal`].
    Terminals,
    /// A running command can be sent a signal: [`CommandControl::signal`].
    Signals,
    /// One command can be ended with everything that it started, and nothing else: [`Tree::Own`].
    CommandTrees,
    /// A command can run as a user of the sandbox's own: [`crate::Command::user`].
    Users,
    /// Files can be looked at one by one and removed: [`crate::Sandbox::stat`] and [`crate::Sandbox::remove`].
    Files,
    /// A second sandbox with the same files can be made: [`crate::Sandbox::fork`].
    Forks,
}

impl LiveFeature {
    /// Every feature there is.
    pub const ALL: [Self; 6] =
        [Self::Terminals, Self::Signals, Self::CommandTrees, Self::Users, Self::Files, Self::Forks];

    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminals => "terminals",
            Self::Signals => "signals",
            Self::CommandTrees => "command_trees",
            Self::Users => "users",
            Self::Files => "files",
            Self::Forks => "forks",
        }
    }

    /// What a backend can't do that doesn't have it.
    const fn in_words(self) -> &'static str {
        match self {
            Self::Terminals => "give a command a terminal",
            Self::Signals => "send a command a signal",
            Self::CommandTrees => "end one command alone",
            Self::Users => "run a command as another user than the sandbox's own",
            Self::Files => "look at files one by one, or remove them",
            Self::Forks => "make a second sandbox with the same files",
        }
    }

    /// The refusal of a backend that doesn't have it.
    #[must_use]
    pub fn refusal(self, operation: &'static str) -> Error {
        Error::new(ErrorKind::Refused, operation, format!("this sandbox's backend can't {}", self.in_words()))
            .with_hint("docs/sandboxes.md says which backends can")
    }
}

impl fmt::Display for LiveFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whose a command's processes are when it is to be ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tree {
    /// The sandbox's: they end together with all others. What one program alone in its sandbox needs.
    #[default]
    OfSandbox,
    /// The command's own: while it runs, it can be ended with everything that it started. Needs
    /// [`LiveFeature::CommandTrees`].
    Own,
}

/// How many characters a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { rows: 24, columns: 80 }
    }
}

/// A signal, by its number on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// The names of those that people name, without `SIG`. The numbers are those of x86-64 and of 64-bit ARM.
const NAMES: [(&str, i32); 20] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("WINCH", 28),
];

impl Signal {
    /// Asks to end, as Ctrl-C does.
    pub const INTERRUPT: Self = Self(2);
    /// Ends at once.
    pub const KILL: Self = Self(9);
    /// Asks to end.
    pub const TERMINATE: Self = Self(15);
    /// The highest number.
    const HIGHEST: i32 = 64;

    /// The signal of that number.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a number that is no signal's.
    pub fn from_number(number: i32) -> Result<Self> {
        if (1..=Self::HIGHEST).contains(&number) {
            return Ok(Self(number));
        }
        Err(Error::new(ErrorKind::InvalidInput, "read a signal", format!("there is no signal {number}")))
    }

    /// Its number on Linux.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = Error;

    /// Reads `TERM`, `SIGTERM`, `term` or `15`.
    fn from_str(text: &str) -> Result<Self> {
        if let Ok(number) = text.parse() {
            return Self::from_number(number);
        }
        let upper = text.chars().take(16).collect::<String>().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        match NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, number)) => Ok(Self(*number)),
            None => {
                let message = format!("there is no signal {:?}", text.chars().take(16).collect::<String>());
                Err(Error::new(ErrorKind::InvalidInput, "read a signal", message)
                    .with_hint("a number from 1 to 64, or a name such as TERM"))
            }
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// What can be done to a command while it runs, by whoever holds this and beside whoever waits for its end. It doesn't keep
/// the command alive.
#[async_trait]
pub trait CommandControl: Send + Sync {
    /// Sends a signal to the command's process group: the command itself and what it started without giving it a group of
    /// its own, as a terminal's Ctrl-C does.
    ///
    /// # Errors
    /// `Refused` without [`LiveFeature::Signals`]; `NotFound` where the command has ended; `Infrastructure` where the sandbox
    /// is lost.
    async fn signal(&self, _signal: Signal) -> Result<()> {
        Err(LiveFeature::Signals.refusal("send the signal"))
    }

    /// Kills the command with everything that came of it, also what made a session of its own or lost its parent, and
    /// nothing else, and returns when all are dead. A command that has ended already is none any more: what it left
    /// running is the sandbox's.
    ///
    /// # Errors
    /// `Refused` unless the command was started as [`Tree::Own`]; `Infrastructure` where that can't be told or the sandbox is
    /// lost.
    async fn end_tree(&self) -> Result<()> {
        Err(LiveFeature::CommandTrees.refusal("end the command"))
    }

    /// Tells the command's terminal how large it is now.
    ///
    /// # Errors
    /// `Refused` without [`LiveFeature::Terminals`], and for a command that has no terminal.
    async fn resize(&self, _size: TerminalSize) -> Result<()> {
        Err(LiveFeature::Terminals.refusal("resize the terminal"))
    }
}

/// Can do nothing, and says so: for backends that have no such feature. Their capabilities say so, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uncontrolled;

#[async_trait]
impl CommandControl for Uncontrolled {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Command;
    use std::collections::BTreeSet;

    #[test]
    fn a_command_is_refused_by_the_first_feature_that_is_missing() {
        let command = Command { terminal: Some(TerminalSize::default()), tree: Tree::Own, ..Command::default() };
        let error = command.check(&BTreeSet::from([LiveFeature::Terminals])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("end one command alone"));
        command.check(&BTreeSet::from([LiveFeature::Terminals, LiveFeature::CommandTrees])).unwrap();
        Command::default().check(&BTreeSet::new()).unwrap();
    }

    #[test]
    fn a_signal_is_read_by_name_and_by_number() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal::TERMINATE, "{text}");
        }
        assert_eq!((Signal::KILL.to_string(), Signal(40).to_string()), ("SIGKILL".to_owned(), "signal 40".to_owned()));
        for text in ["", "0", "65", "-9", "TERMINATE", "SIGSIGTERM", &"9".repeat(1000)] {
            assert_eq!(text.parse::<Signal>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
        }
    }
}
