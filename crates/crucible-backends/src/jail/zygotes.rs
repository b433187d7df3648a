//! The interpreters that sandboxes are forked from: one for each language that was asked for, made when it is first asked for.
//!
//! Invariant: nothing of a guest's is in one. What it preloads is the operator's, by the language table.

use crate::ahead::AheadCommand;
use crate::native::start_error;
use crucible_core::{Error, ErrorKind, ProjectId, Result};
use crucible_jail::host::Launcher;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;

/// How long an interpreter may take to be initialised, with what it preloads.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one that couldn't be made isn't tried again.
const PAUSE: Duration = Duration::from_secs(60);
/// After which age another one takes its place. Those that are forked from one have the addresses of their memory and the seed
/// of their hashes in common.
const LONGEST_USE: Duration = Duration::from_secs(300);
/// The most that are kept.
const MOST: usize = 8;

/// An interpreter that sandboxes are forked from.
#[derive(Clone)]
pub(super) struct Zygote {
    pub(super) launcher: Arc<Launcher>,
    pub(super) command: Arc<AheadCommand>,
    /// When another one takes its place.
    pub(super) until: Instant,
}

impl Zygote {
    pub(super) fn new(launcher: Launcher, command: AheadCommand) -> Self {
        Self { launcher: Arc::new(launcher), command: Arc::new(command), until: Instant::now() + LONGEST_USE }
    }
}

/// All of a backend.
#[derive(Default)]
pub(super) struct Zygotes(Mutex<Vec<Arc<Known>>>);

/// What one is made for: sandboxes with a prepared root, of one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) root: u32,
    pub(super) project: Option<ProjectId>,
}

struct Known {
    of: Of,
    since: Instant,
    /// Or why there is none.
    zygote: OnceCell<Result<Zygote, String>>,
}

impl Known {
    /// Whether it is used for new sandboxes, or is being made.
    fn is_good(&self) -> bool {
        match self.zygote.get() {
            Some(Ok(zygote)) => Instant::now() < zygote.until && !zygote.launcher.has_ended(),
            Some(Err(_)) => self.since.elapsed() < PAUSE,
            None => true,
        }
    }
}

impl Zygotes {
    fn known(&self) -> MutexGuard<'_, Vec<Arc<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is made for that, made by `make` where there is none that is young enough.
    pub(super) async fn get(&self, of: Of, make: impl Future<Output = Result<Zygote>>) -> Result<Zygote> {
        let slot = {
            let mut all = self.known();
            all.retain(|known| known.is_good());
            match all.iter().find(|known| known.of == of) {
                Some(found) => Arc::clone(found),
                None => {
                    while all.len() >= MOST {
                        all.remove(0);
                    }
                    let slot = Arc::new(Known { of, since: Instant::now(), zygote: OnceCell::new() });
                    all.push(Arc::clone(&slot));
                    slot
                }
            }
        };
        let made = slot.zygote.get_or_init(|| async {
            let made = tokio::time::timeout(PATIENCE, make).await.unwrap_or_else(|_| {
                let message = format!("it wasn't initialised within {} seconds", PATIENCE.as_secs());
                Err(Error::new(ErrorKind::Unavailable, MAKE, message))
            });
            made.map_err(|error| error.to_string())
        });
        made.await.clone().map_err(|why| Error::new(ErrorKind::Unavailable, MAKE, why))
    }

    /// Whether one is there that is young enough, or couldn't be made a moment ago.
    pub(super) fn has(&self, of: &Of) -> bool {
        self.known().iter().any(|known| known.of == *of && known.zygote.initialized() && known.is_good())
    }

    /// The one that was made for that, if it lives.
    pub(super) fn at_hand(&self, of: &Of) -> Option<Zygote> {
        let all = self.known();
        let zygote = all.iter().find(|known| known.of == *of)?.zygote.get()?.as_ref().ok()?;
        (!zygote.launcher.has_ended()).then(|| zygote.clone())
    }

    /// Why some can't be made, or couldn't do their work, in the last minute.
    pub(super) fn failures(&self) -> BTreeSet<String> {
        let all = self.known();
        let failed = all.iter().filter(|known| known.is_good()).filter_map(|known| known.zygote.get()?.as_ref().err());
        failed.cloned().collect()
    }

    /// Uses the one for that no more: it couldn't do its work.
    pub(super) fn give_up(&self, of: &Of, why: &Error) {
        let mut all = self.known();
        all.retain(|known| known.of != *of);
        let failed =
            Known { of: of.clone(), since: Instant::now(), zygote: OnceCell::new_with(Some(Err(why.to_string()))) };
        all.push(Arc::new(failed));
    }
}

const MAKE: &str = "make an interpreter ready";

/// Turns what the jail says into an error of this step.
pub(super) fn failed(error: crucible_jail::host::JailError) -> Error {
    start_error(MAKE, error)
}
