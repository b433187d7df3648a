//! What an attestation says, for programs and for people.

use crate::output::{ERROR, GOOD, WARNING, neutral};
use crucible_attacks::AttackSuite;
use crucible_core::Verdict;
use crucible_evidence::{
    BrokenFile, Counts, Fingerprint, Property, StoredAttestation, User, VerifiedStatement, VerifyError,
};
use serde::Serialize;
use std::fmt::Write;

/// The answer of `crucible attest verify --json` for a file that doesn't verify.
#[derive(Serialize)]
pub(super) struct Failure {
    verified: bool,
    /// The kind of problem.
    problem: &'static str,
    message: String,
}

impl From<&VerifyError> for Failure {
    fn from(error: &VerifyError) -> Self {
        Self { verified: false, problem: error.as_str(), message: error.to_string() }
    }
}

/// The answer of `crucible attest list --json`.
#[derive(Serialize)]
pub(super) struct List {
    pub(super) attestations: Vec<Attestation>,
    pub(super) ignored: Vec<Ignored>,
}

/// A file that counts for nothing.
#[derive(Serialize)]
pub(super) struct Ignored {
    pub(super) path: String,
    pub(super) reason: String,
}

impl From<&BrokenFile> for Ignored {
    fn from(file: &BrokenFile) -> Self {
        Self { path: file.path.to_string(), reason: file.reason.clone() }
    }
}

/// What one attestation that verified says; also the answer of `crucible attest verify --json`.
#[derive(Serialize)]
pub(super) struct Attestation {
    verified: bool,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    keyid: String,
    started: String,
    finished: String,
    crucible: String,
    /// Which suite it was.
    suite: String,
    /// Whether that is the default one of this version of Crucible.
    is_this_versions_suite: bool,
    /// The fingerprint's digest.
    subject: String,
    fingerprint: Fingerprint,
    counts: Counts,
    /// Properties that aren't held, and that apply.
    not_held: Vec<NotHeld>,
    /// Properties that are held by the suite's word, without a control arm that reached its canary.
    without_control: Vec<String>,
}

/// Whether a suite is the whole default one of this version.
fn is_this_versions(suite: &str) -> bool {
    crucible_attacks::scenario::built_in().is_ok_and(|scenarios| AttackSuite::new(scenarios).digest() == suite)
}

fn suite(attestation: &Attestation) -> String {
    if attestation.is_this_versions_suite {
        "the whole default suite of this version".to_owned()
    } else {
        format!("not this version's default suite: {}", attestation.suite)
    }
}

/// A property that isn't held.
#[derive(Serialize)]
struct NotHeld {
    id: String,
    verdict: Verdict,
    reason: String,
}

impl Attestation {
    pub(super) fn of(statement: &VerifiedStatement) -> Self {
        let predicate = &statement.predicate;
        let not_held = |property: &&Property| matches!(property.verdict, Verdict::Breached | Verdict::Inconclusive);
        let unproven = |property: &&Property| property.verdict == Verdict::Held && !property.is_proven_by_control();
        Self {
            verified: true,
            id: statement.id.to_string(),
            path: None,
            keyid: statement.keyid.to_string(),
            started: predicate.started.to_string(),
            finished: predicate.finished.to_string(),
            crucible: predicate.crucible.clone(),
            suite: predicate.suite.clone(),
            is_this_versions_suite: is_this_versions(&predicate.suite),
            subject: statement.subject.to_string(),
            fingerprint: predicate.fingerprint.clone(),
            counts: predicate.counts,
            not_held: predicate.properties.iter().filter(not_held).map(NotHeld::from).collect(),
            without_control: predicate.properties.iter().filter(unproven).map(|one| one.id.clone()).collect(),
        }
    }

    pub(super) fn stored(stored: &StoredAttestation) -> Self {
        Self { path: Some(stored.path.to_string()), ..Self::of(&stored.statement) }
    }
}

impl From<&Property> for NotHeld {
    fn from(property: &Property) -> Self {
        Self { id: property.id.clone(), verdict: property.verdict, reason: property.reason.clone() }
    }
}

/// One attestation that verified.
pub(super) fn verified(attestation: &Attestation) -> String {
    let mut text = String::new();
    let Attestation { fingerprint, .. } = attestation;
    let backend = &fingerprint.backend;
    // Writing to a String can't fail, so its result is let go throughout.
    let _ = writeln!(text, "{GOOD}verified{GOOD:#} {}", attestation.id);
    let rows = [
        ("signed by", attestation.keyid.clone()),
        ("finished", format!("{}, by crucible {}", attestation.finished, attestation.crucible)),
        ("suite", suite(attestation)),
        ("backend", format!("{} {}, policy {}", backend.name, backend.version, fingerprint.policy.name)),
        ("layers", format!("{} in force", backend.layers.len())),
        ("node", node(fingerprint)),
        ("counts", counts(attestation.counts)),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:10}{}", neutral(&value));
    }
    for NotHeld { id, verdict, reason } in &attestation.not_held {
        let style = if *verdict == Verdict::Breached { ERROR } else { WARNING };
        let _ = writeln!(text, "  {style}{verdict:12}{style:#}  {}: {}", neutral(id), neutral(reason));
    }
    for id in &attestation.without_control {
        let _ = writeln!(
            text,
            "  {WARNING}no control{WARNING:#}    {}: held, but nothing shows that its probe works",
            neutral(id)
        );
    }
    text
}

/// All attestations of this node.
pub(super) fn table(attestations: &[Attestation]) -> String {
    if attestations.is_empty() {
        return "no attestations\n".to_owned();
    }
    let mut text = String::new();
    for attestation in attestations {
        let Attestation { finished, fingerprint, path, .. } = attestation;
        let (backend, policy) = (&fingerprint.backend.name, &fingerprint.policy.name);
        let kernel = &fingerprint.node.kernel.release;
        let counts = counts(attestation.counts);
        let line = format!("{finished}  {backend}, policy {policy}, Linux {kernel}: {counts}");
        let _ = writeln!(text, "{}", neutral(&line));
        let _ = writeln!(text, "  {}\n  {}", attestation.id, neutral(path.as_deref().unwrap_or_default()));
    }
    text
}

fn node(fingerprint: &Fingerprint) -> String {
    let node = &fingerprint.node;
    let user = match node.user {
        User::Root => "root",
        User::RootOfNamespace => "root of a user namespace",
        User::Ordinary => "an ordinary user",
    };
    format!("Linux {} on {}, as {user}", node.kernel.release, node.architecture)
}

fn counts(counts: Counts) -> String {
    let Counts { held, breached, inconclusive, not_applicable } = counts;
    format!("{held} held, {breached} breached, {inconclusive} inconclusive, {not_applicable} not applicable")
}
