//! Attestations from end to end: made for a backend as it runs here, named by the runs that they cover, verified, listed.

use crate::support::{Backend, Finished, JAIL, backends, crucible, is_usable};
use crucible::compose::{self, Unsafe};
use crucible::config::{Configuration, Environment, Overrides};
use crucible_core::{ArmResult, ControlResult, Expected, Layer, Policy, PropertyResult, Reach, SuiteResult, Verdict};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn property(id: &str, verdict: Verdict) -> PropertyResult {
    let arm = |reach| ArmResult { reach, seen: "what the host saw".to_owned(), took: Duration::from_millis(2) };
    PropertyResult {
        id: id.to_owned(),
        group: "filesystem".to_owned(),
        statement: "a file of the host can't be opened".to_owned(),
        expected: Expected::Hidden,
        references: vec!["CWE-22".to_owned()],
        verdict,
        reason: "the canary was \u{1b}[2J read".to_owned(),
        protected: Some(arm(Reach::NotReached)),
        control: Some(ControlResult { without: vec![Layer::MountNamespace], result: arm(Reach::Reached) }),
        held_by: None,
    }
}

fn suite(backend: &str) -> SuiteResult {
    let unproven = PropertyResult { control: None, ..property("privilege.seccomp", Verdict::Held) };
    let properties =
        vec![property("filesystem.host_path", Verdict::Held), property("leaks.log", Verdict::Breached), unproven];
    SuiteResult {
        backend: backend.to_owned(),
        suite: "0123".to_owned(),
        started: SystemTime::now(),
        took: Duration::from_secs(5),
        properties,
    }
}

/// Attests a made-up suite for a backend under a policy, in a folder for data.
fn attest(data: &Path, backend: &str, policy: Option<&Policy>) -> crucible_evidence::StoredAttestation {
    let environment: Environment =
        [("XDG_DATA_HOME", data.as_os_str()), ("PATH", &std::env::var_os("PATH").unwrap_or_default())]
            .map(|(name, value)| (name.into(), value.to_owned()))
            .into_iter()
            .collect();
    let configuration = Configuration::load(&environment, &Overrides::default()).unwrap();
    let name = compose::choose(backend, Unsafe::Admitted).unwrap();
    let policy = policy.cloned().unwrap_or_else(|| compose::policy(&configuration, name).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let started = compose::start(name, &configuration).await.unwrap();
        compose::attest(&configuration, started.as_ref(), &policy, &suite(name)).await.unwrap()
    })
}

fn run(data: &Path, backend: Backend) -> serde_json::Value {
    run_with(data, backend, &[])
}

fn run_with(data: &Path, backend: Backend, more: &[&str]) -> serde_json::Value {
    let arguments = [&["run", "-l", "bash", "-c", "true", "--json"], more].concat();
    let run = crucible(&arguments).backend(backend).env("XDG_DATA_HOME", data);
    run.output().json()["evidence"]["attestation"].clone()
}

fn attestations(data: &Path, arguments: &[&str]) -> Finished {
    let all: Vec<&str> = ["attest"].iter().chain(arguments).copied().collect();
    crucible(&all).env("XDG_DATA_HOME", data).output()
}

#[test]
fn a_run_names_the_latest_attestation_of_what_protects_it() {
    for backend in backends() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(run(data.path(), backend), serde_json::Value::Null);
        assert!(!data.path().join("crucible/evidence").exists(), "a run made a key");
        let other = Policy { name: "other".to_owned(), ..Policy::unisolated() };
        attest(data.path(), backend.name, Some(&other));
        assert_eq!(run(data.path(), backend), serde_json::Value::Null);
        let first = attest(data.path(), backend.name, None);
        assert_eq!(run(data.path(), backend), first.statement.id.to_string());
        let second = attest(data.path(), backend.name, None);
        assert_eq!(run(data.path(), backend), second.statement.id.to_string());
        let listed = attestations(data.path(), &["list", "--json"]).json();
        let ids: Vec<_> = listed["attestations"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
        assert_eq!(ids.len(), 3);
        assert_eq!(ids[..2], [second.statement.id.to_string(), first.statement.id.to_string()]);
    }
}

