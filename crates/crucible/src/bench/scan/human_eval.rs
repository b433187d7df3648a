//! What is found in HumanEval's canonical programs, which are as honest as programs under evaluation can be.

use super::corpus::scan_file;
use crucible_core::{Scanner, Severity};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A canonical program: the prompt with its solution.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CanonicalProgram {
    id: String,
    code: String,
}

/// What is found in them.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct HumanEval {
    /// How many programs there are.
    pub(super) programs: usize,
    /// Programs with a finding of high severity or above.
    pub(super) high: usize,
    /// Programs by the worst that is found in them; programs without a finding aren't here.
    pub(super) programs_by_worst: BTreeMap<Severity, usize>,
    /// Findings, by severity.
    pub(super) findings: BTreeMap<Severity, usize>,
    /// Where something of medium severity or above is found, and by which rules.
    pub(super) alerts: BTreeMap<String, BTreeSet<String>>,
}

impl HumanEval {
    /// Looks at the programs, each by itself.
    pub(super) fn of(programs: &[CanonicalProgram], scanner: &dyn Scanner) -> Self {
        let mut seen = Self { programs: programs.len(), ..Self::default() };
        for program in programs {
            let report = scan_file(scanner, "program.py", program.code.as_bytes());
            for finding in &report.findings {
                *seen.findings.entry(finding.severity).or_default() += 1;
                if finding.severity >= Severity::Medium {
                    seen.alerts.entry(program.id.clone()).or_default().insert(finding.rule.clone());
                }
            }
            let worst = report.findings.iter().map(|finding| finding.severity).max();
            if let Some(worst) = worst {
                *seen.programs_by_worst.entry(worst).or_default() += 1;
                seen.high += usize::from(worst >= Severity::High);
            }
        }
        seen
    }
}
