//! Attestations as files: a folder for each fingerprint's digest, in it one file for each attestation, named so that the
//! latest one comes last.
//!
//! Invariant: what a name or a folder says is believed only where the signed statement says the same. A file that this
//! node's key didn't sign counts for nothing, and is told. Nothing is deleted or replaced.

use crate::canonical::Sha256Digest;
use crate::envelope::MAX_ENVELOPE_BYTES;
use crate::key::PublicKey;
use crate::private_folder::{PrivateFolder, Readers};
use crate::verify::{VerifiedStatement, verify};
use crucible_core::{Error, ErrorKind, HostPath, Result};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How many broken files are passed over before a search for the latest attestation gives up.
const MOST_LOOKED_AT: usize = 16;
/// The most fingerprints, and attestations of one fingerprint, that are listed.
const MOST_LISTED: usize = 4096;

/// What names an attestation: SHA-256 of its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttestationId(Sha256Digest);

impl AttestationId {
    /// The id of an envelope.
    #[must_use]
    pub fn of(envelope: &[u8]) -> Self {
        Self(Sha256Digest::of(envelope))
    }
}

impl fmt::Display for AttestationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// An attestation that this node made and keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAttestation {
    /// Its file.
    pub path: HostPath,
    /// What it says.
    pub statement: VerifiedStatement,
}

/// A file that counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenFile {
    /// Its path.
    pub path: HostPath,
    /// Why.
    pub reason: String,
}

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The attestations, the latest one first.
    pub attestations: Vec<StoredAttestation>,
    /// What lies beside them.
    pub broken: Vec<BrokenFile>,
}

/// When a folder was last changed, as its file system tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

/// The folder with a node's attestations. It need not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationStore {
    path: HostPath,
}

impl AttestationStore {
    /// The store in that folder.
    #[must_use]
    pub const fn new(path: HostPath) -> Self {
        Self { path }
    }

