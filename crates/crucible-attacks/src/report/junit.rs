//! The results as JUnit XML, which continuous integration reads: a suite for each backend, a case for each property.
//!
//! Invariant: it is well-formed XML whatever the results say, and only what is held counts as passed: a breach is a failure,
//! doubt is an error, and what isn't applicable is skipped with the reason.

use super::text::visible;
use super::words;
use chrono::{DateTime, Utc};
use crucible_core::{ArmResult, Error, ErrorKind, PropertyResult, ReportContext, Result, SuiteResult, Verdict};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::{Duration, SystemTime};

/// Everything that was found, as JUnit XML.
///
/// # Errors
/// `Infrastructure` for what the writer refuses.
pub fn junit(suites: &[SuiteResult], context: &ReportContext) -> Result<String> {
    let mut report = Report::new("crucible attack");
    report.add_test_suites(suites.iter().map(|suite| test_suite(suite, context)));
    report.to_string().map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "write the JUnit report", "the result can't be written as XML")
            .with_source(error)
    })
}

fn test_suite(suite: &SuiteResult, context: &ReportContext) -> TestSuite {
    let backend = visible(&suite.backend);
    let mut written = TestSuite::new(backend.as_str());
    written.set_time(suite.took);
    if let Some(started) = timestamp(suite.started) {
        written.set_timestamp(started);
    }
    let attestation = context.attestations.get(&suite.backend).map(|id| ("attestation", visible(id)));
    let properties = [
        ("crucible_version", visible(&context.version)),
        ("kernel", visible(&context.node.kernel)),
        ("user", context.node.user.to_string()),
        ("policy", visible(&context.policy)),
    ];
    written.add_properties(properties.into_iter().chain(attestation).map(|(name, value)| Property::new(name, value)));
    if suite.properties.is_empty() {
        // A suite without cases would pass for one in which nothing went wrong.
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_type("inconclusive").set_message("no property was tested, which proves nothing");
        written.add_test_case(TestCase::new("the suite tests something", status));
    }
    written.add_test_cases(suite.properties.iter().map(|property| test_case(property, &backend)));
    written
}

/// The time, if the writer's calendar has it.
fn timestamp(time: SystemTime) -> Option<DateTime<Utc>> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    DateTime::from_timestamp(i64::try_from(since.as_secs()).ok()?, since.subsec_nanos())
}

fn test_case(property: &PropertyResult, backend: &str) -> TestCase {
    let status = |mut status: TestCaseStatus| {
        status.set_type(property.verdict.as_str()).set_message(visible(&property.reason));
        status.set_description(description(property));
        status
    };
    let status = match property.verdict {
        Verdict::Held => TestCaseStatus::success(),
        Verdict::Breached => status(TestCaseStatus::non_success(NonSuccessKind::Failure)),
        Verdict::Inconclusive => status(TestCaseStatus::non_success(NonSuccessKind::Error)),
        Verdict::NotApplicable => status(TestCaseStatus::skipped()),
    };
    let mut case = TestCase::new(visible(&property.id), status);
    let arms = property.protected.iter().chain(property.control.as_ref().map(|control| &control.result));
    case.set_classname(format!("{backend}.{}", visible(&property.group)));
    case.set_time(arms.fold(Duration::ZERO, |sum, arm| sum.saturating_add(arm.took)));
    case
}

/// The statement and what the host saw, in lines.
fn description(property: &PropertyResult) -> String {
    let arm = |name: &str, arm: &ArmResult, off: &str| {
        format!("\n{name}{off}: {}: {}", words::reach(arm.reach), visible(&arm.seen))
    };
    let protected = property.protected.as_ref().map(|result| arm("protected arm", result, ""));
    let control = property.control.as_ref();
    let control =
        control.map(|control| arm("control arm", &control.result, &format!(" {}", words::without(&control.without))));
    format!("{}{}{}", visible(&property.statement), protected.unwrap_or_default(), control.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use proptest::prelude::*;

    /// As another program reads it.
    fn read(suites: &[SuiteResult]) -> Report {
        Report::deserialize_from_str(&junit(suites, &sample::hostile_context()).unwrap()).unwrap()
    }

    #[test]
    fn a_case_has_the_verdict_the_reason_and_both_arms() {
        let suites = [sample::two().remove(1)];
        sample::assert_kept("junit.xml", &junit(&suites, &sample::context()).unwrap());
    }

    #[test]
    fn each_verdict_has_a_status_of_its_own() {
        let report = read(&sample::two());
        let counts: Vec<_> =
            report.test_suites.iter().map(|suite| (suite.tests, suite.failures, suite.errors, suite.skipped)).collect();
        assert_eq!(counts, [(5, 0, 1, 1), (4, 2, 0, 1)]);
        assert_eq!((report.tests, report.failures, report.errors), (9, 2, 1));
    }

    #[test]
    fn a_suite_without_properties_does_not_pass() {
        let report = read(&[sample::suite("jail", Vec::new())]);
        assert_eq!((report.tests, report.errors), (1, 1));
    }

    #[test]
    fn hostile_texts_come_back_as_texts() {
        let suites = sample::hostile();
        let allowed = |c: char| matches!(c, '\n' | ' '..='\u{7e}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..);
        assert!(junit(&suites, &sample::hostile_context()).unwrap().chars().all(allowed));
        for (suite, read) in suites.iter().zip(&read(&suites).test_suites) {
            assert_eq!(read.name.as_str(), visible(&suite.backend));
            for (property, case) in suite.properties.iter().zip(&read.test_cases) {
                assert_eq!(case.name.as_str(), visible(&property.id));
                if let TestCaseStatus::NonSuccess { message, .. } | TestCaseStatus::Skipped { message, .. } =
                    &case.status
                {
                    assert_eq!(message.as_ref().unwrap().as_str(), visible(&property.reason));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_result_is_written_and_read_back(suites in sample::any_suites()) {
            let report = read(&suites);
            prop_assert_eq!(report.test_suites.len(), suites.len());
            for (suite, read) in suites.iter().zip(&report.test_suites) {
                prop_assert_eq!(read.failures, suite.count(Verdict::Breached));
                let empty = usize::from(suite.properties.is_empty());
                prop_assert_eq!(read.errors, suite.count(Verdict::Inconclusive) + empty);
            }
        }
    }
}
