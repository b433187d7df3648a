//! What a fake guest does, and what goes wrong around it.

use crucible_core::{
    BehaviorKind, Counters, GuestPath, LimitKind, Loss, Observation, Readiness, Source, Stream, TouchKind,
};
use std::time::Duration;

/// One thing that the main process of a fake guest does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes bytes, waiting while the pipe is full.
    Write(Stream, Vec<u8>),
    /// Writes without end.
    Flood(Stream),
    /// Reads standard input to its end, for [`Ledger::stdin`](super::Ledger::stdin).
    ReadStdin,
    /// Reads standard input to its end and writes it to standard output.
    EchoStdin,
    /// Uses processor time at once.
    UseCpu(Duration),
    /// From now on uses so many processors' time for as long as it lives.
    BurnCpu(u32),
    /// Leaves a background process that holds a stream open.
    HoldOpen(Stream),
    /// Runs into a limit and is refused.
    MeetLimit(LimitKind),
    /// Loses a process to the kernel's out-of-memory killer.
    LoseProcessToMemory,
    /// Closes its standard input.
    CloseStdin,
    /// Waits until it is ended.
    WaitForever,
    /// Ends with a code.
    Exit(i32),
    /// Dies of a signal.
    Signal(i32),
    /// Touches a place that is watched.
    Touch(GuestPath, TouchKind),
    /// Does something that the host sees.
    Behave(BehaviorKind, Source, String),
    /// Writes the value of its environment's variable.
    WriteVariable(Stream, String),
    /// Writes the value of its environment's variable to a file.
    KeepVariable(String, GuestPath),
    /// Takes the whole sandbox with it: from now on the sandbox's calls fail, but for the counters.
    LoseSandbox(Loss),
}

/// What goes wrong in the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Making a sandbox fails.
    Create,
    /// Making a sandbox never ends.
    CreateHangs,
    /// A sandbox lacks the layers that were promised.
    LayersMissing,
    /// Writing a file fails, as on a full disk.
    Write,
    /// Starting a command fails.
    Exec,
    /// Starting a command never ends.
    ExecHangs,
    /// Waiting for the main process fails.
    Wait,
    /// Reading the counters fails.
    Counters,
    /// Ending the processes fails.
    EndProcesses,
    /// Ending the processes never ends.
    EndProcessesHangs,
    /// Pipes stay open when all processes are dead.
    PipesStayOpen,
    /// Reading from standard output breaks off with an error.
    StdoutBreaks,
    /// Opening a file fails in the backend.
    Read,
    /// Reading an opened file never ends.
    ReadHangs,
    /// Before the first command, the sandbox looks otherwise than planned.
    PostureDiffers,
    /// After a command, the sandbox looks otherwise than planned.
    PostureDiffersAfter,
    /// A part of the sandbox's state can't be seen from outside.
    PostureHidden,
    /// Nothing is looked at.
    PostureEmpty,
    /// Before the first command, the sandbox can't be looked at.
    PostureUnreadable,
    /// After a command, the sandbox can't be looked at.
    PostureUnreadableAfter,
    /// Watching a place fails.
    Watch,
    /// Watching what the guest does fails.
    Observe,
    /// Destroying the sandbox fails.
    Destroy,
    /// Destroying the sandbox never ends.
    DestroyHangs,
}

/// What a path in a fake sandbox is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FakeFile {
    /// A regular file.
    Regular(Vec<u8>),
    /// A regular file that says one size and goes on for ever.
    Growing {
        /// The size that it says.
        claimed: u64,
    },
    /// An empty folder. Folders with something in them come by themselves.
    Directory,
    /// A link, pipe or device.
    Other,
}

/// What a fake sandbox is like.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What the main process does. After the last step it exits with 0.
    pub steps: Vec<Step>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Files that are there when the guest has ended, by the bytes of their absolute path.
    pub files: Vec<(Vec<u8>, FakeFile)>,
    /// Counters from the start. `processes` is counted by the fake itself where it is `Some`.
    pub counters: Counters,
    /// Whether a sandbox is as new after each of its runs.
    pub renews: bool,
    /// What the host sees as soon as it watches.
    pub observations: Vec<Observation>,
    /// The most that is made ready in a sandbox for which it is wished.
    pub readiness: Readiness,
}

impl Script {
    /// A guest that takes these steps.
    #[must_use]
    pub fn of(steps: impl Into<Vec<Step>>) -> Self {
        Self { steps: steps.into(), ..Self::default() }
    }

    /// Adds something that goes wrong.
    #[must_use]
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Adds a file that the guest leaves.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<Vec<u8>>, file: FakeFile) -> Self {
        self.files.push((path.into(), file));
        self
    }

    /// Adds something that the host sees as soon as it watches.
    #[must_use]
    pub fn with_observation(mut self, observation: Observation) -> Self {
        self.observations.push(observation);
        self
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}
