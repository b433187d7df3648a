//! Programs that wait for a person, one folder each, in a folder that only its owner may enter.
//!
//! In the folder of one there are: `held.json` (why it is held), `specification.json` (what is to be run), and in time
//! `review.json` (what was decided) and `finished`. Its state is which of them are there, so that no two can disagree.
//!
//! Invariant: it is there whole or not at all, after a kill at any moment, too; exactly one of those who decide at the same
//! time does; what can't be read is told, and stands in nobody's way. Sizes are bounded.

mod folder;
mod record;

use crate::documents::{self, Malformed};
use async_trait::async_trait;
use crucible_core::{
    Check, Component, Error, ErrorKind, EvaluationId, EvaluationSpec, HeldEvaluation, HeldList, HeldRecord, HeldState,
    HeldSummary, HostPath, Passed, Program, Result, Review, ReviewClaim, ReviewStore, SelfTest,
};
use folder::{Added, Folder};
use record::Screening;
use std::io;

const SCREENING: &str = "held.json";
const SPECIFICATION: &str = "specification.json";
const REVIEW: &str = "review.json";
const FINISHED: &str = "finished";

/// The most bytes of why something is held.
const MOST_SCREENING: u64 = 16 << 20;
/// The most bytes of what is to be run.
const MOST_SPECIFICATION: u64 = 256 << 20;
/// The most bytes of a decision.
const MOST_REVIEW: u64 = 64 << 10;
/// The most characters of a name, and of a reason.
const MOST_NAME: usize = 200;
const MOST_REASON: usize = 4000;
/// The most held evaluations that a list has.
const MOST_LISTED: usize = 4096;

const OPERATION: &str = "use the held evaluations";

/// Held evaluations in a folder, which is made on first use.
#[derive(Clone, Debug)]
pub struct FileReviews {
    folder: HostPath,
}

/// Why something can't be done.
#[derive(Debug)]
enum Failure {
    Disk(io::Error),
    Malformed(&'static str, Malformed),
    Other(Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(f),
            Self::Malformed(file, why) => write!(f, "{file} can't be read: {why}"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

type Done<T> = std::result::Result<T, Failure>;

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, OPERATION, message)
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Refused, OPERATION, message)
}

impl FileReviews {
    /// Those in that folder. It need not be there.
    #[must_use]
    pub const fn new(folder: HostPath) -> Self {
        Self { folder }
    }

    /// Does some work that waits for the disk.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> Done<T> + Send + 'static) -> Result<T> {
        let reviews = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&reviews).map_err(|failure| reviews.told(failure))).await;
        done.unwrap_or_else(|error| {
            let message = "using the held evaluations was given up";
            Err(Error::new(ErrorKind::Infrastructure, OPERATION, message).with_source(error))
        })
    }

    fn told(&self, failure: Failure) -> Error {
        let message = match failure {
            Failure::Other(error) => return error,
            failure => format!("the held evaluations in {} can't be used: {failure}", self.folder),
        };
        Error::new(ErrorKind::Io, OPERATION, message)
            .with_hint("review.folder of the configuration names another folder")
    }

    fn entry(&self, id: EvaluationId) -> Done<Folder> {
        let missing = || {
            let message = format!("no evaluation {id} is held here");
            Failure::Other(
                Error::new(ErrorKind::NotFound, OPERATION, message).with_hint("`crucible review list` shows them"),
            )
        };
        let found = Folder::open(self.folder.as_path()).and_then(|root| root.inner(&id.to_string()));
        found.map_err(|error| if error.kind() == io::ErrorKind::NotFound { missing() } else { error.into() })
    }

    fn summaries(&self) -> Done<HeldList> {
        let root = match Folder::open(self.folder.as_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HeldList::default()),
            opened => opened?,
        };
        let mut list = HeldList::default();
        let names = root.names()?;
        for name in &names {
            if list.held.len() + list.unreadable.len() >= MOST_LISTED {
                list.unreadable.push(format!("there are {} in all, and no more are shown", names.len()));
                break;
            }
            let id = name.parse::<EvaluationId>().ok().filter(|id| id.to_string() == *name);
            let Some(id) = id else {
                let shown: String = name.chars().take(64).collect();
                list.unreadable.push(format!("{shown:?} is no held evaluation"));
                continue;
            };
            match root.inner(name).map_err(Failure::from).and_then(|folder| summary(&folder, id)) {
                Ok(summary) => list.held.push(summary),
                // Removed meanwhile.
                Err(Failure::Disk(error)) if error.kind() == io::ErrorKind::NotFound && !root.has(name)? => {}
                Err(failure) => list.unreadable.push(format!("{id}: {failure}")),
            }
        }
        Ok(list)
    }
}

