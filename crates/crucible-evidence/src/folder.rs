//! The folder with this node's key and its attestations.
//!
//! Invariant: there is one key. It is made on first use, and of two that are made at once one stays.

use crate::key::{PublicKey, SigningKey};
use crate::private_folder::{PrivateFolder, Readers};
use crate::store::AttestationStore;
use crucible_core::{Error, ErrorKind, HostPath, Result};
use std::io;
use std::path::PathBuf;
use zeroize::Zeroizing;

const KEY_FOLDER: &str = "key";
const PRIVATE: &str = "private.pem";
const PUBLIC: &str = "public.pem";
const ATTESTATIONS: &str = "attestations";
/// No Ed25519 key in PEM is as long.
const MAX_PEM_BYTES: usize = 4096;

/// The folder with this node's key and its attestations. Nothing of it need be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFolder {
    path: HostPath,
}

impl EvidenceFolder {
    /// The folder of that path.
    #[must_use]
    pub const fn new(path: HostPath) -> Self {
        Self { path }
    }

    /// Its path.
    #[must_use]
    pub const fn path(&self) -> &HostPath {
        &self.path
    }

    fn key_folder(&self) -> PathBuf {
        self.path.as_path().join(KEY_FOLDER)
    }

    /// This node's key, made where there is none.
    ///
    /// # Errors
    /// `Unavailable` where it could have been read or written by others, with the mend; `InvalidInput` where it is no key;
    /// `Io` where it can't be read or made.
    pub fn signing_key(&self) -> Result<SigningKey> {
        let folder = PrivateFolder::open_or_create(&self.key_folder()).map_err(|error| self.unusable(error))?;
        let key = match self.read_private(&folder)? {
            Some(key) => key,
            None => {
                let pem = SigningKey::generate()?.to_pem()?;
                folder.publish(PRIVATE, pem.as_bytes()).map_err(|error| self.unusable(error))?;
                // Which may be another one, if somebody else was faster.
                self.read_private(&folder)?.ok_or_else(|| self.unusable(io::ErrorKind::NotFound.into()))?
            }
        };
        let public = key.public_key();
        match self.read_public(&folder)? {
            None => {
                folder.publish(PUBLIC, public.to_pem()?.as_bytes()).map_err(|error| self.unusable(error))?;
            }
            Some(beside) if beside == public => {}
            Some(beside) => {
                let message = format!("the public key beside the signing key is of another one, {}", beside.keyid());
                let path = folder.path().join(PUBLIC);
                return Err(Error::new(ErrorKind::Unavailable, "read the signing key", message)
                    .with_hint(format!("find out who put it there; without {} it is made anew", path.display())));
            }
        }
        Ok(key)
    }

    /// This node's public key; `None` where no key was made yet.
    ///
    /// # Errors
    /// As [`EvidenceFolder::signing_key`].
    pub fn public_key(&self) -> Result<Option<PublicKey>> {
        match PrivateFolder::open(&self.key_folder()) {
            Ok(folder) => self.read_public(&folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }

    /// Where the attestations are.
    #[must_use]
    pub fn store(&self) -> AttestationStore {
        AttestationStore::new(HostPath::new(self.path.as_path().join(ATTESTATIONS)))
    }

    fn read_private(&self, folder: &PrivateFolder) -> Result<Option<SigningKey>> {
        let bytes = match folder.read(PRIVATE, Readers::None, MAX_PEM_BYTES) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unusable(error)),
        };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        SigningKey::from_pem(text).map(Some).map_err(|error| self.broken(PRIVATE, error))
    }

