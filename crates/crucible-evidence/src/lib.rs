//! What a node's isolation was shown to hold, signed, and found again for the runs that it covers.
//!
//! A [`Fingerprint`] is everything that must be the same for an attestation to cover a run. An attestation is an in-toto
//! statement about one fingerprint with the verdicts of the attack suite, in a DSSE envelope signed with this node's key.
//!
//! Invariant: nothing is trusted that [`verify`] didn't accept, wherever it lies. What a statement says is the word of
//! whoever holds the key; this crate runs no probe and decides no verdict itself.

mod attest;
mod canonical;
mod envelope;
mod fingerprint;
mod folder;
mod index;
mod key;
mod node;
mod predicate;
mod private_folder;
mod self_test;
mod statement;
mod store;
mod timestamp;
mod verify;

pub use attest::attest;
pub use canonical::{NotADigest, Sha256Digest};
pub use envelope::{MAX_ENVELOPE_BYTES, PAYLOAD_TYPE, pre_authentication_encoding};
pub use fingerprint::{BackendFacts, Fingerprint, PolicyFacts, Protection, policy_hash, protection_hash};
pub use folder::EvidenceFolder;
pub use index::{AttestationIndex, NoAttestations, StoredAttestations};
pub use key::{KeyId, PublicKey, SigningKey};
pub use node::{Kernel, Node, Processor, User};
pub use predicate::{Arm, Control, Counts, HeldBy, IsolationAttestation, Property};
pub use statement::{PREDICATE_TYPE, STATEMENT_TYPE};
pub use store::{AttestationId, AttestationStore, BrokenFile, Listing, StoredAttestation};
pub use timestamp::Timestamp;
pub use verify::{VerifiedStatement, VerifyError, verify};
