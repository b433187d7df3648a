//! A person's terminal, handed to a program elsewhere.
//!
//! Invariant: what was changed about the terminal is put back whenever this ends, by an error and a panic, too.

use crucible_api::v1::TerminalSize;
use crucible_core::{Error, ErrorKind, Result};
use rustix::termios::{OptionalActions, Termios};
use std::io::{self, IsTerminal, Write};

/// The terminal on standard input, with every key going through as it is.
pub(super) struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Takes the terminal over; `None` where standard input is none.
    ///
    /// # Errors
    /// `Io` where it can't be changed.
    pub(super) fn take() -> Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let failed = |error: rustix::io::Errno| {
            Error::new(ErrorKind::Io, "take over the terminal", "the terminal can't be changed")
                .with_source(io::Error::from(error))
        };
        let before = rustix::termios::tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        Ok(Some(Self { before }))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // What a program has switched on that outlives it: a hidden cursor, mouse reports, bracketed paste, colours.
        if io::stdout().is_terminal() {
            let _ = io::stdout().write_all(b"\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[0m");
            let _ = io::stdout().flush();
        }
        // There is nobody to tell where this fails: the terminal is gone.
        let _ = rustix::termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// How large our own terminal is, if there is one.
pub(super) fn size() -> Option<TerminalSize> {
    let size =
        rustix::termios::tcgetwinsize(io::stdout()).or_else(|_| rustix::termios::tcgetwinsize(io::stdin())).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(TerminalSize { rows: size.ws_row, columns: size.ws_col })
}
