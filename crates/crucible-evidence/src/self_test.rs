//! The evidence tests itself: what is signed verifies, what is changed doesn't, and the folder is as it should be.
//!
//! It makes nothing: neither a key nor a folder.

use crate::envelope::{self, PAYLOAD_TYPE};
use crate::folder::EvidenceFolder;
use crate::key::SigningKey;
use crate::node::Node;
use async_trait::async_trait;
use crucible_core::{Check, Component, Error, HostPath, Passed, Result, SelfTest};

const NAME: &str = "evidence";

#[async_trait]
impl Component for EvidenceFolder {
    fn name(&self) -> &str {
        NAME
    }

    async fn self_test(&self) -> SelfTest {
        let checks = vec![signatures(), node(), key(self), attestations(self)];
        SelfTest { component: NAME.to_owned(), checks }
    }
}

fn failed(name: &str, error: &Error) -> Check {
    Check::new(name, Passed::No, error.to_string()).with_mend(error.hint().unwrap_or_default())
}

fn signatures() -> Check {
    let name = "what is signed verifies, and nothing else does";
    let tried = || -> Result<[bool; 2]> {
        let key = SigningKey::generate()?;
        let mut envelope = envelope::seal(b"a payload", &key)?;
        let opens =
            |bytes: &[u8]| envelope::open(bytes, &[key.public_key()]).is_ok_and(|(payload, _)| payload == b"a payload");
        let whole = opens(&envelope);
        // The first letter of the payload.
        if let Some(byte) = envelope.get_mut(r#"{"payload":""#.len()) {
            *byte ^= 1;
        }
        Ok([whole, opens(&envelope)])
    };
    match tried() {
        Ok([whole, changed]) => {
            Check::new(name, (whole && !changed).into(), format!("{PAYLOAD_TYPE}: whole {whole}, changed {changed}"))
        }
        Err(error) => failed(name, &error),
    }
}

fn node() -> Check {
    let name = "the node can be told from others";
    match Node::read(&HostPath::new("/")) {
        Ok(node) => Check::new(name, Passed::Yes, format!("Linux {} on {}", node.kernel.release, node.architecture)),
        Err(error) => failed(name, &error),
    }
}

fn key(folder: &EvidenceFolder) -> Check {
    let name = "the signing key is this user's alone";
    match folder.public_key() {
        Ok(None) => Check::skipped(name, "there is none yet; the first attestation makes it"),
        // Which looks at both halves, and makes neither now that one is there.
        Ok(Some(_)) => match folder.signing_key() {
            Ok(key) => Check::new(name, Passed::Yes, key.public_key().keyid().to_string()),
            Err(error) => failed(name, &error),
        },
        Err(error) => failed(name, &error),
    }
}

fn attestations(folder: &EvidenceFolder) -> Check {
    let name = "every stored attestation is one of this node";
    let key = match folder.public_key() {
        Ok(Some(key)) => key,
        Ok(None) | Err(_) => return Check::skipped(name, "there is no key to tell by"),
    };
    match folder.store().list(&key) {
        Ok(listing) if listing.broken.is_empty() => {
            Check::new(name, Passed::Yes, format!("{} attestations", listing.attestations.len()))
        }
        Ok(listing) => Check::new(name, Passed::No, format!("{} files are not", listing.broken.len()))
            .with_mend("`crucible attest list` names them; move them away"),
        Err(error) => failed(name, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_passes_with_and_without_a_key_and_fails_with_a_broken_one() {
        let root = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::new(HostPath::new(root.path().join("evidence")));
        let report = folder.self_test().await;
        assert!(report.is_healthy(), "{report:?}");
        assert!(!folder.path().as_path().exists(), "looking made something");
        folder.signing_key().unwrap();
        let report = folder.self_test().await;
        assert!(report.is_healthy(), "{report:?}");
        assert!(report.checks.iter().all(|check| check.status == crucible_core::CheckStatus::Passed), "{report:?}");
        std::fs::write(folder.path().as_path().join("key/private.pem"), "x").unwrap();
        assert!(!folder.self_test().await.is_healthy());
    }
}
