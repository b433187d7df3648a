//! Specifications of what was just submitted, for whoever runs it a moment later: it needn't be read from the store again.
//!
//! Invariant: a few, and bounded in bytes. What isn't here is in the store, where it is the same: one that a person has decided
//! about was taken from here when it was first begun.

use crucible_core::{EvaluationId, EvaluationSpec};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many specifications, and how many bytes of them.
const MOST: usize = 64;
const MOST_BYTES: usize = 16 << 20;

#[derive(Default)]
struct Kept {
    specifications: HashMap<EvaluationId, EvaluationSpec>,
    bytes: usize,
}

/// The specifications that are kept.
#[derive(Default)]
pub(super) struct Fresh(Mutex<Kept>);

impl Fresh {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies of as many as there is room for, the first ones first: they run first.
    pub(super) fn copies<'a>(&self, specs: impl Iterator<Item = &'a EvaluationSpec>) -> Vec<EvaluationSpec> {
        let (mut places, mut room) = {
            let kept = self.kept();
            (MOST.saturating_sub(kept.specifications.len()), MOST_BYTES.saturating_sub(kept.bytes))
        };
        let fits = |spec: &&EvaluationSpec| {
            let bytes = spec.bytes();
            let fits = places > 0 && bytes <= room;
            (places, room) = (places.saturating_sub(1), room.saturating_sub(bytes));
            fits
        };
        specs.take_while(fits).cloned().collect()
    }

    pub(super) fn keep(&self, spec: EvaluationSpec) {
        let mut kept = self.kept();
        kept.bytes += spec.bytes();
        if let Some(before) = kept.specifications.insert(spec.id, spec) {
            kept.bytes = kept.bytes.saturating_sub(before.bytes());
        }
    }

    /// Takes one out, where it is here.
    pub(super) fn take(&self, id: EvaluationId) -> Option<EvaluationSpec> {
        let mut kept = self.kept();
        let taken = kept.specifications.remove(&id)?;
        kept.bytes = kept.bytes.saturating_sub(taken.bytes());
        Some(taken)
    }
}
