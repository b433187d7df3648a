//! Many files at once, on all processors, and told in their order.
//!
//! Invariant: of a file only what is shown is kept, so that memory follows the number of findings, not of bytes.

use super::excerpt::Excerpt;
use super::sources::{Failure, MOST_BYTES, Source};
use crucible_core::{ScanFile, ScanReport, Scanner, Severity, Unread};
use crucible_scan::report::{Lines, fingerprints};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Whether lines are cut out of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excerpts {
    /// One for each finding.
    Cut,
    /// None.
    None,
}

/// How files are looked at.
pub(super) struct Request<'a> {
    pub(super) scanner: &'a dyn Scanner,
    /// The language of all of them.
    pub(super) language: Option<&'a str>,
    /// The mildest finding that is kept.
    pub(super) least: Severity,
    pub(super) excerpts: Excerpts,
}

/// What one file told.
pub(super) struct Looked {
    pub(super) name: String,
    pub(super) uri: String,
    /// How many bytes were looked at.
    pub(super) bytes: u64,
    pub(super) report: ScanReport,
    /// One for each finding.
    pub(super) fingerprints: Vec<String>,
    /// One for each finding, or none at all; `None` where the file has no lines to show.
    pub(super) excerpts: Vec<Option<Excerpt>>,
    /// Findings that weren't kept because they are too mild.
    pub(super) milder: u64,
    /// The worst finding, kept or not.
    pub(super) worst: Option<Severity>,
}

/// Looks at all of them and tells of each, in their order.
pub(super) fn look(request: &Request<'_>, sources: Vec<Source>, mut tell: impl FnMut(Result<Looked, Failure>)) {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(sources.len());
    let (next, sources) = (AtomicUsize::new(0), sources.as_slice());
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(source) = sources.get(index) else { break };
                    if sender.send((index, look_at(request, source))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (index, looked) in receiver {
            waiting.insert(index, looked);
            while let Some(looked) = waiting.remove(&due) {
                tell(looked);
                due += 1;
            }
        }
    });
}

#[expect(clippy::result_large_err, reason = "once for each file")]
fn look_at(request: &Request<'_>, source: &Source) -> Result<Looked, Failure> {
    let mut bytes = source.read()?;
    let (name, uri) = (source.name.clone(), source.uri.clone());
    let is_cut = bytes.len() as u64 > MOST_BYTES;
    if is_cut {
        bytes.pop();
    }
    let mut report = request.scanner.scan(&[ScanFile { name: &name, language: request.language, bytes: &bytes }]);
    if is_cut {
        let reason = format!("only its first {} MiB are looked at", MOST_BYTES >> 20);
        report.unread.push(Unread { file: name.clone(), reason });
    }
    let worst = report.findings.iter().map(|finding| finding.severity).max();
    let all = report.findings.len();
    report.findings.retain(|finding| finding.severity >= request.least);
    let mut lines = Lines::of(&bytes);
    let fingerprints = fingerprints(&lines, &report.findings);
    let excerpts = match request.excerpts {
        Excerpts::None => Vec::new(),
        Excerpts::Cut => {
            let mut cut = |region| Excerpt::cut(&mut lines, region);
            report.findings.iter().map(|finding| cut(finding.region)).collect()
        }
    };
    Ok(Looked {
        milder: (all - report.findings.len()) as u64,
        bytes: bytes.len() as u64,
        name,
        uri,
        report,
        fingerprints,
        excerpts,
        worst,
    })
}
