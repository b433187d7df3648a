//! Which attestation covers a run. The engine asks this once per run.
//!
//! Invariant: an answer is an attestation that this node's key signed, about exactly the run's fingerprint, or none. What
//! goes wrong means that there is none; `crucible attest list` says what is wrong. The node is read once, and only where
//! there are attestations at all.

use crate::canonical::Sha256Digest;
use crate::fingerprint::{BackendFacts, Fingerprint, PolicyFacts, Protection};
use crate::folder::EvidenceFolder;
use crate::node::Node;
use crate::store::{AttestationStore, Change};
use crucible_core::HostPath;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Knows which attestation covers a run.
pub trait AttestationIndex: Send + Sync {
    /// The id of the latest attestation of exactly this; `None` where there is none. Must be quick, for every run asks.
    fn latest(&self, protection: &Protection<'_>) -> Option<String>;
}

/// No attestations at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAttestations;

impl AttestationIndex for NoAttestations {
    fn latest(&self, _protection: &Protection<'_>) -> Option<String> {
        None
    }
}

/// The attestations in a folder, looked up again when the folder changes.
#[derive(Debug)]
pub struct StoredAttestations {
    folder: EvidenceFolder,
    store: AttestationStore,
    root: HostPath,
    node: Arc<OnceLock<Option<Node>>>,
    known: Mutex<Vec<Known>>,
}

/// One kind of protection, with what was found for it.
#[derive(Debug)]
struct Known {
    backend: BackendFacts,
    policy: PolicyFacts,
    fingerprint: Sha256Digest,
    found: Option<Found>,
}

#[derive(Debug)]
struct Found {
    change: Change,
    id: Option<String>,
}

/// How many kinds of protection are remembered. A service has a few.
const MOST_KNOWN: usize = 64;
/// File systems tell the time of a change by a clock that ticks this often at the least.
const TICK: Duration = Duration::from_secs(2);

impl StoredAttestations {
    /// The attestations of the node whose files are below `root`: `/`, but for tests.
    #[must_use]
    pub fn new(folder: EvidenceFolder, root: HostPath) -> Self {
        let (store, node) = (folder.store(), Arc::new(OnceLock::new()));
        if store.exists() {
            let (node, root) = (Arc::clone(&node), root.clone());
            // Beside the making of the first sandbox, which takes longer. Without a thread, it is read when it is asked for.
            let _ = std::thread::Builder::new().name("node".to_owned()).spawn(move || {
                node.get_or_init(|| Node::read(&root).ok());
            });
        }
        Self { folder, store, root, node, known: Mutex::default() }
    }

    fn fingerprint(&self, backend: &BackendFacts, policy: &PolicyFacts) -> Option<Sha256Digest> {
        let node = self.node.get_or_init(|| Node::read(&self.root).ok()).clone()?;
        Fingerprint { node, backend: backend.clone(), policy: policy.clone() }.digest().ok()
    }

    fn look_up(&self, fingerprint: Sha256Digest) -> Option<String> {
        let key = self.folder.public_key().ok()??;
        let (found, _broken) = self.store.latest(fingerprint, &key).ok()?;
        Some(found?.statement.id.to_string())
    }
}

impl AttestationIndex for StoredAttestations {
    fn latest(&self, protection: &Protection<'_>) -> Option<String> {
        if !self.store.exists() {
            return None;
        }
        let (backend, policy) = (BackendFacts::of(protection), PolicyFacts::of(protection.policy));
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match all.iter().position(|known| known.backend == backend && known.policy == policy) {
            Some(place) => place,
            None => {
                let fingerprint = self.fingerprint(&backend, &policy)?;
                if all.len() >= MOST_KNOWN {
                    all.clear();
                }
                all.push(Known { backend, policy, fingerprint, found: None });
                all.len() - 1
            }
        };
        let known = all.get_mut(place)?;
        let Some(change) = self.store.changed(known.fingerprint) else {
            known.found = None;
            return None;
        };
        if let Some(found) = known.found.as_ref().filter(|found| found.change == change) {
            return found.id.clone();
        }
        let id = self.look_up(known.fingerprint);
        // Within one tick of the clock a second change wouldn't show.
        known.found = is_settled(change).then(|| Found { change, id: id.clone() });
        id
    }
}

fn is_settled(change: Change) -> bool {
    let changed = u64::try_from(change.seconds).map(Duration::from_secs).unwrap_or_default();
    SystemTime::now().duration_since(UNIX_EPOCH + changed + TICK).is_ok()
}

#[cfg(test)]
mod tests;
