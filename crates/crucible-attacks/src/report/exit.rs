//! What the process that ran the suite ends with.

use crucible_core::{SuiteResult, Verdict, overall};

/// 1 where any property is breached; else 3 where any is inconclusive, where a suite is empty, and where nothing was held at
/// all; else 0.
#[must_use]
pub fn exit_code(suites: &[SuiteResult]) -> u8 {
    match overall(suites) {
        Verdict::Held => 0,
        Verdict::Breached => 1,
        Verdict::Inconclusive | Verdict::NotApplicable => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::exit_code;
    use crate::report::sample;
    use crucible_core::Verdict;

    #[test]
    fn a_breach_outweighs_doubt_and_doubt_outweighs_what_is_held() {
        let code = |verdicts: &[&[Verdict]]| {
            let suites: Vec<_> = verdicts.iter().map(|verdicts| sample::suite_of("jail", verdicts)).collect();
            exit_code(&suites)
        };
        assert_eq!(code(&[&[Verdict::Held, Verdict::NotApplicable]]), 0);
        assert_eq!(code(&[&[Verdict::Inconclusive], &[Verdict::Held, Verdict::Breached]]), 1);
        assert_eq!(code(&[&[Verdict::Held], &[Verdict::Inconclusive]]), 3);
        assert_eq!(code(&[]), 3);
        assert_eq!(code(&[&[Verdict::Held], &[]]), 3);
    }
}
