//! `crucible attest`: verifies attestations, lists this node's, prints its public key.
//!
//! It makes no attestation; that is for whoever ran the suite. `verify` needs no backend, no network and no configuration
//! when it is given a key.

mod report;

use crate::arguments::{AttestListArguments, AttestVerb, AttestVerifyArguments};
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{Error, ErrorKind, Result};
use crucible_evidence::{EvidenceFolder, MAX_ENVELOPE_BYTES, PublicKey, verify};
use report::{Attestation, Failure, Ignored, List};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// No public key in PEM is as long.
const MAX_KEY_BYTES: usize = 4096;

/// Does what was asked for.
///
/// # Errors
/// Crucible's own failures. That a file doesn't verify is an answer.
pub(crate) fn attest(verb: &AttestVerb) -> Result<Exit> {
    match verb {
        AttestVerb::Verify(arguments) => verify_file(arguments),
        AttestVerb::List(arguments) => list(arguments),
        AttestVerb::Key => output::data(&folder()?.signing_key()?.public_key().to_pem()?),
    }
}

fn folder() -> Result<EvidenceFolder> {
    compose::evidence(&Configuration::load(&Environment::of_process(), &Overrides::default())?)
}

fn verify_file(arguments: &AttestVerifyArguments) -> Result<Exit> {
    let keys = if arguments.keys.is_empty() { vec![own_key()?] } else { given_keys(arguments)? };
    let shown = arguments.file.display();
    // One byte more than may be, so that a file that is too large is known for it.
    let bytes = read(&arguments.file, "the attestation", MAX_ENVELOPE_BYTES + 1)?;
    match verify(&bytes, &keys) {
        Ok(statement) => {
            let attestation = Attestation::of(&statement);
            match arguments.format() {
                Format::Json => output::json(&attestation),
                Format::Text => output::data(&report::verified(&attestation)),
            }
        }
        Err(error) => {
            let written = match arguments.format() {
                Format::Json => output::json(&Failure::from(&error))?,
                Format::Text => {
                    let hint = match &error {
                        crucible_evidence::VerifyError::UnknownKey { .. } => {
                            Some("name its node's public key with --key")
                        }
                        _ => None,
                    };
                    output::failure(&format!("'{shown}' doesn't verify: {error}"), hint);
                    Exit::Success
                }
            };
            Ok(if written == Exit::Success { Exit::NotVerified } else { written })
        }
    }
}

fn own_key() -> Result<PublicKey> {
    folder()?.public_key()?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "find the public key", "this node has no key of its own yet")
            .with_hint("name the public key of the node that made the attestation with --key")
    })
}

fn given_keys(arguments: &AttestVerifyArguments) -> Result<Vec<PublicKey>> {
    let key = |path: &std::path::PathBuf| {
        let bytes = read(path, "the public key", MAX_KEY_BYTES)?;
        PublicKey::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|error| {
            let hint = error.hint().unwrap_or_default().to_owned();
            let message = format!("'{}' holds no key to verify with", path.display());
            Error::new(error.kind(), "read the public key", message).with_source(error).with_hint(hint)
        })
    };
    arguments.keys.iter().map(key).collect()
}

/// The first `most` bytes of a file.
fn read(path: &Path, what: &str, most: usize) -> Result<Vec<u8>> {
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| {
        let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
        Error::new(kind, "read a file", format!("can't read {what} '{}'", path.display())).with_source(error)
    })
}

fn list(arguments: &AttestListArguments) -> Result<Exit> {
    let folder = folder()?;
    let listing = match folder.public_key()? {
        Some(key) => folder.store().list(&key)?,
        None => crucible_evidence::Listing::default(),
    };
    let ignored = listing.broken.iter().map(Ignored::from).collect::<Vec<_>>();
    let attestations = listing.attestations.iter().map(Attestation::stored).collect::<Vec<_>>();
    match arguments.format() {
        Format::Json => output::json(&List { attestations, ignored }),
        Format::Text => {
            for Ignored { path, reason } in &ignored {
                output::warning(&format!("'{path}' counts for nothing: {reason}"));
            }
            output::data(&report::table(&attestations))
        }
    }
}