fn screening(folder: &Folder, id: EvaluationId) -> Done<Screening> {
    let bytes = folder.read(SCREENING, MOST_SCREENING)?;
    Screening::read(&bytes, id).map_err(|why| Failure::Malformed(SCREENING, why))
}

fn specification(folder: &Folder, id: EvaluationId) -> Done<EvaluationSpec> {
    let bytes = folder.read(SPECIFICATION, MOST_SPECIFICATION)?;
    documents::read_specification(&bytes, id).map_err(|why| Failure::Malformed(SPECIFICATION, why))
}

fn review(folder: &Folder) -> Done<Option<Review>> {
    match folder.read(REVIEW, MOST_REVIEW) {
        Ok(bytes) => documents::read_review(&bytes).map(Some).map_err(|why| Failure::Malformed(REVIEW, why)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn state(folder: &Folder, review: Option<&Review>) -> Done<HeldState> {
    Ok(match review {
        None => HeldState::Held,
        Some(_) if folder.has(FINISHED)? => HeldState::Finished,
        Some(review) => review.decision.into(),
    })
}

fn summary(folder: &Folder, id: EvaluationId) -> Done<HeldSummary> {
    let Screening { at, policy, program, findings, mut admission, .. } = screening(folder, id)?;
    let review = review(folder)?;
    let state = state(folder, review.as_ref())?;
    admission.review.clone_from(&review);
    let findings = u64::try_from(findings.len()).unwrap_or(u64::MAX);
    Ok(HeldSummary { id, at, policy, program, findings, admission, state, review })
}

/// A review that a record can show: who and why, in one line each.
fn check_review(review: &Review) -> Result<()> {
    for (what, text, most) in [("name", &review.by, MOST_NAME), ("reason", &review.reason, MOST_REASON)] {
        if text.trim().is_empty() {
            return Err(invalid(format!("a review needs a {what}")));
        }
        if text.chars().count() > most {
            return Err(invalid(format!("the {what} of a review has at most {most} characters")));
        }
        if text.chars().any(char::is_control) {
            return Err(invalid(format!("the {what} of a review is one line without control characters")));
        }
    }
    Ok(())
}

fn brief(spec: &EvaluationSpec) -> String {
    let text = match &spec.program {
        Program::Source { language, .. } => language.as_str(),
        Program::Command { argv } => argv.first().map_or("", String::as_str),
    };
    text.chars().take(MOST_NAME).collect()
}

#[async_trait]
impl ReviewStore for FileReviews {
    async fn hold(&self, held: &HeldEvaluation) -> Result<()> {
        let HeldEvaluation { spec, findings, admission, at } = held;
        let (id, malformed) = (spec.id, |why: Malformed| invalid(format!("the evaluation can't be kept: {why}")));
        let (policy, program) = (spec.policy.name.clone(), brief(spec));
        let (findings, admission) = (findings.clone(), admission.clone());
        let screening = Screening { id, at: *at, policy, program, findings, admission }.write().map_err(malformed)?;
        let specification = documents::write_specification(spec).map_err(malformed)?;
        for (bytes, most) in [(&screening, MOST_SCREENING), (&specification, MOST_SPECIFICATION)] {
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
                let message = format!("the evaluation takes {} bytes, more than the {most} that are kept", bytes.len());
                return Err(invalid(message).with_hint("give it less to run with, or a policy that doesn't hold it"));
            }
        }
        self.aside(move |reviews| {
            let root = Folder::open_or_create(reviews.folder.as_path())?;
            let files = [(SCREENING, screening.as_slice()), (SPECIFICATION, specification.as_slice())];
            match root.publish(&id.to_string(), &files) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    Err(refused(format!("the evaluation {id} is held already")).into())
                }
                done => Ok(done?),
            }
        })
        .await
    }

    async fn list(&self) -> Result<HeldList> {
        self.aside(Self::summaries).await
    }

    async fn get(&self, id: EvaluationId) -> Result<HeldRecord> {
        self.aside(move |reviews| {
            let folder = reviews.entry(id)?;
            let Screening { at, findings, mut admission, .. } = screening(&folder, id)?;
            let mut spec = specification(&folder, id)?;
            spec.review = review(&folder)?;
            let state = state(&folder, spec.review.as_ref())?;
            admission.review.clone_from(&spec.review);
            Ok(HeldRecord { held: HeldEvaluation { spec, findings, admission, at }, state })
        })
        .await
    }

    async fn decide(&self, id: EvaluationId, decided: Review) -> Result<()> {
        check_review(&decided)?;
        self.aside(move |reviews| {
            let folder = reviews.entry(id)?;
            // What can't be run can't be decided about.
            screening(&folder, id)?;
            let bytes = documents::write_review(&decided).map_err(|why| Failure::Malformed(REVIEW, why))?;
            if folder.add(REVIEW, &bytes)? == Added::Now {
                return Ok(());
            }
            let Some(earlier) = review(&folder)? else { return Err(io::Error::from(io::ErrorKind::NotFound).into()) };
            let (state, by) = (HeldState::from(earlier.decision), earlier.by);
            Err(refused(format!("{by} has {state} the evaluation {id} already")).into())
        })
        .await
    }

    async fn claim(&self, id: EvaluationId) -> Result<Box<dyn ReviewClaim>> {
        self.aside(move |reviews| {
            let folder = reviews.entry(id)?;
            let Some(review) = review(&folder)? else {
                let message = format!("nobody has decided about the evaluation {id} yet");
                let hint = format!("`crucible review show {id}` says why it is held; then approve or reject it");
                return Err(Error::new(ErrorKind::Held, OPERATION, message).with_hint(hint).into());
            };
            if !folder.take()? {
                return Err(refused(format!("the evaluation {id} is being run already")).into());
            }
            // Under the lock, since whoever had it may have finished meanwhile.
            match state(&folder, Some(&review))? {
                HeldState::Approved => {}
                HeldState::Finished => {
                    return Err(refused(format!(
                        "the evaluation {id} has run already, and an approval is for one run"
                    ))
                    .into());
                }
                HeldState::Held | HeldState::Rejected => {
                    return Err(
                        refused(format!("{} has rejected the evaluation {id}: {}", review.by, review.reason)).into()
                    );
                }
            }
            let spec = EvaluationSpec { review: Some(review), ..specification(&folder, id)? };
            Ok(Box::new(Claim { reviews: reviews.clone(), folder, spec }) as Box<dyn ReviewClaim>)
        })
        .await
    }

    async fn remove(&self, id: EvaluationId) -> Result<()> {
        self.aside(move |reviews| {
            let folder = reviews.entry(id)?;
            if !folder.take()? {
                return Err(refused(format!("the evaluation {id} is being run")).into());
            }
            Ok(Folder::open(reviews.folder.as_path())?.remove(&id.to_string())?)
        })
        .await
    }
}

