//! Looking at a program that isn't to be run: what would be found in it, and what its policy would decide.
//!
//! Invariant: it is looked at and decided about by what does so before a run, and nothing is started. A scanner that fails
//! or takes too long is an error here, never a clean bill.

use crate::admission;
use crate::engine::Engine;
use crate::screening::{Screened, decide};
use crate::subject::{StreamedInput, Subject};
use crucible_core::{Error, ErrorKind, EvaluationSpec, Program, Result, ScanReport};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long looking at one program may take for somebody who waits.
const PATIENCE: Duration = Duration::from_secs(10);
const OPERATION: &str = "look at the program";

/// What was found in a program, and what its policy would decide.
#[derive(Clone, Debug)]
pub struct Preview {
    /// What was found.
    pub report: ScanReport,
    /// What would be decided.
    pub screened: Screened,
    /// How long looking took.
    pub took: Duration,
}

impl Engine {
    /// Looks at a program, and runs nothing.
    ///
    /// # Errors
    /// `InvalidInput`, `NotFound` or `Configuration` where the request can't be understood; `Refused` where this engine looks
    /// at no programs; `Infrastructure` where the scanner failed.
    pub async fn preview(&self, spec: EvaluationSpec) -> Result<Preview> {
        let Some(scanner) = self.scanner().map(Arc::clone) else {
            return Err(Error::new(ErrorKind::Refused, OPERATION, "this engine has no scanner to look"));
        };
        let language = match &spec.program {
            Program::Source { language, .. } => Some(self.languages().find(language)?),
            Program::Command { .. } => None,
        };
        let program = language.as_ref().map(|(name, language)| admission::program_path(name, language)).transpose()?;
        admission::check_files(&spec, program.as_ref())?;
        let source = program.as_ref().zip(language.as_ref().map(|(name, _)| name.as_str()));
        let subject = Subject::of(&spec, source, self.languages(), StreamedInput::No);
        let looking = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let mut report = scanner.scan(&subject.files(&spec));
            report.unread.extend(subject.unread);
            let screened = decide(&spec.policy, &report, scanner.rules_digest());
            Preview { report, screened, took: begun.elapsed() }
        });
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(Ok(preview)) => Ok(preview),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Infrastructure, OPERATION, "the scanner broke off")),
            Err(_) => Err(Error::new(ErrorKind::Infrastructure, OPERATION, "the scanner did not come to an end")),
        }
    }
}
