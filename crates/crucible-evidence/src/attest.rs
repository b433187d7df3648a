//! Signs what a suite found out, and stores it.
//!
//! Invariant: what is signed is what the suite said of the backend that is named. What can't be an attestation isn't
//! signed: nothing tested, one property twice, another backend.

use crate::envelope;
use crate::fingerprint::{Fingerprint, Protection};
use crate::folder::EvidenceFolder;
use crate::node::Node;
use crate::predicate::IsolationAttestation;
use crate::statement;
use crate::store::StoredAttestation;
use crucible_core::{Error, ErrorKind, Result, SuiteResult};
use std::collections::BTreeSet;

/// Signs and stores an attestation of what a suite found out about this protection on this node.
///
/// Runs that are protected in exactly this way name it from then on, so hand in whole suites only, and the layers of a
/// sandbox as the suite had it: those of the backend's capabilities are only what was hoped for.
///
/// # Errors
/// `InvalidInput` for a result that attests nothing or belongs to another backend; else as
/// [`EvidenceFolder::signing_key`] and [`AttestationStore::store`](crate::AttestationStore::store).
pub fn attest(
    folder: &EvidenceFolder,
    node: Node,
    protection: &Protection<'_>,
    suite: &SuiteResult,
) -> Result<StoredAttestation> {
    check(protection, suite)?;
    let predicate = IsolationAttestation::new(Fingerprint::new(node, protection), suite);
    let key = folder.signing_key()?;
    let envelope = envelope::seal(&statement::write(&predicate)?, &key)?;
    folder.store().store(&envelope, &key.public_key())
}

fn check(protection: &Protection<'_>, suite: &SuiteResult) -> Result<()> {
    let refuse = |message: String| Err(Error::new(ErrorKind::InvalidInput, "attest the suite's result", message));
    let backend = protection.backend.name();
    if suite.backend != backend {
        return refuse(format!("the suite was run on {:?}, not on {backend:?}", suite.backend));
    }
    if suite.properties.is_empty() {
        return refuse("the suite tested no property".to_owned());
    }
    let mut seen = BTreeSet::new();
    match suite.properties.iter().find(|property| !seen.insert(&property.id)) {
        Some(twice) => refuse(format!("the property {:?} has two verdicts", twice.id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::tests::{Described, layers, node};
    use crate::predicate::tests::{property, suite};
    use crucible_core::{HostPath, Policy, Verdict};

    fn attested(suite: &SuiteResult) -> Result<(tempfile::TempDir, StoredAttestation)> {
        let root = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::new(HostPath::new(root.path().join("evidence")));
        let (backend, layers, policy) = (Described::default(), layers(), Policy::default());
        let protection = Protection { backend: &backend, layers: &layers, policy: &policy };
        attest(&folder, node(), &protection, suite).map(|stored| (root, stored))
    }

    #[test]
    fn what_is_stored_verifies_and_says_what_the_suite_said() {
        let (_root, stored) = attested(&suite()).unwrap();
        let bytes = std::fs::read(stored.path.as_path()).unwrap();
        let folder = stored.path.as_path().ancestors().nth(3).unwrap();
        let key = EvidenceFolder::new(HostPath::new(folder)).public_key().unwrap().unwrap();
        let verified = crate::verify(&bytes, &[key]).unwrap();
        assert_eq!(verified, stored.statement);
        assert_eq!(verified.predicate.properties.len(), 5);
    }

    #[test]
    fn what_attests_nothing_is_not_signed() {
        for wrong in [
            SuiteResult { properties: vec![], ..suite() },
            SuiteResult { backend: "subprocess".to_owned(), ..suite() },
            SuiteResult { properties: vec![property("x", Verdict::Held), property("x", Verdict::Breached)], ..suite() },
        ] {
            assert_eq!(attested(&wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }
}