/// An approved evaluation whose folder is taken.
struct Claim {
    reviews: FileReviews,
    folder: Folder,
    spec: EvaluationSpec,
}

#[async_trait]
impl ReviewClaim for Claim {
    fn spec(&self) -> &EvaluationSpec {
        &self.spec
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        let Self { reviews, folder, .. } = *self;
        reviews.aside(move |_| Ok(folder.add(FINISHED, b"").map(drop)?)).await
    }
}

#[async_trait]
impl Component for FileReviews {
    fn name(&self) -> &str {
        "reviews"
    }

    async fn self_test(&self) -> SelfTest {
        let name = "every held evaluation can be read";
        let check = match self.list().await {
            Ok(HeldList { held, unreadable }) if unreadable.is_empty() => {
                Check::new(name, Passed::Yes, format!("{} are held", held.len()))
            }
            Ok(HeldList { unreadable, .. }) => {
                let mend = format!("look at {} and remove what is broken", self.folder);
                Check::new(name, Passed::No, unreadable.join("; ")).with_mend(mend)
            }
            Err(error) => Check::new(name, Passed::No, error.to_string()).with_mend(error.hint().unwrap_or_default()),
        };
        SelfTest { component: self.name().to_owned(), checks: vec![check] }
    }
}

#[cfg(test)]
mod tests;
