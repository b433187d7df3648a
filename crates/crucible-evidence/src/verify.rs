//! Whether an attestation is what one of the known keys signed, and what it then says.
//!
//! Invariant: the bytes are a stranger's. They are bounded before they are parsed, the signature is checked before the
//! statement is read, and nothing but a whole and consistent statement is handed out. It needs no network and no files.

use crate::canonical::Sha256Digest;
use crate::envelope::{self, MAX_ENVELOPE_BYTES, PAYLOAD_TYPE};
use crate::key::{KeyId, PublicKey};
use crate::predicate::IsolationAttestation;
use crate::statement::{self, PREDICATE_TYPE, STATEMENT_TYPE};
use crate::store::AttestationId;

/// An attestation that one of the known keys signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedStatement {
    /// Its id, by which runs name it.
    pub id: AttestationId,
    /// The key that signed it.
    pub keyid: KeyId,
    /// The digest of the fingerprint that it is about.
    pub subject: Sha256Digest,
    /// What it says.
    pub predicate: IsolationAttestation,
}

/// Why an attestation isn't to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// More bytes than any attestation has.
    #[error("it has {bytes} bytes, and no attestation has more than {MAX_ENVELOPE_BYTES}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not an envelope.
    #[error("it is not a DSSE envelope: {reason}")]
    NotAnEnvelope {
        /// Why not.
        reason: String,
    },
    /// An envelope of something else.
    #[error("its payload is of type {found:?}, not {PAYLOAD_TYPE}")]
    WrongPayloadType {
        /// Of what.
        found: String,
    },
    /// No known key signed it.
    #[error("no known key signed it; it names {found:?}")]
    UnknownKey {
        /// The ids of the keys that are said to have signed it.
        found: Vec<String>,
    },
    /// A known key is said to have signed it, and hasn't.
    #[error("the signature by the key {keyid} is wrong: the file was changed, or the key didn't sign it")]
    WrongSignature {
        /// The key.
        keyid: KeyId,
    },
    /// The payload isn't a statement as we write them.
    #[error("it is not an isolation attestation: {reason}")]
    NotAStatement {
        /// Why not.
        reason: String,
    },
    /// The payload is a statement of another kind.
    #[error("its statement is of type {found:?}, not {STATEMENT_TYPE}")]
    UnknownStatement {
        /// Of which.
        found: String,
    },
    /// The statement says something else.
    #[error("its predicate is of type {found:?}, not {PREDICATE_TYPE}")]
    UnknownPredicate {
        /// What.
        found: String,
    },
    /// The digest isn't that of the fingerprint.
    #[error("its subject is not the fingerprint that it holds")]
    WrongSubject,
    /// The counts aren't those of the verdicts.
    #[error("its counts are not those of its verdicts")]
    WrongCounts,
}

impl VerifyError {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotAnEnvelope { .. } => "not_an_envelope",
            Self::WrongPayloadType { .. } => "wrong_payload_type",
            Self::UnknownKey { .. } => "unknown_key",
            Self::WrongSignature { .. } => "wrong_signature",
            Self::NotAStatement { .. } => "not_a_statement",
            Self::UnknownStatement { .. } => "unknown_statement",
            Self::UnknownPredicate { .. } => "unknown_predicate",
            Self::WrongSubject => "wrong_subject",
            Self::WrongCounts => "wrong_counts",
        }
    }
}

/// Reads an attestation that one of these keys signed.
///
/// # Errors
/// Why it isn't to be believed.
pub fn verify(bytes: &[u8], keys: &[PublicKey]) -> Result<VerifiedStatement, VerifyError> {
    let (payload, keyid) = envelope::open(bytes, keys)?;
    let (subject, predicate) = statement::read(&payload)?;
    Ok(VerifiedStatement { id: AttestationId::of(bytes), keyid, subject, predicate })
}

#[cfg(test)]
mod tests;
