//! A snapshot of an interpreter: the memory of its WebAssembly when it is initialised and has read nothing of any program.
//!
//! A module that starts from a snapshot is the interpreter's own module with that memory in the place of the one that it
//! would begin with, and with a start that goes on where the interpreter was: it takes its arguments and variables anew, and
//! runs its program. It is compiled as any module is, so that what a start costs is a copy-on-write mapping.
//!
//! Invariant: where a module is opened is written down in [`Recipe`], which holds for the one module whose hash stands beside
//! it. What a snapshot was made for is what it is used for ([`Recipe::serves`]); every other command starts from nothing.
//! What runs all share is in docs/decisions/0018-wasm-snapshot.md.

pub(super) mod make;
pub(super) mod order;
mod rewrite;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Changes whenever the same recipe would make another snapshot.
const FORMAT: u32 = 1;

/// How a snapshot is made of a module, and whom it serves. Places in the module are offsets in its file, functions are
/// numbered as it numbers them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recipe {
    /// The instructions that run a program, once the interpreter is initialised. They stand in the function that starts it.
    run: [usize; 2],
    /// The local variable that holds the exit code after them.
    exit_code: u32,
    /// Before what the interpreter is to be told that it ends: no more of a program's own functions for the end are called.
    finish: usize,
    /// Instructions that are left out: what the interpreter frees when nothing of a program can be seen any more.
    leave_out: Vec<[usize; 2]>,
    /// Calls an object with another one.
    call: u32,
    /// Runs a text as a program.
    run_text: u32,
    /// Gives the interpreter's state.
    interpreter: u32,
    /// Gives its settings.
    settings: u32,
    /// Where in the settings the file to run is named.
    file_name: u32,
    /// Where in the settings the program's arguments are.
    arguments: u32,
    /// Writes out what the C library still holds.
    at_exit: u32,
    /// Ends with an exit code.
    exit: u32,
    /// The variables that it is initialised with.
    environment: BTreeMap<String, String>,
    /// How the names begin of variables that an interpreter looks at when it is initialised.
    decisive: Vec<String>,
}

impl Recipe {
    /// Whether a command is one that the snapshot was made for: a file and its arguments, without options of the interpreter's,
    /// with the variables that count for it as they were.
    pub(super) fn serves(&self, program: &str, arguments: &[String], variables: &[(String, String)]) -> bool {
        let [name, file, ..] = arguments else { return false };
        let is_decisive = |name: &str| self.decisive.iter().any(|begin| name.starts_with(begin.as_str()));
        let decisive: BTreeMap<_, _> = variables.iter().filter(|(name, _)| is_decisive(name)).cloned().collect();
        name == program
            && !file.is_empty()
            && !file.starts_with('-')
            && decisive == self.environment
            && order::fits(arguments, variables)
    }

    /// The variables that the interpreter is initialised with.
    pub(super) fn variables(&self) -> Vec<(String, String)> {
        self.environment.clone().into_iter().collect()
    }

    /// What is to be hashed where it counts from what something was made.
    pub(super) fn identity(&self) -> String {
        format!("{FORMAT} {self:?} {}", make::PREPARE)
    }
}
