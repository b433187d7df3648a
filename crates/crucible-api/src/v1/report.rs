//! What `crucible self-test` and `crucible doctor` found.

use super::observed::{Coverage, monitoring};
use super::problem::ProblemDetail;
use super::protection::{Layer, Layers, LimitEnforcement, isolation, layers, limits};
use crucible_core as core;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What every component's self-test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SelfTestReport {
    /// Whether every component is healthy that this machine has, and there is one.
    pub healthy: bool,
    /// The components.
    pub components: Vec<ComponentReport>,
}

/// What one component's self-test found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentReport {
    /// Its name.
    pub component: String,
    /// Whether no check failed and at least one was made.
    pub healthy: bool,
    /// Its checks.
    pub checks: Vec<CheckReport>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckReport {
    /// What was checked.
    pub name: String,
    /// How it came out.
    pub status: CheckStatus,
    /// What was seen.
    pub seen: String,
    /// What to do about a failure; may be empty.
    pub mend: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// Could not be looked at here.
    Skipped,
}

impl From<&[core::SelfTest]> for SelfTestReport {
    fn from(tests: &[core::SelfTest]) -> Self {
        let components: Vec<ComponentReport> = tests.iter().map(ComponentReport::from).collect();
        let healthy = tests.iter().any(core::SelfTest::is_healthy)
            && tests.iter().all(|test| test.is_healthy() || test.is_absent());
        Self { healthy, components }
    }
}

impl From<&core::Check> for CheckReport {
    fn from(check: &core::Check) -> Self {
        Self {
            name: check.name.clone(),
            status: match check.status {
                core::CheckStatus::Passed => CheckStatus::Passed,
                core::CheckStatus::Failed => CheckStatus::Failed,
                core::CheckStatus::Skipped => CheckStatus::Skipped,
            },
            seen: check.seen.clone(),
            mend: check.mend.clone(),
        }
    }
}

impl From<&core::SelfTest> for ComponentReport {
    fn from(test: &core::SelfTest) -> Self {
        Self {
            component: test.component.clone(),
            healthy: test.is_healthy(),
            checks: test.checks.iter().map(CheckReport::from).collect(),
        }
    }
}

/// What this machine can and can't enforce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoctorReport {
    /// The kernel's release.
    pub kernel: String,
    /// The backends that can be used here.
    pub backends: Vec<BackendReport>,
    /// The backends that can't, each with the reason.
    pub unavailable: Vec<UnavailableBackend>,
}

/// What one backend can do here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackendReport {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// How strong the wall is: `none`, `shared_kernel` or `own_kernel`.
    pub isolation: String,
    /// Every layer.
    #[schema(value_type = BTreeMap<String, Layer>)]
    pub layers: Layers,
    /// How every limit is enforced.
    #[schema(value_type = BTreeMap<String, String>)]
    pub limits: LimitEnforcement,
    /// How well each part of a run can be watched: `processes`, `system_calls`, `network`, `files`, `resources`.
    #[serde(default)]
    pub monitoring: BTreeMap<String, Coverage>,
}

/// A backend that can't be used here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnavailableBackend {
    /// Its name.
    pub name: String,
    /// Why not.
    pub error: ProblemDetail,
}

impl From<&dyn core::Backend> for BackendReport {
    fn from(backend: &dyn core::Backend) -> Self {
        let capabilities = backend.capabilities();
        Self {
            name: backend.name().to_owned(),
            version: backend.version(),
            isolation: isolation(capabilities.isolation).to_owned(),
            layers: layers(&capabilities.layers),
            limits: limits(&capabilities.limits),
            monitoring: monitoring(&capabilities.monitoring),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_healthy_only_if_something_was_checked_and_nothing_failed() {
        let test = |checks| core::SelfTest { component: "jail".to_owned(), checks };
        let passed = || core::Check::new("it runs", core::Passed::Yes, "it ran");
        let failed = || core::Check::new("it stops", core::Passed::No, "it went on").with_mend("kill it");
        assert!(!SelfTestReport::from(&[][..]).healthy);
        assert!(!SelfTestReport::from(&[test(vec![])][..]).healthy);
        assert!(!SelfTestReport::from(&[test(vec![passed(), failed()])][..]).healthy);
        let absent = || test(vec![core::Check::skipped("it can be started", "there is none")]);
        assert!(!SelfTestReport::from(&[absent()][..]).healthy);
        assert!(!SelfTestReport::from(&[test(vec![passed()]), test(vec![])][..]).healthy);
        let beside = SelfTestReport::from(&[absent(), test(vec![passed()])][..]);
        assert!(beside.healthy && !beside.components[0].healthy);
        let report = SelfTestReport::from(&[test(vec![passed(), core::Check::skipped("it sings", "no voice")])][..]);
        let expected = concat!(
            r#"{"healthy":true,"components":[{"component":"jail","healthy":true,"checks":["#,
            r#"{"name":"it runs","status":"passed","seen":"it ran","mend":""},"#,
            r#"{"name":"it sings","status":"skipped","seen":"no voice","mend":""}]}]}"#
        );
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<SelfTestReport>(&text).unwrap(), report);
    }
}
