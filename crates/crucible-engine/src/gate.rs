//! Where a program waits until it was looked at and its policy has decided, if its policy decides anything by that.
//!
//! Invariant: what a policy may not let in doesn't start. Looking happens on a thread of its own and bounds nothing else;
//! where nothing depends on it, it goes on beside the run. Nothing is looked at before the evaluation was cleared.

use crate::admission::Admitted;
use crate::engine::{Clearance, Engine};
use crate::journal::Journal;
use crate::screening::{Screened, Wall, decide};
use crate::subject::{StreamedInput, Subject};
use crucible_core::{
    AdmissionRecord, Decision, Error, ErrorKind, EvaluationSpec, Event, Finding, Result, ReviewDecision, ScanReport,
    Unread,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long looking at one program may take. A scanner bounds itself to much less.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a program is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before a backend is chosen: which is enough depends on it.
    BeforeBackend,
    /// While its sandbox is made, and before it starts.
    BeforeStart,
    /// Beside everything else, for the record.
    Beside,
}

/// Whether a program may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    LetIn,
    Denied,
    Held,
}

/// What was found and decided.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) findings: Vec<Finding>,
    pub(crate) admission: AdmissionRecord,
    pub(crate) wall: Wall,
    pub(crate) entry: Entry,
    /// How long looking took.
    pub(crate) took: Duration,
}

type Looking = JoinHandle<(ScanReport, Duration)>;

/// Looking at the program: what begins it, and then what goes on. Neither where there is nobody who looks.
#[derive(Default)]
struct Look {
    ahead: Option<Box<dyn FnOnce() -> Looking + Send>>,
    begun: Option<Looking>,
}

impl Look {
    fn begun(&mut self) -> Option<&mut Looking> {
        if let Some(begin) = self.ahead.take() {
            self.begun = Some(begin());
        }
        self.begun.as_mut()
    }
}

/// The gate of one evaluation.
pub(crate) struct Gate<'a> {
    spec: Arc<EvaluationSpec>,
    when: When,
    rules_digest: Option<String>,
    clearance: &'a dyn Clearance,
    looking: Mutex<Look>,
    passed: OnceCell<Passed>,
    cancel: CancellationToken,
}

impl<'a> Gate<'a> {
    /// Decides when there is to be looked.
    ///
    /// # Errors
    /// `Refused` where the policy decides by what is found and the engine has no scanner.
    pub(crate) fn open(
        engine: &Engine,
        spec: &Arc<EvaluationSpec>,
        admitted: &Admitted,
        input: StreamedInput,
        cancel: &CancellationToken,
        clearance: &'a dyn Clearance,
    ) -> Result<Self> {
        let before = &spec.policy.before;
        let rejected = spec.review.as_ref().is_some_and(|review| review.decision == ReviewDecision::Rejected);
        let when = match (before.demands_walls(), before.needs_findings() || rejected) {
            (true, _) => When::BeforeBackend,
            (false, true) => When::BeforeStart,
            (false, false) => When::Beside,
        };
        if engine.scanner().is_none() && before.needs_findings() {
            let message = format!(
                "policy '{}' decides by what is found in a program, and this engine has no scanner to look",
                spec.policy.name
            );
            return Err(Error::new(ErrorKind::Refused, "look at the program", message)
                .with_hint("give the engine one (Engine::with_scanner), or choose a policy without [before]"));
        }
        let looking = engine.scanner().map_or_else(Look::default, |scanner| {
            let named = admitted.language.as_ref().map(|(name, _)| name.as_str());
            let source = admitted.program.as_ref().zip(named);
            let subject = Subject::of(spec, source, engine.languages(), input);
            let (scanner, spec) = (Arc::clone(scanner), Arc::clone(spec));
            let scan = move || {
                let began = std::time::Instant::now();
                let mut report = scanner.scan(&subject.files(&spec));
                report.unread.extend(subject.unread);
                (report, began.elapsed())
            };
            Look { ahead: Some(Box::new(move || tokio::task::spawn_blocking(scan))), begun: None }
        });
        Ok(Self {
            spec: Arc::clone(spec),
            when,
            rules_digest: engine.scanner().map(|scanner| scanner.rules_digest().to_owned()),
            clearance,
            looking: Mutex::new(looking),
            passed: OnceCell::new(),
            cancel: cancel.clone(),
        })
    }

