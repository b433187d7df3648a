//! Every record names the attestation that covers exactly what protected the run.

use crate::support::{Bench, WordScanner, spec};
use crucible_core::{EvaluationSpec, Policy};
use crucible_evidence::{AttestationIndex, Protection, policy_hash};
use crucible_testkit::fake::{Script, every_layer};
use std::sync::{Arc, Mutex};

/// Knows one attestation, of one policy, and what it was asked.
#[derive(Default)]
struct OfStrict {
    asked: Mutex<Vec<(String, String, usize)>>,
}

impl AttestationIndex for OfStrict {
    fn latest(&self, protection: &Protection<'_>) -> Option<String> {
        let name = protection.backend.name().to_owned();
        self.asked.lock().unwrap().push((name, protection.policy.name.clone(), protection.layers.len()));
        (protection.policy.name == "strict").then(|| "sha256:aa".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn the_record_names_the_attestation_of_what_protected_the_run() {
    let known = Arc::new(OfStrict::default());
    let bench = Bench::new(Script::default())
        .with_attestations(Arc::clone(&known) as Arc<dyn AttestationIndex>)
        .with_scanner(WordScanner::default());
    let strict = EvaluationSpec { policy: Policy::strict(), ..spec() };
    let outcome = bench.evaluate(strict).await.unwrap();
    assert_eq!(outcome.evidence.attestation.as_deref(), Some("sha256:aa"));
    assert_eq!(outcome.evidence.policy_hash, policy_hash(&Policy::strict()));
    assert_eq!(bench.evaluate(spec()).await.unwrap().evidence.attestation, None);
    let layers = every_layer().len();
    let asked =
        [("fake", "strict"), ("fake", "default")].map(|(name, policy)| (name.to_owned(), policy.to_owned(), layers));
    assert_eq!(*known.asked.lock().unwrap(), asked);
}
