//! The standard library's own sources: what is found in honest code, and how fast.
//!
//! Invariant: every round measures every way, one after the other, on the same bytes. Ours are in memory before; bandit
//! reads files that the kernel has in memory.

use super::python::{Python, Script, Sight};
use crate::bench::failed;
use crucible_core::{Result, ScanFile, ScanReport, Scanner, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Has bandit look at files.
const RUN_BANDIT: Script =
    Script { operation: "run bandit", text: include_str!("run_bandit.py"), sight: Sight::StandardLibrary };

/// Files in memory.
#[derive(Debug)]
pub(super) struct Corpus {
    files: Vec<(String, Vec<u8>)>,
}

impl Corpus {
    /// Reads files.
    ///
    /// # Errors
    /// `Unavailable` for a file that can't be read.
    pub(super) fn read(paths: &[String]) -> Result<Self> {
        let files = paths.iter().map(|path| {
            let bytes = std::fs::read(path)
                .map_err(|error| failed("read the files", &format!("{path} can't be read")).with_source(error))?;
            Ok((path.clone(), bytes))
        });
        Ok(Self { files: files.collect::<Result<_>>()? })
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// How many lines it has, empty ones and comments too.
    pub(super) fn lines(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.iter().filter(|byte| **byte == b'\n').count()).sum()
    }

    /// Looks at each file by itself.
    pub(super) fn scan<'a>(&'a self, scanner: &'a dyn Scanner) -> impl Iterator<Item = (&'a str, ScanReport)> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), scan_file(scanner, name, bytes)))
    }

    /// How long it takes to look at all files on one thread.
    fn time_one_thread(&self, scanner: &dyn Scanner) -> Duration {
        let start = Instant::now();
        for (name, bytes) in &self.files {
            std::hint::black_box(scan_file(scanner, name, bytes));
        }
        start.elapsed()
    }

    /// How long it takes to look at all files on so many threads.
    fn time_threads(&self, scanner: &dyn Scanner, threads: usize) -> Duration {
        let next = AtomicUsize::new(0);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((name, bytes)) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        std::hint::black_box(scan_file(scanner, name, bytes));
                    }
                });
            }
        });
        start.elapsed()
    }

    fn paths(&self) -> Vec<&str> {
        self.files.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// Looks at one file alone.
pub(super) fn scan_file(scanner: &dyn Scanner, name: &str, bytes: &[u8]) -> ScanReport {
    scanner.scan(&[ScanFile { name, language: None, bytes }])
}

/// What bandit says.
#[derive(Debug, Deserialize)]
pub(super) struct BanditAnswer {
    /// How long it looked.
    seconds: f64,
    /// What it found.
    pub(super) findings: Vec<BanditFinding>,
    /// How many files it looked at.
    pub(super) looked_at: usize,
}

/// What bandit found.
#[derive(Debug, Deserialize)]
pub(super) struct BanditFinding {
    /// The file, as it was named to it.
    pub(super) file: String,
    /// The test's id.
    pub(super) rule: String,
    /// How bad: low, medium or high.
    pub(super) severity: Severity,
}

/// Has bandit look at files.
///
/// # Errors
/// `Unavailable` where it breaks.
pub(super) fn run_bandit(python: &Python, library: &str, files: &[&str]) -> Result<BanditAnswer> {
    python.call(RUN_BANDIT, &serde_json::json!({ "library": library, "files": files }))
}

/// What is found in honest code.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Honest {
    /// Files that were looked at.
    pub(super) files: usize,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Their lines.
    pub(super) lines: usize,
    /// Names of folders that were left out.
    pub(super) left_out: Vec<String>,
    /// Findings of ours, by severity.
    pub(super) crucible: BTreeMap<Severity, usize>,
    /// bandit's.
    pub(super) bandit: BTreeMap<Severity, usize>,
    /// Findings of ours of high severity or above, by rule.
    pub(super) crucible_high_by_rule: BTreeMap<String, usize>,
    /// Files that ours didn't look at whole.
    pub(super) not_whole: Vec<String>,
    /// Findings of ours beyond the bound on their number, which none of the counts has.
    pub(super) beyond_bound: u64,
}

impl Honest {
    /// Looks at the corpus with both.
    pub(super) fn of(corpus: &Corpus, left_out: &[String], scanner: &dyn Scanner, bandit: &BanditAnswer) -> Self {
        let mut honest = Self {
            files: corpus.files.len(),
            bytes: corpus.bytes(),
            lines: corpus.lines(),
            left_out: left_out.to_vec(),
            ..Self::default()
        };
        for (_, report) in corpus.scan(scanner) {
            for finding in &report.findings {
                *honest.crucible.entry(finding.severity).or_default() += 1;
                if finding.severity >= Severity::High {
                    *honest.crucible_high_by_rule.entry(finding.rule.clone()).or_default() += 1;
                }
            }
            honest.not_whole.extend(report.unread.iter().map(|unread| format!("{}: {}", unread.file, unread.reason)));
            honest.beyond_bound += report.left_out;
        }
        for finding in &bandit.findings {
            *honest.bandit.entry(finding.severity).or_default() += 1;
        }
        honest
    }

    /// Findings of high severity or above for every 1,000 lines: ours.
    pub(super) fn crucible_high_per_1000(&self) -> f64 {
        per_1000(&self.crucible, self.lines)
    }

    /// The same, bandit's.
    pub(super) fn bandit_high_per_1000(&self) -> f64 {
        per_1000(&self.bandit, self.lines)
    }
}

fn per_1000(findings: &BTreeMap<Severity, usize>, lines: usize) -> f64 {
    let high: usize = findings.range(Severity::High..).map(|(_, count)| count).sum();
    if lines == 0 { f64::NAN } else { high as f64 * 1e3 / lines as f64 }
}

/// How fast both are, in megabytes (10⁶ bytes) for each second, round by round.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Speed {
    /// Threads of ours where all cores are used.
    pub(super) threads: usize,
    /// Ours on one thread.
    pub(super) crucible: Vec<f64>,
    /// Ours on all cores.
    pub(super) crucible_all_cores: Vec<f64>,
    /// bandit, which has one thread.
    pub(super) bandit: Vec<f64>,
}

/// Measures both, and gives what bandit found.
///
/// # Errors
/// `Unavailable` where bandit breaks or looks at other files.
pub(super) fn measure(
    corpus: &Corpus,
    rounds: u32,
    scanner: &dyn Scanner,
    python: &Python,
    library: &str,
) -> Result<(Speed, BanditAnswer)> {
    let megabytes = corpus.bytes() as f64 / 1e6;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut speed = Speed { threads, ..Speed::default() };
    let paths = corpus.paths();
    // What is made once is made before the clock runs.
    corpus.time_one_thread(scanner);
    let mut last = None;
    for _ in 0..rounds {
        speed.crucible.push(megabytes / corpus.time_one_thread(scanner).as_secs_f64());
        speed.crucible_all_cores.push(megabytes / corpus.time_threads(scanner, threads).as_secs_f64());
        let bandit = run_bandit(python, library, &paths)?;
        if bandit.looked_at != paths.len() {
            let message = format!("bandit looked at {} of {} files", bandit.looked_at, paths.len());
            return Err(failed("measure bandit", &message));
        }
        speed.bandit.push(megabytes / bandit.seconds);
        last = Some(bandit);
    }
    let last = last.ok_or_else(|| failed("measure", "there has to be a round"))?;
    Ok((speed, last))
}