    fn read_public(&self, folder: &PrivateFolder) -> Result<Option<PublicKey>> {
        match folder.read(PUBLIC, Readers::Any, MAX_PEM_BYTES) {
            Ok(bytes) => {
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                PublicKey::from_pem(text).map(Some).map_err(|error| self.broken(PUBLIC, error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.unusable(error)),
        }
    }

    fn broken(&self, name: &str, error: Error) -> Error {
        let path = self.key_folder().join(name);
        Error::new(error.kind(), "read the key", format!("{} holds no key", path.display())).with_source(error)
    }

    fn unusable(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            let message = format!("this node's signing key can't be used: {error}");
            return Error::new(ErrorKind::Unavailable, "use the signing key", message).with_hint(
                "put it right where nobody else can have had the key; else move the key folder away, and a new one is made",
            );
        }
        let message = format!("this node's key in {} can't be read or made", self.key_folder().display());
        Error::new(ErrorKind::Io, "use the signing key", message).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Barrier;

    fn folder() -> (tempfile::TempDir, EvidenceFolder) {
        let root = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::new(HostPath::new(root.path().join("evidence")));
        (root, folder)
    }

    #[test]
    fn the_key_is_made_once_and_is_its_owners_alone() {
        let (_root, folder) = folder();
        assert_eq!(folder.public_key().unwrap(), None);
        assert!(!folder.path().as_path().exists(), "looking made something");
        let public = folder.signing_key().unwrap().public_key();
        assert_eq!(folder.signing_key().unwrap().public_key(), public);
        assert_eq!(folder.public_key().unwrap(), Some(public.clone()));
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.key_folder()), 0o700);
        assert_eq!(mode(folder.key_folder().join(PRIVATE)), 0o600);
        // What a crash between the two files would leave is mended.
        fs::remove_file(folder.key_folder().join(PUBLIC)).unwrap();
        assert_eq!(folder.public_key().unwrap(), None);
        folder.signing_key().unwrap();
        assert_eq!(folder.public_key().unwrap(), Some(public));
    }

    #[test]
    fn of_many_first_uses_at_once_one_key_comes() {
        for _ in 0..10 {
            let (_root, folder) = folder();
            let start = Barrier::new(8);
            let keys: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            folder.signing_key().unwrap().public_key()
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
            assert_eq!(fs::read_dir(folder.key_folder()).unwrap().count(), 2);
        }
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_a_link_is_refused() {
        let (root, folder) = folder();
        folder.signing_key().unwrap();
        let private = folder.key_folder().join(PRIVATE);
        fs::set_permissions(&private, Permissions::from_mode(0o644)).unwrap();
        let error = folder.signing_key().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("others may read") && error.hint().is_some(), "{error}");
        fs::set_permissions(&private, Permissions::from_mode(0o600)).unwrap();
        fs::rename(&private, root.path().join("elsewhere")).unwrap();
        symlink(root.path().join("elsewhere"), &private).unwrap();
        assert!(folder.signing_key().unwrap_err().to_string().contains("is a link"));
        fs::remove_file(&private).unwrap();
        fs::rename(root.path().join("elsewhere"), &private).unwrap();
        fs::set_permissions(folder.key_folder(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(folder.signing_key().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(folder.public_key().unwrap_err().kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_public_key_of_another_key_is_not_passed_over() {
        let (_root, folder) = folder();
        folder.signing_key().unwrap();
        let other = SigningKey::from_seed(&[3; 32]).public_key().to_pem().unwrap();
        fs::write(folder.key_folder().join(PUBLIC), other).unwrap();
        assert!(folder.signing_key().unwrap_err().to_string().contains("of another one"));
    }

    #[test]
    fn what_is_no_key_is_an_error_and_stays() {
        let (_root, folder) = folder();
        folder.signing_key().unwrap();
        for (name, content) in [(PRIVATE, &b"\xff"[..]), (PRIVATE, b""), (PUBLIC, b"x")] {
            let path = folder.key_folder().join(name);
            let before = fs::read(&path).unwrap();
            fs::write(&path, content).unwrap();
            assert_eq!(folder.signing_key().unwrap_err().kind(), ErrorKind::InvalidInput);
            assert_eq!(fs::read(&path).unwrap(), content);
            fs::write(&path, before).unwrap();
        }
        folder.signing_key().unwrap();
    }
}
