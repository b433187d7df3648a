//! Another implementation believes what we sign: OpenSSL, by the very commands of `docs/attestations.md`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

use crucible_core::{ArmResult, Backend, Expected, HostPath, Policy, PropertyResult, Reach, SuiteResult, Verdict};
use crucible_evidence::{EvidenceFolder, Node, Protection, StoredAttestation, attest};
use crucible_testkit::fake::{FakeBackend, Script};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

/// Whether OpenSSL is here. It need not be, unless `CRUCIBLE_REQUIRE` names it.
fn has_openssl() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success());
    if !there {
        let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name == "openssl"), "openssl is required and not here");
        eprintln!("skipped: openssl is not here");
    }
    there
}

/// An attestation with its key, in a folder of its own.
fn attested(folder: &EvidenceFolder) -> StoredAttestation {
    let backend = FakeBackend::new(Script::default());
    let policy = Policy::default();
    let protection = Protection { backend: &backend, layers: &backend.capabilities().layers, policy: &policy };
    let result = ArmResult { reach: Reach::NotReached, seen: "«nothing»".to_owned(), took: Duration::from_millis(3) };
    let property = PropertyResult {
        id: "filesystem.host_path".to_owned(),
        group: "filesystem".to_owned(),
        statement: "a file of the host can't be opened".to_owned(),
        expected: Expected::Hidden,
        references: vec![],
        verdict: Verdict::Held,
        reason: "it was not reached".to_owned(),
        protected: Some(result),
        control: None,
        held_by: None,
    };
    let suite = SuiteResult {
        backend: "fake".to_owned(),
        suite: "0123".to_owned(),
        started: SystemTime::now(),
        took: Duration::from_secs(1),
        properties: vec![property],
    };
    attest(folder, Node::read(&HostPath::new("/")).unwrap(), &protection, &suite).unwrap()
}

/// The first block of commands in the documentation.
fn documented_commands() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/attestations.md");
    let text = std::fs::read_to_string(page).unwrap();
    let Some((_, rest)) = text.split_once("```sh\n") else { panic!("docs/attestations.md has no commands") };
    rest.split_once("```").unwrap().0.to_owned()
}

fn run_in(folder: &Path, script: &str) -> Output {
    Command::new("sh").args(["-euc", script]).current_dir(folder).output().unwrap()
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn openssl_verifies_an_attestation_by_the_documented_commands() {
    if !has_openssl() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let folder = EvidenceFolder::new(HostPath::new(root.path().join("evidence")));
    let stored = attested(&folder);
    let bytes = std::fs::read(stored.path.as_path()).unwrap();
    std::fs::write(root.path().join("attestation.json"), &bytes).unwrap();
    std::fs::write(root.path().join("public.pem"), folder.public_key().unwrap().unwrap().to_pem().unwrap()).unwrap();
    let commands = documented_commands();
    let output = run_in(root.path(), &commands);
    assert!(output.status.success(), "{}", shown(&output));
    assert!(shown(&output).contains("Signature Verified Successfully"), "{}", shown(&output));
    let keyid = stored.statement.keyid.to_string();
    assert!(shown(&output).contains(&keyid), "{keyid} is not what openssl makes of the key: {}", shown(&output));

    // The same commands notice a change of one letter, and another key.
    let mut changed = bytes.clone();
    changed[100] ^= 1;
    std::fs::write(root.path().join("attestation.json"), changed).unwrap();
    assert!(!run_in(root.path(), &commands).status.success());
    std::fs::write(root.path().join("attestation.json"), bytes).unwrap();
    let other = EvidenceFolder::new(HostPath::new(root.path().join("other"))).signing_key().unwrap().public_key();
    std::fs::write(root.path().join("public.pem"), other.to_pem().unwrap()).unwrap();
    assert!(!run_in(root.path(), &commands).status.success());
}

#[test]
fn openssl_reads_the_keys_and_makes_the_same_public_half() {
    if !has_openssl() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let folder = EvidenceFolder::new(HostPath::new(root.path().join("evidence")));
    let key = folder.signing_key().unwrap().public_key();
    let output = run_in(root.path(), "openssl pkey -in evidence/key/private.pem -pubout");
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), key.to_pem().unwrap());
}
