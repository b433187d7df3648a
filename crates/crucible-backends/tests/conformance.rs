//! The conformance suite against the backends of this crate, with the languages that Crucible comes with.

#![expect(clippy::unwrap_used, reason = "a test's own table")]

use crucible_backends::jail::{JailBackend, JailConfig};
use crucible_backends::runtime::DEFAULT_LANGUAGES;
use crucible_backends::subprocess::{SubprocessBackend, SubprocessConfig};
use crucible_core::{Language, Policy};
use crucible_testkit::conformance::{ConformanceSubject, Unavailable};
use std::collections::BTreeMap;
use std::sync::Arc;

fn language(name: &str) -> Arc<Language> {
    #[derive(serde::Deserialize)]
    struct Table {
        languages: BTreeMap<String, Language>,
    }
    let mut table: Table = toml::from_str(DEFAULT_LANGUAGES).unwrap();
    Arc::new(table.languages.remove(name).unwrap())
}

fn unavailable(backend: &str, error: &crucible_core::Error) -> Unavailable {
    Unavailable { backend: backend.to_owned(), reason: error.to_string() }
}

async fn jail() -> Result<ConformanceSubject, Unavailable> {
    let backend = JailBackend::start(JailConfig::default()).await.map_err(|error| unavailable("jail", &error))?;
    let (python, shell) = (language("python"), language("bash"));
    Ok(ConformanceSubject { backend: Arc::new(backend), python, shell, policy: Policy::default() })
}

async fn subprocess() -> Result<ConformanceSubject, Unavailable> {
    let backend = SubprocessBackend::start(SubprocessConfig::default())
        .await
        .map_err(|error| unavailable("subprocess", &error))?;
    let (python, shell) = (language("python"), language("bash"));
    Ok(ConformanceSubject { backend: Arc::new(backend), python, shell, policy: Policy::unisolated() })
}

mod jail_conforms {
    crucible_testkit::conformance_suite!(super::jail);
}

mod subprocess_conforms {
    crucible_testkit::conformance_suite!(super::subprocess);
}
