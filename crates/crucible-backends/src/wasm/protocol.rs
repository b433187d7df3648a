//! What the backend and its worker tell each other.
//!
//! The backend tells by arguments, or by the first bytes on standard input, because what is in them stays in them: a guest's
//! variable among the worker's own would change what the worker does. The worker answers by the first bytes on its standard output, written before the first
//! instruction of the guest, so that no guest can have written them.

use super::snapshot::Recipe;
use serde::{Deserialize, Serialize};

/// What a worker is to do. Follows [`super::WorkerProgram::arguments`] as one JSON document; after it come the number of the
/// guest's variables, the variables, and the guest's arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// Compiles the module on standard input, and writes what comes of it to standard output.
    Compile,
    /// Makes a snapshot of the interpreter on standard input, which goes by that name as a program, and writes the compiled
    /// module that goes on from there to standard output.
    Snapshot(Recipe, String),
    /// Runs a program.
    Run(Setting, Start),
    /// Gets everything ready, says [`PREPARED`], and waits for an [`Order`].
    Wait(Setting),
}

/// What has to be known before code is loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setting {
    pub(super) code: Code,
    /// Bytes of stack.
    pub(super) stack: u64,
    /// Bytes that its memories may have together, where no control group holds the limit.
    pub(super) memory: Option<u64>,
    pub(super) imports: Imports,
}

/// How a program starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Start {
    /// The folder that it starts in.
    pub(super) directory: String,
    /// Processor time after which it is interrupted, in milliseconds.
    pub(super) cpu_milliseconds: u64,
}

/// What a worker that waits is told to run. It comes on its standard input as one JSON document, after its length in four
/// bytes, the lowest first; what follows is the program's own input. An end of the input instead ends the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) start: Start,
    pub(super) variables: Vec<(String, String)>,
    pub(super) arguments: Vec<String>,
}

/// The most that an order takes.
pub(super) const LONGEST_ORDER: u32 = 64 << 20;

/// The code of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Code {
    /// Compiled before, and authenticated by the backend: a file that the worker sees read-only.
    Artifact(String),
    /// The same, of a module that goes on from a snapshot.
    Snapshot(String),
    /// A module or component that the guest brought, to be compiled in the worker.
    File(String),
}

/// What becomes of imports that nothing is linked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Imports {
    /// The program isn't started.
    Refused,
    /// They are made up: a protection that a control arm leaves off.
    MadeUp,
}

/// The first byte of a worker that did what it had to before the guest starts, or that has compiled.
pub(super) const READY: u8 = 0;
/// The first byte of a worker that won't start the program; a [`Refusal`] follows, to the end.
pub(super) const REFUSED: u8 = 1;
/// The first byte of a worker that waits for its order; another one follows when it has it.
pub(super) const PREPARED: u8 = 2;
/// The most that a refusal takes.
pub(super) const LONGEST_REFUSAL: u64 = 16 << 10;

/// Why a program isn't started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) why: Why,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    /// The program's.
    Program,
    /// There is no such file.
    Missing,
    /// The worker's, or the machine's.
    Worker,
}
