//! The conformance suite on plain processes that leak nothing they could keep: what needs no wall and no limit passes, and
//! the rest is skipped with its reason. So what fails on a leaky backend fails for its leak.

use crucible_core::{Policy, Readiness};
use crucible_testkit::conformance::{ConformanceSubject, Unavailable};
use crucible_testkit::leaky::LeakyBackend;
use crucible_testkit::{conformance_suite, languages};
use std::sync::Arc;

async fn honest() -> Result<ConformanceSubject, Unavailable> {
    let policy = Policy::built_in("unisolated")
        .ok_or_else(|| Unavailable { backend: "leaky".to_owned(), reason: "there is no such policy".to_owned() })?;
    Ok(ConformanceSubject {
        backend: Arc::new(LeakyBackend::honest()),
        python: Arc::new(languages::python()),
        shell: Arc::new(languages::shell()),
        policy,
        readiness: Readiness::Bare,
    })
}

conformance_suite!(honest);
