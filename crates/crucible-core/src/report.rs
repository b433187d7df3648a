//! What a report of the attack suite says besides the verdicts themselves: whose machine it was, under which policy, when,
//! and what the whole comes to.
//!
//! Invariant: the whole is held only where something was held and nothing else was left open. It renders nothing.

use crate::attack::{SuiteResult, Verdict};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Where and with what a suite was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportContext {
    /// Crucible's own version.
    pub version: String,
    /// The machine.
    pub node: ReportNode,
    /// The policy's name.
    pub policy: String,
    /// The ids of the attestations, by the name of the backend that each is about.
    pub attestations: BTreeMap<String, String>,
}

/// The machine that a suite was run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportNode {
    /// The kernel's release.
    pub kernel: String,
    /// Who ran the suite.
    pub user: UserKind,
}

/// What rights the user had who ran the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserKind {
    /// All of them.
    Root,
    /// Those of any user.
    Ordinary,
}

impl UserKind {
    /// The name in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Ordinary => "ordinary",
        }
    }
}

impl fmt::Display for UserKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What several suites come to: breached where any property is; else inconclusive where any is, where a suite is empty, and
/// where nothing was held at all; else held. Never not applicable.
#[must_use]
pub fn overall(suites: &[SuiteResult]) -> Verdict {
    let any = |verdict| suites.iter().any(|suite| suite.count(verdict) > 0);
    if any(Verdict::Breached) {
        Verdict::Breached
    } else if any(Verdict::Inconclusive)
        || !any(Verdict::Held)
        || suites.iter().any(|suite| suite.properties.is_empty())
    {
        Verdict::Inconclusive
    } else {
        Verdict::Held
    }
}

/// The last second that has four digits for its year, from 1970 on.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// A time in RFC 3339, in UTC, to the millisecond. Times before 1970 and after 9999 are told as those limits.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST_SECOND);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Expected, PropertyResult};

    fn suite(verdicts: &[Verdict]) -> SuiteResult {
        let property = |verdict: &Verdict| PropertyResult {
            id: "filesystem.host_path".to_owned(),
            group: "filesystem".to_owned(),
            statement: "a file of the host can't be read".to_owned(),
            expected: Expected::Hidden,
            references: Vec::new(),
            verdict: *verdict,
            reason: String::new(),
            protected: None,
            control: None,
            held_by: None,
        };
        SuiteResult {
            backend: "jail".to_owned(),
            suite: "0123".to_owned(),
            started: SystemTime::UNIX_EPOCH,
            took: Duration::ZERO,
            properties: verdicts.iter().map(property).collect(),
        }
    }

    #[test]
    fn the_whole_is_held_only_where_something_is_and_nothing_is_open() {
        use Verdict::{Breached, Held, Inconclusive, NotApplicable};
        let cases: &[(&[&[Verdict]], Verdict)] = &[
            (&[&[Held, NotApplicable], &[Held]], Held),
            (&[&[Held], &[NotApplicable]], Held),
            (&[&[Held, Inconclusive]], Inconclusive),
            (&[&[Inconclusive], &[Held, Breached]], Breached),
            (&[&[Breached, NotApplicable]], Breached),
            (&[], Inconclusive),
            (&[&[]], Inconclusive),
            (&[&[Held], &[]], Inconclusive),
            (&[&[NotApplicable, NotApplicable]], Inconclusive),
        ];
        for (verdicts, expected) in cases {
            let suites: Vec<_> = verdicts.iter().map(|verdicts| suite(verdicts)).collect();
            assert_eq!(overall(&suites), *expected, "{verdicts:?}");
        }
    }

    #[test]
    fn every_time_is_told_even_one_that_no_clock_should_show() {
        let after = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(rfc3339(after(1_780_000_000) + Duration::from_micros(1_234_567)), "2026-05-28T20:26:41.234Z");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(after(1_000_000_000_000)), "9999-12-31T23:59:59.000Z");
    }
}
