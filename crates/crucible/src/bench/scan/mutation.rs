//! Whether rules still see their own samples once those are written differently.
//!
//! Invariant: a mutated program counts as found only if the same rule finds something in it, or another of the same group
//! and at least the same severity, and never because of the disguise itself. Samples whose rule no longer sees them when comments and layout alone are gone aren't
//! counted, but named.

use super::corpus::scan_file;
use super::python::{Python, Script, Sight};
use crucible_core::{Result, Scanner};
use crucible_scan::RuleSet;
use crucible_scan::rules::Rule;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Writes programs differently.
pub(super) const MUTATE: Script =
    Script { operation: "mutate the samples", text: include_str!("mutate.py"), sight: Sight::StandardLibrary };

/// The language of the samples that are mutated.
const LANGUAGE: &str = "python";
/// A name that tells the language.
const FILE_NAME: &str = "sample.py";
/// The group of rules about disguises, which may see a mutation's own.
const DISGUISES: &str = "evasion";
/// The mutation that changes the layout alone.
const PRINTED: &str = "printed";

/// What the script answers.
#[derive(Debug, Deserialize)]
pub(super) struct Mutants {
    mutations: Vec<MutationName>,
    pub(super) mutants: Vec<Mutant>,
    /// Programs that aren't valid Python to begin with, by their place in the request.
    unparsed: BTreeSet<usize>,
}

#[derive(Debug, Deserialize)]
struct MutationName {
    name: String,
    kind: String,
}

/// A program written differently.
#[derive(Debug, Deserialize)]
pub(super) struct Mutant {
    /// The place in the request of what it was made from.
    program: usize,
    mutation: String,
    /// Its text.
    pub(super) code: String,
}

/// A sample of a rule.
struct RuleSample<'a> {
    rule: &'a Rule,
    text: &'a str,
}

/// What became of the mutated samples.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Mutated {
    /// Rules that have a sample in Python.
    pub(super) rules: usize,
    /// Their samples in Python.
    pub(super) samples: usize,
    /// Rules with samples that aren't valid Python for this interpreter, which can't be mutated; one entry for each sample.
    pub(super) not_python: Vec<String>,
    /// Rules with samples that they don't see when only comments and layout are gone; one entry for each sample.
    pub(super) about_layout: Vec<String>,
    /// Rules with samples that they don't see as they are; one entry for each sample. Their mutations count as missed.
    pub(super) unseen: Vec<String>,
    /// Mutated programs.
    pub(super) mutants: usize,
    /// Those found.
    pub(super) found: usize,
    /// The same by each mutation.
    pub(super) by_mutation: Vec<OfMutation>,
    /// What was not found.
    pub(super) missed: Vec<Missed>,
}

/// What became of the samples under one mutation.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct OfMutation {
    /// Its name.
    pub(super) mutation: String,
    /// Its kind: renaming, encoding, getattr.
    pub(super) kind: String,
    /// Programs that it changed.
    pub(super) mutants: usize,
    /// Those found.
    pub(super) found: usize,
}

/// A mutated program in which the rule's matter isn't found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Missed {
    rule: String,
    mutation: String,
    code: String,
}

