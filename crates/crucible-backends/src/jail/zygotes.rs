//! The interpreters that sandboxes are forked from: one for each language that was asked for, made when it is first asked for.
//!
//! Invariant: nothing of a guest's is in one. What it preloads is the operator's, by the language table.

use crate::native::{AheadCommand, start_error};
use crucible_core::{Error, ErrorKind, ProjectId, Result};
use crucible_jail::host::Launcher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

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
}

/// All of a backend.
#[derive(Default)]
pub(super) struct Zygotes(Mutex<Vec<Known>>);

/// What one is made for: sandboxes with a prepared root, of one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) root: u32,
    pub(super) project: Option<ProjectId>,
}

struct Known {
    of: Of,
    made: Instant,
    /// Or why there is none.
    zygote: Result<Zygote, String>,
}

impl Zygotes {
    /// The one for sandboxes with that prepared root, made by `make` where there is none that is young enough.
    pub(super) async fn get(&self, of: Of, make: impl Future<Output = Result<Zygote>>) -> Result<Zygote> {
        let mut known = self.0.lock().await;
        known.retain(|known| match &known.zygote {
            Ok(zygote) => known.made.elapsed() < LONGEST_USE && !zygote.launcher.has_ended(),
            Err(_) => known.made.elapsed() < PAUSE,
        });
        if let Some(found) = known.iter().find(|known| known.of == of) {
            return found.zygote.clone().map_err(|why| Error::new(ErrorKind::Unavailable, MAKE, why));
        }
        let made = tokio::time::timeout(PATIENCE, make).await.unwrap_or_else(|_| {
            let message = format!("it wasn't initialised within {} seconds", PATIENCE.as_secs());
            Err(Error::new(ErrorKind::Unavailable, MAKE, message))
        });
        while known.len() >= MOST {
            known.remove(0);
        }
        let zygote = made.as_ref().map(Zygote::clone).map_err(ToString::to_string);
        known.push(Known { of, made: Instant::now(), zygote });
        made
    }

    /// The one that was made for sandboxes with that prepared root, if it lives.
    pub(super) async fn known(&self, of: &Of) -> Option<Zygote> {
        let known = self.0.lock().await;
        let zygote = known.iter().find(|known| known.of == *of)?.zygote.as_ref().ok()?;
        (!zygote.launcher.has_ended()).then(|| zygote.clone())
    }

    /// Uses the one of that root no more: it couldn't do its work.
    pub(super) async fn give_up(&self, of: &Of, why: &Error) {
        let mut known = self.0.lock().await;
        if let Some(known) = known.iter_mut().find(|known| known.of == *of) {
            (known.zygote, known.made) = (Err(why.to_string()), Instant::now());
        }
    }
}

const MAKE: &str = "make an interpreter ready";

/// Turns what the jail says into an error of this step.
pub(super) fn failed(error: crucible_jail::host::JailError) -> Error {
    start_error(MAKE, error)
}