    /// When it is needed.
    pub(crate) const fn when(&self) -> When {
        self.when
    }

    /// What was found and decided, if that is known yet.
    pub(crate) fn passed(&self) -> Option<&Passed> {
        self.passed.get()
    }

    /// Waits until the program was looked at and decides; `None` where the evaluation is cancelled first.
    ///
    /// # Errors
    /// `Infrastructure` where the scanner failed and something depends on it; those of the clearance.
    pub(crate) async fn pass(&self, journal: &Journal) -> Result<Option<&Passed>> {
        let settle = self.passed.get_or_try_init(|| async {
            self.clearance.cleared().await?;
            let mut looking = self.looking.lock().await;
            let looked = match looking.begun() {
                Some(looking) => Some(self.look(looking).await?),
                None => None,
            };
            let passed = self.decide(looked);
            if passed.admission.rules_digest.is_some() {
                let findings = u64::try_from(passed.findings.len()).unwrap_or(u64::MAX);
                journal.record(Event::Screened { findings, decision: passed.admission.decision });
            }
            if let Some(review) = &self.spec.review {
                journal.record(Event::Reviewed { review: review.clone() });
            }
            Ok(passed)
        });
        tokio::select! {
            biased;
            passed = settle => passed.map(Some),
            () = self.cancel.cancelled() => Ok(None),
        }
    }

    /// Findings, admission, and how long looking took, for the record.
    pub(crate) fn record(&self) -> (Vec<Finding>, AdmissionRecord, Duration) {
        let passed = self.passed.get();
        let record = |passed: &Passed| (passed.findings.clone(), passed.admission.clone(), passed.took);
        passed.map_or_else(|| (Vec::new(), AdmissionRecord::unexamined(), Duration::ZERO), record)
    }

    async fn look(&self, looking: &mut Looking) -> Result<(ScanReport, Duration)> {
        let began = Instant::now();
        let problem = match tokio::time::timeout(PATIENCE, looking).await {
            Ok(Ok(looked)) => return Ok(looked),
            Ok(Err(_)) => "the scanner broke off",
            Err(_) => "the scanner did not come to an end",
        };
        if self.when != When::Beside {
            return Err(Error::new(ErrorKind::Infrastructure, "look at the program", problem)
                .with_hint("the policy decides by what is found, so nothing was started"));
        }
        let unread = Unread { file: "(everything)".to_owned(), reason: problem.to_owned() };
        Ok((ScanReport { unread: vec![unread], ..ScanReport::default() }, began.elapsed()))
    }

    fn decide(&self, looked: Option<(ScanReport, Duration)>) -> Passed {
        let (mut screened, findings, took) = match (looked, &self.rules_digest) {
            (Some((report, took)), Some(digest)) => (decide(&self.spec.policy, &report, digest), report.findings, took),
            _ => {
                let nothing = Screened { admission: AdmissionRecord::unexamined(), wall: Wall::any() };
                (nothing, Vec::new(), Duration::ZERO)
            }
        };
        let reviewed = self.spec.review.as_ref().map(|review| review.decision);
        let entry = match (screened.admission.decision, reviewed) {
            (Decision::Deny, _) | (_, Some(ReviewDecision::Rejected)) => Entry::Denied,
            (Decision::Hold, None) => Entry::Held,
            (Decision::Hold, Some(ReviewDecision::Approved)) | (Decision::Allow, _) => Entry::LetIn,
        };
        screened.admission.review.clone_from(&self.spec.review);
        Passed { findings, admission: screened.admission, wall: screened.wall, entry, took }
    }
}