#[test]
fn an_attestation_with_one_allow_list_covers_runs_with_any_and_none_without() {
    if !is_usable(&JAIL) {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let policy = Policy { network: "allow:a.example:443".parse().unwrap(), ..Policy::default() };
    let attested = attest(data.path(), JAIL.name, Some(&policy)).statement.id.to_string();
    assert_eq!(run_with(data.path(), JAIL, &["--network", "allow:b.example:1,c.example:2"]), attested);
    assert_eq!(run(data.path(), JAIL), serde_json::Value::Null);
}

#[test]
fn an_attestation_verifies_with_the_public_key_and_says_what_is_not_held() {
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stored = attest(data.path(), "subprocess", None);
    let file = stored.path.as_path().to_str().unwrap();
    let shown = attestations(data.path(), &["verify", file]).expect_success();
    let keyid = stored.statement.keyid.to_string();
    for part in [
        &keyid,
        "subprocess",
        "policy unisolated",
        "2 held, 1 breached",
        "leaks.log",
        "no control    privilege.seccomp",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
    // Elsewhere there is only the public key.
    let key = attestations(data.path(), &["key"]).expect_success();
    let pem = elsewhere.path().join("public.pem");
    fs::write(&pem, key).unwrap();
    attestations(elsewhere.path(), &["verify", file]).expect_failure(66, &["no key of its own", "hint:", "--key"]);
    let verified = attestations(elsewhere.path(), &["verify", file, "--json", "--key", pem.to_str().unwrap()]);
    let json = verified.json();
    assert_eq!((json["verified"].as_bool(), json["counts"]["held"].as_u64()), (Some(true), Some(2)));
    assert_eq!(json["not_held"][0]["verdict"], "breached");
    assert_eq!(json["without_control"], serde_json::json!(["privilege.seccomp"]));
    assert_eq!(json["id"], stored.statement.id.to_string());
    assert!(!elsewhere.path().join("crucible").exists(), "verifying made something");
}

#[test]
fn what_does_not_verify_never_ends_with_success() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let stored = attest(data.path(), "subprocess", None);
    let file = stored.path.as_path().to_str().unwrap();
    let foreign = other.path().join("foreign.pem");
    fs::write(&foreign, attestations(other.path(), &["key"]).expect_success()).unwrap();
    let foreign = foreign.to_str().unwrap();
    attestations(data.path(), &["verify", file, "--key", foreign]).expect_failure(1, &["no known key", "hint:"]);
    let text = fs::read_to_string(file).unwrap();
    for (changed, reason) in [
        (text.replacen("\"payload\":\"e", "\"payload\":\"f", 1), "is wrong"),
        (text.replace("in-toto", "in-tota"), "payload is of type"),
        (text[..text.len() / 2].to_owned(), "not a DSSE envelope"),
        (String::new(), "not a DSSE envelope"),
        (" ".repeat(5 << 20), "no attestation has more"),
    ] {
        let path = other.path().join("changed.json");
        fs::write(&path, changed).unwrap();
        let path = path.to_str().unwrap();
        attestations(data.path(), &["verify", path]).expect_failure(1, &["doesn't verify", reason]);
        let report = attestations(data.path(), &["verify", path, "--json"]);
        assert_eq!((report.code(), report.json()["verified"].as_bool()), (1, Some(false)));
    }
    attestations(data.path(), &["verify", "/no/such"]).expect_failure(66, &["/no/such"]);
    attestations(data.path(), &["verify", "/"]).expect_failure(74, &["can't read the attestation"]);
    attestations(data.path(), &["verify", "/dev/zero"]).expect_failure(1, &["no attestation has more"]);
    attestations(data.path(), &["verify", file, "--key", file]).expect_failure(65, &["no key to verify with"]);
    attestations(data.path(), &["verify"]).expect_failure(2, &["FILE"]);
}

#[test]
fn broken_files_are_listed_and_count_for_nothing() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(attestations(data.path(), &["list"]).expect_success(), "no attestations\n");
    let stored = attest(data.path(), "subprocess", None);
    let broken = stored.path.as_path().with_file_name("99990101T000000000Z-forged.json");
    fs::write(&broken, "{}").unwrap();
    let listed = attestations(data.path(), &["list"]);
    assert_eq!(listed.code(), 0);
    assert!(listed.stdout().contains(&stored.statement.id.to_string()) && !listed.stdout().contains("forged"));
    assert!(listed.stderr().contains("forged.json' counts for nothing"), "{}", listed.stderr());
    let json = attestations(data.path(), &["list", "--json"]).json();
    assert_eq!(json["ignored"].as_array().unwrap().len(), 1);
    assert_eq!(json["attestations"].as_array().unwrap().len(), 1);
}

#[test]
fn many_processes_at_once_make_one_key() {
    let data = tempfile::tempdir().unwrap();
    let started: Vec<_> =
        (0..8).map(|_| crucible(&["attest", "key"]).env("XDG_DATA_HOME", data.path()).start()).collect();
    let keys: Vec<String> = started.into_iter().map(|running| running.finish().expect_success()).collect();
    assert!(keys[0].starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let private = data.path().join("crucible/evidence/key/private.pem");
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&private, fs::Permissions::from_mode(0o604)).unwrap();
    attestations(data.path(), &["key"]).expect_failure(69, &["others may read", "hint:"]);
}