impl Mutated {
    /// Mutates the samples of all rules and looks at them.
    ///
    /// # Errors
    /// `Unavailable` where a sample can't be mutated, or a mutated one isn't valid.
    pub(super) fn of(rules: &RuleSet, scanner: &dyn Scanner, python: &Python) -> Result<Self> {
        let samples = samples(rules);
        let texts: Vec<_> = samples.iter().map(|sample| sample.text).collect();
        let made: Mutants = python.call(MUTATE, &texts)?;
        let is_seen = |mutant: &Mutant| {
            samples.get(mutant.program).is_some_and(|sample| seen_by(sample.rule, &mutant.code, rules, scanner))
        };
        let id_of = |place: &usize| samples.get(*place).map(|sample| sample.rule.id.to_string());
        let is_unseen = |sample: &RuleSample<'_>| !seen_by(sample.rule, sample.text, rules, scanner);
        let unseen: BTreeSet<_> =
            samples.iter().enumerate().filter(|(_, sample)| is_unseen(sample)).map(|(place, _)| place).collect();
        // A sample that isn't seen to begin with stays in the count, as missed.
        let printed =
            made.mutants.iter().filter(|mutant| mutant.mutation == PRINTED && !unseen.contains(&mutant.program));
        let about_layout: BTreeSet<_> =
            printed.filter(|mutant| !is_seen(mutant)).map(|mutant| mutant.program).collect();

        let mut by_mutation: BTreeMap<&str, OfMutation> = BTreeMap::new();
        let mut missed = Vec::new();
        let counted = |mutant: &&Mutant| mutant.mutation != PRINTED && !about_layout.contains(&mutant.program);
        for mutant in made.mutants.iter().filter(counted) {
            let of_mutation = by_mutation.entry(&mutant.mutation).or_default();
            of_mutation.mutants += 1;
            if is_seen(mutant) {
                of_mutation.found += 1;
            } else {
                let rule = id_of(&mutant.program).unwrap_or_default();
                missed.push(Missed { rule, mutation: mutant.mutation.clone(), code: mutant.code.clone() });
            }
        }
        let by_mutation: Vec<_> = made
            .mutations
            .iter()
            .filter_map(|MutationName { name, kind }| {
                let of_mutation = by_mutation.remove(name.as_str())?;
                Some(OfMutation { mutation: name.clone(), kind: kind.clone(), ..of_mutation })
            })
            .collect();
        Ok(Self {
            rules: samples.iter().map(|sample| &*sample.rule.id).collect::<BTreeSet<_>>().len(),
            samples: samples.len(),
            not_python: made.unparsed.iter().filter_map(id_of).collect(),
            about_layout: about_layout.iter().filter_map(id_of).collect(),
            unseen: unseen.iter().filter_map(id_of).collect(),
            mutants: by_mutation.iter().map(|of| of.mutants).sum(),
            found: by_mutation.iter().map(|of| of.found).sum(),
            by_mutation,
            missed,
        })
    }

    /// The part of the mutated programs that is found.
    pub(super) fn recall(&self) -> f64 {
        part(self.found, self.mutants)
    }

    /// The kinds of mutations there are.
    pub(super) fn kinds(&self) -> BTreeSet<&str> {
        self.by_mutation.iter().map(|of| of.kind.as_str()).collect()
    }

    /// The recall for one kind of mutation.
    pub(super) fn recall_of(&self, kind: &str) -> f64 {
        let of_kind = || self.by_mutation.iter().filter(|of| of.kind == kind);
        part(of_kind().map(|of| of.found).sum(), of_kind().map(|of| of.mutants).sum())
    }
}

/// One number as a part of another.
pub(super) fn part(of: usize, all: usize) -> f64 {
    if all == 0 { f64::NAN } else { of as f64 / all as f64 }
}

/// The samples in Python that rules must match.
fn samples(rules: &RuleSet) -> Vec<RuleSample<'_>> {
    let all = rules.rules().iter().flat_map(|rule| rule.tests.matching.iter().map(move |sample| (rule, sample)));
    let in_python = all.filter(|(_, sample)| sample.language.as_deref() == Some(LANGUAGE));
    in_python
        .filter_map(|(rule, sample)| Some(RuleSample { rule, text: std::str::from_utf8(&sample.bytes).ok()? }))
        .collect()
}

