//! What came of the latest runs, for those who ask for more of it than a model is given at once.
//!
//! Invariant: how many are kept, and how much of them, is bounded; the oldest is forgotten first. What belongs to another project
//! isn't there.

use crucible_api::v1::Outcome;
use crucible_core::{Error, ErrorKind, ProjectId, Result};
use crucible_server::Caller;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many are kept.
pub(crate) const MOST_RUNS: usize = 100;
/// How many bytes of output and files of all of them together. The latest one is kept, however large it is.
const MOST_BYTES: usize = 128 << 20;

/// A run that is kept.
#[derive(Debug)]
pub(crate) struct Run {
    /// Whose it is.
    project: ProjectId,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

impl Run {
    fn bytes(&self) -> usize {
        let outcome = &self.outcome;
        let exact =
            [&outcome.stdout_base64, &outcome.stderr_base64].into_iter().flatten().map(String::len).sum::<usize>();
        let files = outcome.files.iter().map(|file| file.content_base64.len()).sum::<usize>();
        outcome.stdout.len() + outcome.stderr.len() + exact + files
    }
}

/// The latest runs.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<VecDeque<Arc<Run>>>);

impl Runs {
    /// Keeps one, and forgets those for which there is no room any more.
    pub(crate) fn keep(&self, caller: &Caller, outcome: Outcome) -> Arc<Run> {
        let run = Arc::new(Run { project: caller.project.clone(), outcome });
        let mut runs = self.runs();
        runs.push_back(Arc::clone(&run));
        let mut bytes = runs.iter().map(|run| run.bytes()).sum::<usize>();
        while runs.len() > 1 && (runs.len() > MOST_RUNS || bytes > MOST_BYTES) {
            bytes -= runs.pop_front().map_or(0, |run| run.bytes());
        }
        run
    }

    /// The run of an id.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn find(&self, caller: &Caller, id: &str) -> Result<Arc<Run>> {
        let found = self.runs().iter().find(|run| run.outcome.id == id && caller.sees_those_of(&run.project)).cloned();
        found.ok_or_else(|| {
            let shown: String = id.chars().take(64).collect();
            Error::new(ErrorKind::NotFound, "find the run", format!("there is no run {shown:?}"))
                .with_hint(format!("the latest {MOST_RUNS} runs of this server are kept, as long as it lives"))
        })
    }

    /// Those that a caller may see, the latest first.
    pub(crate) fn list(&self, caller: &Caller) -> Vec<Arc<Run>> {
        self.runs().iter().rev().filter(|run| caller.sees_those_of(&run.project)).cloned().collect()
    }

    fn runs(&self) -> MutexGuard<'_, VecDeque<Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
