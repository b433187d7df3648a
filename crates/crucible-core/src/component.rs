//! A part that can test itself at start and say what it saw.

use async_trait::async_trait;

/// How one check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// Could not be looked at here; `seen` says why.
    Skipped,
}

/// One check of a self-test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was checked, as a sentence without a full stop.
    pub name: String,
    /// How it came out.
    pub status: CheckStatus,
    /// What was seen.
    pub seen: String,
    /// What to do about a failure; may be empty.
    pub mend: String,
}

impl Check {
    /// A check that passed or failed.
    pub fn new(name: impl Into<String>, passed: Passed, seen: impl Into<String>) -> Self {
        let status = match passed {
            Passed::Yes => CheckStatus::Passed,
            Passed::No => CheckStatus::Failed,
        };
        Self { name: name.into(), status, seen: seen.into(), mend: String::new() }
    }

    /// A check that couldn't be made here.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), status: CheckStatus::Skipped, seen: why.into(), mend: String::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }
}

/// Whether what was seen is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It is.
    Yes,
    /// It isn't.
    No,
}

impl From<bool> for Passed {
    fn from(passed: bool) -> Self {
        if passed { Self::Yes } else { Self::No }
    }
}

/// What a component's self-test found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// The component.
    pub component: String,
    /// Its checks.
    pub checks: Vec<Check>,
}

impl SelfTest {
    /// Whether no check failed and at least one was made.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.checks.iter().any(|check| check.status == CheckStatus::Passed)
            && self.checks.iter().all(|check| check.status != CheckStatus::Failed)
    }

    /// Whether this machine simply doesn't have it, which is said by checks that are skipped, all of them.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.status == CheckStatus::Skipped)
    }
}

/// A part of Crucible that tests itself.
#[async_trait]
pub trait Component: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// Looks whether it works, by doing what it is for.
    async fn self_test(&self) -> SelfTest;
}
