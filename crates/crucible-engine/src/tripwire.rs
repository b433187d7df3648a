//! Plants a run's tripwires with fresh secrets, and puts together what the host saw of them.
//!
//! Invariant: a secret is made for one run and opens nothing anywhere. It isn't in the record.
//!
//! A secret is found in the guest's output and files only as it is: one that was encoded first isn't recognised there, though
//! the file that it was read from was touched all the same.

use crate::patience::{SET_UP, within};
use crucible_core::{
    CollectedFile, GuestPath, Result, Sandbox, SandboxId, TouchKind, TouchRecord, Touched, Tripwire, TripwireRecord,
    TripwireWatch,
};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SECRET_LENGTH: usize = 40;
/// How often is looked whether one was touched, where that ends the run.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";

/// The tripwires of one run.
pub(crate) struct Tripwires {
    all: Vec<Planned>,
    /// When each secret was first seen in the output.
    leaked: Mutex<Vec<Option<Instant>>>,
}

struct Planned {
    tripwire: Tripwire,
    /// Nothing is told by a socket.
    secret: Option<String>,
}

/// Armed tripwires.
pub(crate) struct Armed {
    watch: Option<Box<dyn TripwireWatch>>,
    touched: Vec<Option<Touched>>,
    since: Instant,
}

impl Armed {
    /// Takes down what was touched until now, and goes on watching.
    pub(crate) fn note(&mut self) {
        if let Some(watch) = &mut self.watch {
            self.touched = watch.touched();
        }
    }

    /// Ends the watching: what is touched from now on is touched by Crucible.
    pub(crate) fn disarm(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            self.touched = watch.touched();
        }
    }
}

impl Tripwires {
    /// Makes a secret for each.
    pub(crate) fn new(tripwires: &[Tripwire]) -> Self {
        let all: Vec<_> = tripwires
            .iter()
            .map(|tripwire| {
                let secret = match tripwire {
                    Tripwire::Credentials { .. } | Tripwire::File { .. } | Tripwire::Environment { .. } => {
                        Some(secret())
                    }
                    Tripwire::Listener { .. } => None,
                };
                Planned { tripwire: tripwire.clone(), secret }
            })
            .collect();
        let leaked = Mutex::new(vec![None; all.len()]);
        Self { all, leaked }
    }

    /// Writes the files.
    ///
    /// # Errors
    /// What the backend failed with.
    pub(crate) async fn plant(&self, sandbox: &dyn Sandbox) -> Result<()> {
        for Planned { tripwire, secret } in &self.all {
            let (Some(path), Some(secret)) = (tripwire.file(), secret) else { continue };
            let content = match tripwire {
                Tripwire::Credentials { .. } => credentials(secret),
                Tripwire::File { .. } | Tripwire::Environment { .. } | Tripwire::Listener { .. } => {
                    format!("{secret}\n")
                }
            };
            within(SET_UP, "plant a tripwire", sandbox.write_file(path, &mut content.as_bytes(), false)).await?;
        }
        Ok(())
    }

    /// Adds the variables to a command's environment.
    pub(crate) fn add_variables(&self, environment: &mut BTreeMap<String, String>) {
        for Planned { tripwire, secret } in &self.all {
            if let (Tripwire::Environment { name }, Some(secret)) = (tripwire, secret) {
                environment.insert(name.clone(), secret.clone());
            }
        }
    }

    /// Has the places watched from now on, which is before the guest's command starts.
    ///
    /// # Errors
    /// What the backend failed with.
    pub(crate) async fn arm(&self, sandbox: &dyn Sandbox) -> Result<Armed> {
        let places: Vec<_> = self.all.iter().filter_map(|planned| planned.tripwire.watched()).collect();
        let watch = match places.as_slice() {
            [] => None,
            places => Some(within(SET_UP, "watch the tripwires", sandbox.watch(places)).await?),
        };
        Ok(Armed { watch, touched: Vec::new(), since: Instant::now() })
    }

    /// Waits until one was touched, and says which. Returns within [`BETWEEN_LOOKS`] of that, or never.
    pub(crate) async fn until_touched(&self, armed: &mut Armed) -> &str {
        loop {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            if let Some(name) = self.first_touched(armed) {
                return name;
            }
        }
    }

    fn first_touched(&self, armed: &mut Armed) -> Option<&str> {
        let mut touched = armed.watch.as_mut().map(|watch| watch.touched()).unwrap_or_default().into_iter();
        let leaked = self.leaked();
        let is_touched = |(index, planned): &(usize, &Planned)| {
            let in_sandbox = planned.tripwire.watched().and_then(|_| touched.next().flatten()).is_some();
            in_sandbox || leaked.get(*index).is_some_and(Option::is_some)
        };
        self.all.iter().enumerate().find(is_touched).map(|(_, planned)| planned.tripwire.name())
    }

