//! Which findings foretold a behaviour: those whose rule foreshadows its kind, the best fitting ones of them.
//!
//! What is looked through for one kind is bounded, so that a program with many findings can't make the record slow.

use super::Screened;
use super::words::bounded;
use crucible_core::{BehaviorKind, Finding, GuestPath};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Findings that are named for one behaviour.
const MOST_NAMED: usize = 3;
/// Findings that are weighed for one kind.
const MOST_WEIGHED: usize = 32;
/// Words of a name that are looked for.
const MOST_WORDS: usize = 8;
/// Characters of what a finding says the program does.
const LONGEST_DEED: usize = 120;
/// Characters of a file's name.
const LONGEST_FILE: usize = 80;

/// One finding that foreshadows a kind.
struct Candidate {
    index: usize,
    /// Everything that it says, in lower case.
    text: String,
}

/// Finds what foretold something.
pub(super) struct Foretelling<'a> {
    screened: Screened<'a>,
    /// Whether findings are in several files, so that a line alone doesn't tell where.
    several_files: bool,
    candidates: BTreeMap<BehaviorKind, Vec<Candidate>>,
}

impl<'a> Foretelling<'a> {
    pub(super) fn new(screened: Screened<'a>) -> Self {
        let several_files = match screened {
            Screened::Not => false,
            Screened::As { findings, program } => match program {
                Some(program) => findings.iter().any(|finding| !is_program(program, &finding.file)),
                None => findings.windows(2).any(|pair| matches!(pair, [one, other] if one.file != other.file)),
            },
        };
        Self { screened, several_files, candidates: BTreeMap::new() }
    }

    /// The findings that foretold a behaviour of that name, by their indices, in their own order.
    pub(super) fn of(&mut self, kind: BehaviorKind, name: &str) -> Vec<usize> {
        let Screened::As { findings, program } = self.screened else { return Vec::new() };
        let candidates = self.candidates.entry(kind).or_insert_with(|| weighed(kind, findings, program));
        let words = words(name);
        let fit = |candidate: &Candidate| words.iter().filter(|word| candidate.text.contains(word.as_str())).count();
        let mut fitting: Vec<_> = candidates.iter().map(|candidate| (fit(candidate), candidate.index)).collect();
        // What speaks of the name itself makes the others a guess.
        if fitting.iter().any(|(fit, _)| *fit > 0) {
            fitting.retain(|(fit, _)| *fit > 0);
        }
        // Candidates come with the worst first, which a stable sort keeps among equals.
        fitting.sort_by_key(|(fit, _)| Reverse(*fit));
        let mut said = BTreeSet::new();
        let mut chosen: Vec<usize> = fitting
            .into_iter()
            .map(|(_, index)| index)
            .filter(|index| findings.get(*index).is_some_and(|finding| said.insert(finding.does.as_str())))
            .take(MOST_NAMED)
            .collect();
        chosen.sort_unstable();
        chosen
    }

    /// «imports socket (line 3), calls connect (line 5)», empty where there is none; `None` where nothing was scanned.
    pub(super) fn in_words(&self, foretold: &[usize]) -> Option<String> {
        let Screened::As { findings, .. } = self.screened else { return None };
        let deed = |finding: &Finding| {
            let (does, line) = (bounded(&finding.does, LONGEST_DEED), finding.region.line);
            if self.several_files {
                format!("{does} ({}, line {line})", bounded(&finding.file, LONGEST_FILE))
            } else {
                format!("{does} (line {line})")
            }
        };
        let deeds: Vec<_> = foretold.iter().filter_map(|index| findings.get(*index)).map(deed).collect();
        Some(deeds.join(", "))
    }
}

/// Whether a scanner's name for a file means the program.
fn is_program(program: &GuestPath, file: &str) -> bool {
    program.as_str() == file || program.within_work() == Some(file)
}

/// The findings that foreshadow a kind: those in the program itself if there are any, the worst first.
fn weighed(kind: BehaviorKind, findings: &[Finding], program: Option<&GuestPath>) -> Vec<Candidate> {
    // Who wants to connect doesn't know what is let out.
    let kind = if kind == BehaviorKind::ConnectionMade { BehaviorKind::ConnectionRefused } else { kind };
    let foreshadowing = || findings.iter().enumerate().filter(|(_, finding)| finding.foreshadows.contains(&kind));
    let own = |finding: &Finding| program.is_some_and(|program| is_program(program, &finding.file));
    let mut chosen: Vec<_> = foreshadowing().filter(|(_, finding)| own(finding)).collect();
    if chosen.is_empty() {
        chosen = foreshadowing().collect();
    }
    chosen.sort_by_key(|(_, finding)| Reverse(finding.severity));
    let candidate = |(index, finding): (usize, &Finding)| {
        let text = bounded(&finding.does, LONGEST_DEED) + "\n" + &bounded(&finding.message, LONGEST_DEED);
        Candidate { index, text: text.to_lowercase() }
    };
    chosen.into_iter().take(MOST_WEIGHED).map(candidate).collect()
}

/// What of a name can be recognised elsewhere: itself, and its words.
fn words(name: &str) -> Vec<String> {
    let name = name.to_lowercase();
    let parts = name.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').filter(|part| part.len() > 2);
    let mut words: Vec<String> = Vec::new();
    for word in std::iter::once(name.as_str()).chain(parts).take(MOST_WORDS) {
        if word.len() > 2 && !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    }
    words
}