    /// Keeps an envelope that this key signed.
    ///
    /// # Errors
    /// `InvalidInput` for one that it didn't; `Unavailable` where others could write to the folder; `Io` where it can't be
    /// written.
    pub fn store(&self, envelope: &[u8], key: &PublicKey) -> Result<StoredAttestation> {
        let statement = verify(envelope, std::slice::from_ref(key)).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "store an attestation", "this is not an attestation of this node")
                .with_source(error)
        })?;
        let path = self.folder(statement.subject);
        // Each on its own, so that both are made with the right mode and looked at.
        let opened = PrivateFolder::open_or_create(self.path.as_path());
        let folder = opened.and_then(|_| PrivateFolder::open_or_create(&path)).map_err(|error| self.unusable(error))?;
        let name = file_name(&statement);
        folder.publish(&name, envelope).map_err(|error| self.unusable(error))?;
        Ok(StoredAttestation { path: HostPath::new(path.join(name)), statement })
    }

    /// The latest attestation of what has this fingerprint, with what had to be passed over.
    ///
    /// # Errors
    /// `Unavailable` where others could write to the folder; `Io` where it can't be read.
    pub fn latest(
        &self,
        fingerprint: Sha256Digest,
        key: &PublicKey,
    ) -> Result<(Option<StoredAttestation>, Vec<BrokenFile>)> {
        let mut broken = Vec::new();
        let Some(folder) = self.open(&self.folder(fingerprint))? else {
            return Ok((None, broken));
        };
        let names = folder.names(MOST_LOOKED_AT).map_err(|error| self.unusable(error))?;
        for name in names.iter().rev() {
            match read(&folder, name, fingerprint, key) {
                Ok(found) => return Ok((Some(found), broken)),
                Err(file) => broken.push(file),
            }
        }
        Ok((None, broken))
    }

    /// Everything that is kept.
    ///
    /// # Errors
    /// As [`AttestationStore::latest`].
    pub fn list(&self, key: &PublicKey) -> Result<Listing> {
        let mut listing = Listing::default();
        let Some(root) = self.open(self.path.as_path())? else {
            return Ok(listing);
        };
        for name in root.names(MOST_LISTED).map_err(|error| self.unusable(error))? {
            let path = root.path().join(&name);
            let broken = |reason: String| BrokenFile { path: HostPath::new(&path), reason };
            let Ok(fingerprint) = Sha256Digest::from_str(&name) else {
                listing.broken.push(broken("it is not named after a fingerprint".to_owned()));
                continue;
            };
            let names = PrivateFolder::open(&path).and_then(|folder| Ok((folder.names(MOST_LISTED)?, folder)));
            match names {
                Ok((names, folder)) => {
                    for name in names {
                        match read(&folder, &name, fingerprint, key) {
                            Ok(found) => listing.attestations.push(found),
                            Err(file) => listing.broken.push(file),
                        }
                    }
                }
                Err(error) => listing.broken.push(broken(error.to_string())),
            }
        }
        let order = |stored: &StoredAttestation| (stored.statement.predicate.finished, stored.statement.id);
        listing.attestations.sort_by_key(|stored| std::cmp::Reverse(order(stored)));
        Ok(listing)
    }

    /// The envelope of an attestation, byte for byte, by its id as text; `None` where there is none.
    ///
    /// # Errors
    /// As [`AttestationStore::latest`].
    pub fn envelope(&self, id: &str) -> Result<Option<Vec<u8>>> {
        let Some(digest) = id.strip_prefix("sha256:").and_then(|digest| Sha256Digest::from_str(digest).ok()) else {
            return Ok(None);
        };
        let Some(root) = self.open(self.path.as_path())? else { return Ok(None) };
        let end = format!("-{digest}.json");
        for name in root.names(MOST_LISTED).map_err(|error| self.unusable(error))? {
            let Ok(folder) = PrivateFolder::open(&root.path().join(&name)) else { continue };
            let names = folder.names(MOST_LISTED).map_err(|error| self.unusable(error))?;
            for name in names.iter().filter(|name| name.ends_with(&end)) {
                let bytes =
                    folder.read(name, Readers::Any, MAX_ENVELOPE_BYTES).map_err(|error| self.unusable(error))?;
                if AttestationId::of(&bytes) == AttestationId(digest) {
                    return Ok(Some(bytes));
                }
            }
        }
        Ok(None)
    }

    /// Whether anything was ever stored.
    pub(crate) fn exists(&self) -> bool {
        rustix::fs::stat(self.path.as_path()).is_ok()
    }

    /// When the folder of a fingerprint was last changed; `None` where there is none.
    pub(crate) fn changed(&self, fingerprint: Sha256Digest) -> Option<Change> {
        let stat = rustix::fs::stat(self.folder(fingerprint)).ok()?;
        // The kernel's types differ between architectures.
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Some(Change { seconds: stat.st_mtime, nanoseconds })
    }

    fn folder(&self, fingerprint: Sha256Digest) -> PathBuf {
        self.path.as_path().join(fingerprint.to_string())
    }

    fn open(&self, path: &Path) -> Result<Option<PrivateFolder>> {
        match PrivateFolder::open(path) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }

    fn unusable(&self, error: io::Error) -> Error {
        let operation = "use the stored attestations";
        if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            return Error::new(ErrorKind::Unavailable, operation, format!("the attestations can't be used: {error}"));
        }
        let message = format!("the attestations in {} can't be read or written", self.path);
        Error::new(ErrorKind::Io, operation, message).with_source(error)
    }
}

/// The name of an attestation's file: the later it finished, the later in order.
fn file_name(statement: &VerifiedStatement) -> String {
    format!("{}-{}.json", statement.predicate.finished.as_name(), statement.id.0)
}

fn read(
    folder: &PrivateFolder,
    name: &str,
    fingerprint: Sha256Digest,
    key: &PublicKey,
) -> Result<StoredAttestation, BrokenFile> {
    let path = HostPath::new(folder.path().join(name));
    let broken = |reason: String| BrokenFile { path: path.clone(), reason };
    let bytes = folder.read(name, Readers::Any, MAX_ENVELOPE_BYTES).map_err(|error| broken(error.to_string()))?;
    let statement = verify(&bytes, std::slice::from_ref(key)).map_err(|error| broken(error.to_string()))?;
    if statement.subject != fingerprint {
        return Err(broken("it is about another fingerprint than its folder".to_owned()));
    }
    if file_name(&statement) != name {
        return Err(broken("its name is not the one that it was stored under".to_owned()));
    }
    Ok(StoredAttestation { path, statement })
}

#[cfg(test)]
mod tests;