    /// Looks for secrets in output that has grown beyond `before` bytes.
    pub(crate) fn look_into(&self, output: &[u8], before: usize) {
        // The beginning of a secret may have come earlier.
        let fresh = output.get(before.saturating_sub(SECRET_LENGTH - 1)..).unwrap_or_default();
        for (index, secret) in self.secrets() {
            if holds(fresh, secret) {
                let mut leaked = self.leaked();
                if let Some(first @ None) = leaked.get_mut(index) {
                    *first = Some(Instant::now());
                }
            }
        }
    }

    /// Whether a file is one that was planted.
    pub(crate) fn planted(&self, path: &GuestPath) -> bool {
        self.all.iter().any(|planned| planned.tripwire.file() == Some(path))
    }

    /// What the host saw until they were disarmed. The files are those that came out.
    pub(crate) fn records(&self, armed: &Armed, files: &[CollectedFile]) -> Vec<TripwireRecord> {
        let since = armed.since;
        let at = |instant: Instant| Some(instant.saturating_duration_since(since));
        let mut touched = armed.touched.iter().copied();
        let leaked = self.leaked();
        let record = |(index, planned): (usize, &Planned)| {
            let watched = planned.tripwire.watched().and_then(|_| touched.next().flatten());
            let in_output = leaked.get(index).copied().flatten();
            let in_file = || {
                let secret = planned.secret.as_ref()?;
                files.iter().any(|file| holds(&file.content, secret)).then_some(())
            };
            // What was touched in the sandbox was so before anything came out of it.
            let touched = match (watched, in_output) {
                (Some(touch), _) => Some(TouchRecord { how: touch.how, first_at: at(touch.at) }),
                (None, Some(instant)) => Some(TouchRecord { how: TouchKind::SecretInOutput, first_at: at(instant) }),
                (None, None) => in_file().map(|()| TouchRecord { how: TouchKind::SecretInFile, first_at: None }),
            };
            TripwireRecord { name: planned.tripwire.name().to_owned(), kind: planned.tripwire.kind(), touched }
        };
        self.all.iter().enumerate().map(record).collect()
    }

    fn secrets(&self) -> impl Iterator<Item = (usize, &str)> {
        self.all.iter().enumerate().filter_map(|(index, planned)| Some((index, planned.secret.as_deref()?)))
    }

    fn leaked(&self) -> MutexGuard<'_, Vec<Option<Instant>>> {
        self.leaked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Letters that nobody can guess: from two ids, of which each holds 74 random bits.
fn secret() -> String {
    let ids = format!("crucible tripwire {} {}", SandboxId::generate(), SandboxId::generate());
    let mut bytes = [0; SECRET_LENGTH];
    blake3::Hasher::new().update(ids.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 64))).copied().map(char::from).collect()
}

/// A file as the tools of a well-known cloud keep it.
fn credentials(secret: &str) -> String {
    let name: String = secret.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    let name = name.to_ascii_uppercase();
    format!("[default]\naws_access_key_id = AKIA{name}\naws_secret_access_key = {secret}\n")
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_two_secrets_are_alike() {
        let secrets: std::collections::BTreeSet<_> = (0..100).map(|_| secret()).collect();
        assert_eq!(secrets.len(), 100);
        assert!(secrets.iter().all(|secret| secret.len() == SECRET_LENGTH));
    }

    #[test]
    fn credentials_hold_the_whole_secret() {
        let secret = secret();
        assert!(credentials(&secret).contains(&secret));
    }

    proptest! {
        #[test]
        fn a_secret_is_found_however_the_output_comes_in_pieces(
            before in proptest::collection::vec(any::<u8>(), 0..100),
            after in proptest::collection::vec(any::<u8>(), 0..100),
            pieces in proptest::collection::vec(1_usize..60, 1..10),
        ) {
            let all = [Tripwire::Environment { name: "TOKEN".to_owned() }];
            let tripwires = Tripwires::new(&all);
            let mut environment = BTreeMap::new();
            tripwires.add_variables(&mut environment);
            let output = [before.as_slice(), environment["TOKEN"].as_bytes(), after.as_slice()].concat();
            let (mut end, mut pieces) = (0, pieces.into_iter().cycle());
            while end < output.len() {
                let earlier = end;
                end = output.len().min(end + pieces.next().unwrap_or(1));
                tripwires.look_into(&output[..end], earlier);
            }
            prop_assert!(tripwires.leaked()[0].is_some());
            let other = Tripwires::new(&all);
            other.look_into(&output, 0);
            prop_assert!(other.leaked()[0].is_none());
        }
    }
}
