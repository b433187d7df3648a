//! What is asked for: a program, its surroundings, its limits and its policy.

use crate::admission::Review;
use crate::baseline::Label;
use crate::id::EvaluationId;
use crate::limits::Limits;
use crate::path::GuestPath;
use crate::policy::Policy;
use crate::tripwire::Tripwire;
use std::collections::BTreeMap;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A source text in a language of the table.
    Source {
        /// The language's name in the table.
        language: String,
        /// The program, byte for byte.
        code: Vec<u8>,
        /// Its arguments.
        args: Vec<String>,
    },
    /// Any command, found in the sandbox's own `PATH`.
    Command {
        /// The program and its arguments; not empty.
        argv: Vec<String>,
    },
}

/// A file to put into the sandbox before the program starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFile {
    /// Where it is put.
    pub path: GuestPath,
    /// Its bytes.
    pub content: Vec<u8>,
    /// Whether it may be executed.
    pub executable: bool,
}

/// One evaluation as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationSpec {
    /// Its id.
    pub id: EvaluationId,
    /// What to run.
    pub program: Program,
    /// A backend's name, or `auto`.
    pub backend: String,
    /// Bytes for standard input; empty gives an end of file at once.
    pub stdin: Vec<u8>,
    /// Files to put in.
    pub files: Vec<InputFile>,
    /// Files and folders to bring out.
    pub collect: Vec<GuestPath>,
    /// Things to plant that an honest program leaves alone.
    pub tripwires: Vec<Tripwire>,
    /// Environment variables in addition to the language's.
    pub env: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// What it must be protected by, and what is let in.
    pub policy: Policy,
    /// What a person decided about it, where its policy has held it.
    pub review: Option<Review>,
    /// Runs with the same label are compared with each other.
    pub label: Option<Label>,
}

impl EvaluationSpec {
    /// Bytes of its program, its input and its files: what may be large of it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let program = match &self.program {
            Program::Source { code, .. } => code.len(),
            Program::Command { argv } => argv.iter().map(String::len).sum(),
        };
        let files: usize = self.files.iter().map(|file| file.content.len()).sum();
        program + self.stdin.len() + files
    }
}