/// Whether a rule, or one that says at least as much of the same matter, finds something in a program. Of a rule about a
/// disguise, only that very one counts.
fn seen_by(rule: &Rule, code: &str, rules: &RuleSet, scanner: &dyn Scanner) -> bool {
    let report = scan_file(scanner, FILE_NAME, code.as_bytes());
    report.findings.iter().any(|finding| {
        let other = rules.get(&finding.rule);
        let says_as_much = other.is_some_and(|other| {
            other.group == rule.group && *other.group != *DISGUISES && other.severity >= rule.severity
        });
        *finding.rule == *rule.id || says_as_much
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What mutations have trouble with, where they have any.
    const PROGRAMS: [&str; 7] = [
        "'''Says something.'''\nfrom __future__ import annotations\nimport os.path as p, sys\nprint(p.join('ab', 'cd'), sys)\n",
        "import xml.dom.minidom\nfrom base64 import b64decode as d\nxml.dom.minidom.parseString(d('PGEvPg==')).toxml()\n",
        "import sys\ndef f(first, *rest, named='value', **more):\n    global count\n    count = first\n    return f\"{count!r:>{10}} {'x' + named}\"\nf('one', named='two')\n",
        "class A:\n    kind = 'ab'\n    def m(self, x=b'\\x00\\xffz'):\n        return [x for x in self.kind if (y := x)]\nA().m(x=b'12')\n",
        "async def g():\n    try:\n        async with open('ab') as h:\n            yield await h\n    except* (OSError, ValueError) as e:\n        raise e from None\n",
        "match command:\n    case 'go' | 'stay':\n        import os\n        os.system('echo \u{e9}\u{1f600}')\n    case {'key': str(value), **rest}:\n        exec('print(1)')\n    case _ as other:\n        del other\n",
        "import os\n@os.register\ndef f(): return lambda q: os.path.join(q, '''a\nb''')\nfrom . import near\nfrom os import *\n",
    ];

    #[test]
    fn mutated_programs_are_valid_and_each_mutation_changes_something() {
        let python = Python::find().unwrap();
        let made: Mutants = python.call(MUTATE, &PROGRAMS).unwrap();
        assert!(made.unparsed.is_empty());
        for MutationName { name, .. } in &made.mutations {
            let changed = made.mutants.iter().filter(|mutant| mutant.mutation == *name).count();
            assert!(changed >= 2, "{name} changed {changed} programs");
        }
        let codes: Vec<_> = made.mutants.iter().map(|mutant| &mutant.code).collect();
        for mutant in &made.mutants {
            assert!(mutant.mutation == PRINTED || mutant.code.trim() != PROGRAMS[mutant.program].trim());
        }
        // Compiled by another script, and never run.
        let text = "import json, sys\nfor code in json.load(sys.stdin): compile(code, code, 'exec')\nprint('true')";
        let compile = Script { operation: "compile the mutants", text, sight: Sight::StandardLibrary };
        assert!(python.call::<bool>(compile, &codes).unwrap());
    }

    #[test]
    fn mutated_programs_do_what_they_did() {
        let python = Python::find().unwrap();
        let program = "import os.path as p\nfrom string import ascii_lowercase\ndef f(a, b='xy'):\n    c = p.join(a, b)\n    \
                       return c + ascii_lowercase[1:4] + f'{b}-z'\nprint(f('left'), b'by'.decode(), eval('1 + 2'))\n";
        let made: Mutants = python.call(MUTATE, &[program]).unwrap();
        assert_eq!(made.mutants.len(), made.mutations.len());
        for mutant in &made.mutants {
            let done = Command::new("python3").args(["-I", "-c", &mutant.code]).output().unwrap();
            let printed = String::from_utf8_lossy(&done.stdout);
            assert_eq!(printed, "left/xybcdxy-z by 3\n", "{}\n{}", mutant.mutation, mutant.code);
        }
    }

    /// One rule that sees its sample, one about a comment, one that doesn't see its sample.
    const RULES: &str = "
- { id: python.process.shell, severity: medium, group: process, message: m, does: d, why: w, match: { call: os.system },
    tests: { match: [\"import os\\nos.system('ls')\"], no_match: [x = 1] } }
- { id: python.evasion.hidden, severity: medium, group: evasion, message: m, does: d, why: w,
    match: { structure: hidden_characters }, tests: { match: [\"x = 1  # \\u202e\"], no_match: [x = 1] } }
- { id: python.network.absent, severity: low, group: network, message: m, does: d, why: w, match: { import: socket },
    tests: { match: [import os], no_match: [x = 1] } }
";

    #[test]
    fn samples_about_comments_are_left_out_and_samples_that_are_not_seen_count_as_missed() {
        let text = crucible_scan::rules::RuleText { name: "made-up.yaml", text: RULES };
        let rules = RuleSet::empty().with_texts(&[text]).unwrap();
        let scanner = crucible_scan::SourceScanner::new(rules.clone());
        let mutated = Mutated::of(&rules, &scanner, &Python::find().unwrap()).unwrap();
        assert_eq!((mutated.rules, mutated.samples), (3, 3));
        assert_eq!(mutated.about_layout, ["python.evasion.hidden"]);
        assert_eq!(mutated.unseen, ["python.network.absent"]);
        assert!(
            !mutated.missed.is_empty() && mutated.missed.iter().all(|missed| missed.rule == "python.network.absent")
        );
        assert_eq!(mutated.found + mutated.missed.len(), mutated.mutants);
        assert!((mutated.recall_of("encoding") - 1.0).abs() < 1e-9, "{mutated:?}");
    }

    #[test]
    fn what_is_no_python_is_told_and_not_mutated() {
        let python = Python::find().unwrap();
        let made: Mutants = python.call(MUTATE, &["print(", "a = 1", "x = '\0'"]).unwrap();
        assert_eq!(made.unparsed, BTreeSet::from([0, 2]));
        assert!(made.mutants.iter().all(|mutant| mutant.program == 1));
    }
}
