//! The Ed25519 keys: a node's own, which signs, and public ones, which verify.
//!
//! Invariant: a secret leaves this module only as the PEM text of its file, and never shows in `Debug`.

use crate::canonical::Sha256Digest;
use crucible_core::{Error, ErrorKind, Result};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use std::fmt;
use zeroize::Zeroizing;

/// The id of a key: SHA-256 of its public half as SPKI DER, in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Sha256Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A key that verifies.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    keyid: KeyId,
}

impl PublicKey {
    fn new(key: VerifyingKey) -> Result<Self> {
        let der = key.to_public_key_der().map_err(unwritable)?;
        Ok(Self { key, keyid: KeyId(Sha256Digest::of(der.as_bytes())) })
    }

    /// Reads a public key as SPKI PEM, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// `InvalidInput` for what isn't a public Ed25519 key, or is one for which anyone can sign.
    pub fn from_pem(text: &str) -> Result<Self> {
        let refuse = |message: &str| Error::new(ErrorKind::InvalidInput, "read a public key", message);
        let key = VerifyingKey::from_public_key_pem(text).map_err(|error| {
            refuse("this is not a public Ed25519 key in PEM")
                .with_source(error)
                .with_hint("it begins with -----BEGIN PUBLIC KEY-----; `crucible attest key` prints this node's")
        })?;
        if key.is_weak() {
            return Err(refuse("this key is a weak one, for which anyone can sign"));
        }
        Self::new(key)
    }

    /// The key as SPKI PEM.
    ///
    /// # Errors
    /// `Infrastructure` where it can't be written.
    pub fn to_pem(&self) -> Result<String> {
        self.key.to_public_key_pem(LineEnding::LF).map_err(unwritable)
    }

    /// Its id.
    #[must_use]
    pub const fn keyid(&self) -> KeyId {
        self.keyid
    }

    /// Whether this key signed these bytes.
    #[must_use]
    pub(crate) fn has_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(bytes, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.keyid)
    }
}

/// A node's own key.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl SigningKey {
    fn new(key: ed25519_dalek::SigningKey) -> Result<Self> {
        let public = PublicKey::new(key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// A new key of the kernel's random bytes.
    ///
    /// # Errors
    /// `Unavailable` where the kernel has no random bytes.
    pub(crate) fn generate() -> Result<Self> {
        let mut seed = Zeroizing::new([0_u8; 32]);
        let mut rest = seed.as_mut_slice();
        while !rest.is_empty() {
            let filled =
                rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()).map_err(|error| {
                    Error::new(ErrorKind::Unavailable, "make the signing key", "the kernel gives no random bytes")
                        .with_source(error)
                })?;
            rest = rest.split_at_mut(filled).1;
        }
        Self::new(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// Reads a private key as PKCS#8 PEM.
    ///
    /// # Errors
    /// `InvalidInput` for what isn't a private Ed25519 key. The text itself is in no message.
    pub(crate) fn from_pem(text: &str) -> Result<Self> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(text).map_err(|_| {
            Error::new(ErrorKind::InvalidInput, "read the signing key", "it is not a private Ed25519 key in PKCS#8 PEM")
        })?;
        Self::new(key)
    }

    /// The key as PKCS#8 PEM of version 1, without the public half: OpenSSL before 3.2 doesn't read it with one.
    ///
    /// # Errors
    /// `Infrastructure` where it can't be written.
    pub(crate) fn to_pem(&self) -> Result<Zeroizing<String>> {
        let bytes = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).map_err(unwritable)
    }

    /// The half that others may have.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public.clone()
    }

    /// Signs.
    pub(crate) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }

    #[cfg(test)]
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self::new(ed25519_dalek::SigningKey::from_bytes(seed)).unwrap()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, secret masked)", self.public.keyid)
    }
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Infrastructure, "write a key", "a key can't be written").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_differ() {
        let (one, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        assert_ne!(one.public_key(), other.public_key());
        let read = SigningKey::from_pem(&one.to_pem().unwrap()).unwrap();
        assert_eq!(read.public_key(), one.public_key());
        assert_eq!(PublicKey::from_pem(&one.public_key().to_pem().unwrap()).unwrap(), one.public_key());
        let signature = read.sign(b"text");
        assert!(one.public_key().has_signed(b"text", &signature));
        assert!(!one.public_key().has_signed(b"texT", &signature));
        assert!(!other.public_key().has_signed(b"text", &signature));
        assert!(!one.public_key().has_signed(b"text", &signature[1..]));
    }

    #[test]
    fn the_secret_never_shows() {
        let key = SigningKey::from_seed(&[0xab; 32]);
        let shown = format!("{key:?} {:?}", key.public_key());
        let pem = key.to_pem().unwrap();
        let secret = pem.lines().nth(1).unwrap();
        assert!(
            !shown.contains("ab, ab") && !shown.contains("abab") && !shown.contains("171") && !shown.contains(secret)
        );
        let wrong = pem.replace("PRIVATE", "STOLEN");
        let error = format!("{:?}", SigningKey::from_pem(&wrong).unwrap_err());
        assert!(!error.contains(secret), "{error}");
    }

    #[test]
    fn what_is_no_public_key_is_refused_clearly() {
        // The neutral element, for which a signature of zeros verifies anything.
        let weak = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n";
        let error = PublicKey::from_pem(weak).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("weak")), (ErrorKind::InvalidInput, true));
        let private = SigningKey::from_seed(&[1; 32]).to_pem().unwrap();
        for text in ["", "x", private.as_str(), &weak.replace("AQAAAA", "AQ")] {
            assert_eq!(PublicKey::from_pem(text).unwrap_err().kind(), ErrorKind::InvalidInput, "{text}");
        }
    }
}
