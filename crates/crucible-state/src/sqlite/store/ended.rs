//! Evaluations that have just ended, as they are read: most are asked for then.
//!
//! Invariant: what is known here is committed and has a final state, which never changes any more. What is forgotten isn't known.
//! Both are noted on the writer's thread, in the order of the commits.

use crucible_core::{EvaluationId, StoredEvaluation};
use hashlink::LruCache;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many are known. None of their documents is a file, so that each is some 48 KiB at most, and a tenth of that mostly.
const MOST: usize = 256;

pub(in super::super) struct Ended(Mutex<LruCache<EvaluationId, StoredEvaluation>>);

impl Default for Ended {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").finish_non_exhaustive()
    }
}

impl Ended {
    fn known(&self) -> MutexGuard<'_, LruCache<EvaluationId, StoredEvaluation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn know(&self, ended: Option<&StoredEvaluation>) {
        if let Some(ended) = ended {
            self.known().insert(ended.summary.id, ended.clone());
        }
    }

    pub(super) fn get(&self, id: EvaluationId) -> Option<StoredEvaluation> {
        self.known().get(&id).cloned()
    }

    pub(super) fn forget(&self) {
        self.known().clear();
    }
}
