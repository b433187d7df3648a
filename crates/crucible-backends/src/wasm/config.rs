//! What an operator can set about WebAssembly, and what the backend is started with.

use crate::jail::JailConfig;
use crucible_core::HostPath;
use std::fmt;
use std::sync::Arc;

/// How the worker is started: a program of Crucible's own that calls [`super::worker::run`] with the arguments that follow
/// these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerProgram {
    /// The executable.
    pub program: HostPath,
    /// What comes before the worker's own arguments.
    pub arguments: Vec<String>,
}

/// Tells a person what cost time and nothing else: that a runtime is compiled again, and why.
#[derive(Clone)]
pub struct Note(Arc<dyn Fn(&str) + Send + Sync>);

impl Note {
    /// Tells it by a function.
    pub fn by(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells nobody.
    #[must_use]
    pub fn to_nobody() -> Self {
        Self::by(|_| {})
    }

    pub(super) fn tell(&self, what: &str) {
        (self.0)(what);
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Note")
    }
}

/// What the backend is started with.
#[derive(Clone, Debug)]
pub struct WasmConfig {
    /// The jail that workers run in.
    pub jail: JailConfig,
    /// The worker.
    pub worker: WorkerProgram,
    /// The folder with installed runtimes, its owner's alone; `None` where there is no user's folder to have it in.
    pub runtimes: Option<HostPath>,
    /// The folder with compiled runtimes, its owner's alone; `None` to compile anew whenever the backend starts.
    pub artifacts: Option<HostPath>,
    /// Who is told what costs time.
    pub note: Note,
}
