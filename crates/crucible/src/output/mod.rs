//! What is written where: data to standard output, everything else to standard error, colour only on terminals.
//!
//! Invariant: a reader who went away is not an error to be shouted about, but an exit code.

mod live;
mod report;
mod terminal;

pub(crate) use live::{Finished, LiveOutput, write_document};
pub(crate) use report::run_report;
pub(crate) use terminal::{is_control, visible};

use crate::exit::{Exit, SIGPIPE};
use anstyle::{AnsiColor, Style};
use crucible_core::{Error, ErrorKind, Result};
use std::fmt::Display;
use std::io::{self, Write};

/// How a result is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Format {
    /// What `--json` means.
    pub(crate) const fn of_json_flag(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// The style of «error:».
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The style of «warning:».
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// The style of what is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// The style of what is worth a look and no more.
pub(crate) const NOTE: Style = AnsiColor::Cyan.on_default();
/// The style of «hint:».
const HINT: Style = AnsiColor::Cyan.on_default();

/// Prints a failure of Crucible with its causes and hint.
pub(crate) fn error(error: &Error) {
    let lines: Vec<_> = causes(error).collect();
    failure(&lines.join("\n  caused by: "), error.hint());
}

/// A failure with its causes in one line.
pub(crate) fn chain(error: &Error) -> String {
    causes(error).collect::<Vec<_>>().join(": ")
}

fn causes(error: &Error) -> impl Iterator<Item = String> {
    let first: &dyn std::error::Error = error;
    std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string)
}

/// Prints a failure with hints. The message may have lines of causes.
pub(crate) fn failure(message: &str, hints: impl IntoIterator<Item = impl AsRef<str>>) {
    let mut text = format!("{ERROR}error:{ERROR:#} {}\n", neutral(message));
    for hint in hints {
        text.push_str(&format!("{HINT}hint:{HINT:#} {}\n", neutral(hint.as_ref())));
    }
    to_stderr(&text);
}

/// Prints one line of warning.
pub(crate) fn warning(message: &str) {
    to_stderr(&format!("{WARNING}warning:{WARNING:#} {}\n", neutral(message)));
}

/// Prints one line that says how to go on.
pub(crate) fn hint(message: &str) {
    to_stderr(&format!("{HINT}hint:{HINT:#} {}\n", neutral(message)));
}

/// Prints one line about a run, on a line of its own.
pub(crate) fn note(message: &str, within_line: bool) {
    let start = if within_line { "\n" } else { "" };
    to_stderr(&format!("{start}crucible: {}\n", neutral(message)));
}

/// Prints a text with styles to standard error.
pub(crate) fn styled_message(text: &clap::builder::StyledStr) {
    to_stderr(&text.ansi().to_string());
}

fn to_stderr(text: &str) {
    // Where standard error can't be written to, there is nobody left to tell.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Prints a text with styles to standard output.
pub(crate) fn styled_data(text: &clap::builder::StyledStr) -> Exit {
    data(&text.ansi()).unwrap_or_else(|failure| {
        error(&failure);
        Exit::Failed(failure.kind())
    })
}

/// Prints what was asked for to standard output.
///
/// # Errors
/// `Io` where it can't be written, other than to a reader who went away.
pub(crate) fn data(text: &dyn Display) -> Result<Exit> {
    let mut stdout = anstream::stdout().lock();
    let written = write!(stdout, "{text}").and_then(|()| stdout.flush());
    written.map(|()| Exit::Success).or_else(|error| unwritable(error, "the result"))
}

/// Prints one JSON document to standard output.
///
/// # Errors
/// As [`data`].
pub(crate) fn json(value: &impl serde::Serialize) -> Result<Exit> {
    let text = document(value)?;
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(&text).and_then(|()| stdout.flush());
    written.map(|()| Exit::Success).or_else(|error| unwritable(error, "the result"))
}

/// One JSON document with the end of its line.
///
/// # Errors
/// `Infrastructure` for what JSON can't hold.
pub(crate) fn document(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "write JSON", "the result can't be written as JSON").with_source(error)
    })?;
    text.push(b'\n');
    Ok(text)
}

/// What a failed write means.
///
/// # Errors
/// `Io`, except where the reader went away.
pub(crate) fn unwritable(error: io::Error, what: &str) -> Result<Exit> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(Exit::Interrupted(SIGPIPE));
    }
    Err(Error::new(ErrorKind::Io, "write the output", format!("can't write {what}")).with_source(error))
}

/// A text of ours that may quote others: without control characters, but with its lines.
pub(crate) fn neutral(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || !is_control(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::neutral;

    #[test]
    fn what_is_quoted_in_a_message_can_not_steer_the_terminal() {
        assert_eq!(neutral("a\nb\x1b[2Jc\u{9b}d\u{202e}"), "a\nb\u{fffd}[2Jc\u{fffd}d\u{fffd}");
    }
}
