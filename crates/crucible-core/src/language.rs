//! A language as data: how to find its interpreter, which host files it needs, and how to call it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One entry of the language table. The defaults are in the configuration file, where users add their own.
///
/// In `run`, `code`, `files` and `env` these stand for what was found: `{interpreter}` (the real executable), `{file}` (the
/// program inside the sandbox, relative to the folder in which it starts).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// What people call it in full.
    pub title: String,
    /// File name endings without the dot by which a program is recognised.
    #[serde(default)]
    pub endings: Vec<String>,
    /// Other names it goes by.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Executables to look for, in order: a name looked up in `PATH`, or an absolute path. Empty for a language that
    /// runs what it is given.
    #[serde(default)]
    pub interpreters: Vec<String>,
    /// How to run a program; `{file}` is its path. The program's own arguments are added at the end.
    pub run: Vec<String>,
    /// What the program's file is called when it comes from standard input or the command line.
    pub file_name: String,
    /// Arguments that make the interpreter print the host paths it needs, one per line, the first being its own real
    /// executable; a line `version X` tells its version. Asked once and remembered for as long as the interpreter's file is unchanged.
    #[serde(default)]
    pub probe: Vec<String>,
    /// Host files and folders that the sandbox may read, beyond what the probe names. One that doesn't exist is left out.
    #[serde(default)]
    pub files: Vec<String>,
    /// The container image in which backends of containers run its programs, by name or digest; empty for none.
    #[serde(default)]
    pub image: String,
    /// How its interpreter can be made ready before a program comes: [`Language::PYTHON`], [`Language::NODE`], or empty for not
    /// at all.
    #[serde(default)]
    pub ready: String,
    /// Modules that an interpreter which is made ready ahead has imported already. They have to be read-only for guests, and
    /// the operator's own: what they keep in memory is found by every program.
    #[serde(default)]
    pub preload: Vec<String>,
    /// Environment variables of every program.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What to tell a person whose machine lacks it.
    #[serde(default)]
    pub install_hint: String,
    /// What runs its programs where programs are WebAssembly: the name of a runtime that is installed for that, or
    /// [`Language::ITSELF`]. Empty for a language that has nothing of the kind.
    #[serde(default)]
    pub wasm: String,
}

impl Language {
    /// Stands for CPython, from 3.9 on, which can be made ready ahead.
    pub const PYTHON: &'static str = "python";
    /// Stands for Node.js, from 18 on, which can be made ready ahead.
    pub const NODE: &'static str = "node";
    /// Stands for a program that is WebAssembly itself.
    pub const ITSELF: &'static str = "{file}";

    /// Whether its programs are WebAssembly themselves, so that no other kind of backend can run them.
    #[must_use]
    pub fn is_wasm_itself(&self) -> bool {
        self.wasm == Self::ITSELF
    }
}
