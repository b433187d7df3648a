//! A sandbox that is a fork of an interpreter, another fork of which waits in it.

use crate::ahead::AheadCommand;
use crucible_jail::host::Launcher;
use std::sync::Arc;
use std::time::Instant;

/// An interpreter that is initialised, and waits in a sandbox for its program.
pub(crate) struct Waiting {
    command: Arc<AheadCommand>,
    /// What the sandbox was forked from, which has to live for as long as it does.
    zygote: Arc<Launcher>,
    /// When others take its place for new programs.
    until: Instant,
}

impl Waiting {
    pub(crate) const fn new(command: Arc<AheadCommand>, zygote: Arc<Launcher>, until: Instant) -> Self {
        Self { command, zygote, until }
    }

    /// Whether more programs may be run in forks of it.
    pub(crate) fn is_good(&self) -> bool {
        Instant::now() < self.until && !self.zygote.has_ended()
    }

    /// As [`AheadCommand::program_of`].
    pub(crate) fn program_of<'a>(&self, argv: &'a [String], env: &[String]) -> Option<&'a [String]> {
        self.command.program_of(argv, env)
    }
}
