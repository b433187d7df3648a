//! What the scanner's benchmark measured: as tables and as JSON, with what had to be reached.
//!
//! Invariant: a number that couldn't be measured reaches nothing.

use super::corpus::{Honest, Speed};
use super::human_eval::HumanEval;
use super::labels::Category;
use super::mutation::{Mutated, part};
use super::probes::Probes;
use super::recall::{Judged, Recall};
use crate::bench::report::{machine, median_ratio, quantile};
use crucible_core::Severity;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    /// The interpreter and its version.
    pub(super) python: String,
    /// bandit's version.
    pub(super) bandit: String,
    /// How many rules there are.
    pub(super) rules: usize,
    /// BLAKE3 of them.
    pub(super) rules_digest: String,
    /// How long it took to get the scanner ready, in milliseconds.
    pub(super) ready_ms: f64,
    /// On bandit's examples.
    pub(super) recall: Recall,
    /// On the standard library.
    pub(super) honest: Honest,
    /// On our own samples, mutated.
    pub(super) mutated: Mutated,
    /// How fast.
    pub(super) speed: Speed,
    /// On HumanEval.
    pub(super) human_eval: HumanEval,
    /// On the attack suite's probes.
    pub(super) probes: Probes,
}

/// Something that had to be reached.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Target {
    /// What was measured.
    pub(super) what: &'static str,
    /// What it came to.
    pub(super) value: f64,
    /// How the value has to be to the bound: `at least`, `above`, `below`, `at most`.
    pub(super) wanted: &'static str,
    /// The bound.
    pub(super) bound: f64,
    /// Whether it is so.
    pub(super) reached: bool,
}

impl Target {
    fn new(what: &'static str, value: f64, wanted: &'static str, bound: f64) -> Self {
        let reached = match wanted {
            "at least" => value >= bound,
            "above" => value > bound,
            "below" => value < bound,
            "at most" => value <= bound,
            _ => false,
        };
        Self { what, value, wanted, bound, reached }
    }
}

impl Report {
    /// What had to be reached, and whether it was.
    pub(super) fn targets(&self) -> Vec<Target> {
        let recall = &self.recall;
        let of_pairs = |judged: &Judged| part(judged.pairs, recall.pairs);
        vec![
            Target::new(
                "recall on bandit's examples, to bandit's",
                of_pairs(&recall.crucible),
                "at least",
                of_pairs(&recall.bandit),
            ),
            Target::new(
                "high findings per 1,000 lines of the standard library",
                self.honest.crucible_high_per_1000(),
                "below",
                1.0,
            ),
            Target::new("recall on mutated samples", self.mutated.recall(), "above", 0.9),
            Target::new("times bandit's speed, on all cores", self.all_cores_ratio(), "at least", 20.0),
            Target::new("HumanEval programs with a high finding", self.human_eval.high as f64, "at most", 0.0),
            Target::new(
                "probes noticed by scanner or monitor",
                part(self.probes.either(), self.probes.probes.len()),
                "at least",
                0.95,
            ),
        ]
    }

    fn one_thread_ratio(&self) -> f64 {
        median_ratio(&self.speed.crucible, &self.speed.bandit)
    }

    fn all_cores_ratio(&self) -> f64 {
        median_ratio(&self.speed.crucible_all_cores, &self.speed.bandit)
    }

    /// The result for people.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "The scanner with {} rules next to bandit {}, {}, {} interleaved rounds, {}\n",
            self.rules,
            self.bandit,
            self.python,
            self.speed.bandit.len(),
            machine()
        );
        // Writing to a String doesn't fail.
        let _written = self
            .write_recall(&mut text)
            .and_then(|()| self.write_honest(&mut text))
            .and_then(|()| self.write_mutated(&mut text))
            .and_then(|()| self.write_speed(&mut text))
            .and_then(|()| self.write_programs(&mut text))
            .and_then(|()| self.write_targets(&mut text));
        text
    }

    fn write_recall(&self, text: &mut String) -> std::fmt::Result {
        let recall = &self.recall;
        writeln!(
            text,
            "\nbandit's examples, {} half: {} files, {} with a category\n\n                                    labelled  crucible    bandit",
            recall.half, recall.files, recall.files_with_category
        )?;
        let mut line = |what: &str, of: Option<usize>, number: &dyn Fn(&Judged) -> usize| {
            let of = of.map(|of| of.to_string()).unwrap_or_default();
            let (ours, theirs) = (number(&recall.crucible), number(&recall.bandit));
            writeln!(text, "{what:<35} {of:>8} {ours:>9} {theirs:>9}")
        };
        for category in Category::ALL {
            let labelled = recall.labelled.get(&category).copied().unwrap_or_default();
            line(&category.to_string(), Some(labelled), &|judged| {
                judged.found.get(&category).copied().unwrap_or_default()
            })?;
        }
        line("all categories", Some(recall.pairs), &|judged| judged.pairs)?;
        line("  of medium severity or above", Some(recall.pairs), &|judged| judged.pairs_alerted)?;
        line("files with one of theirs found", Some(recall.files_with_category), &|judged| judged.files)?;
        line("found and not labelled", None, &|judged| judged.unlabelled_pairs)?;
        line("  of medium severity or above", None, &|judged| judged.unlabelled_pairs_alerted)?;
        let others = recall.files - recall.files_with_category;
        line("other files, medium or above", Some(others), &|judged| judged.other_files_alerted)?;
        line("  that counts for a category", Some(others), &|judged| judged.other_files_alerted_for_category)?;
        for (what, list) in [("not found", &recall.crucible.missed), ("not labelled", &recall.crucible.unlabelled)] {
            for (name, category) in list {
                writeln!(text, "  {what} by crucible: {category} in {name}")?;
            }
        }
        Ok(())
    }

    fn write_honest(&self, text: &mut String) -> std::fmt::Result {
        let honest = &self.honest;
        writeln!(
            text,
            "\nstandard library: {} files, {} lines, {:.1} MB, without folders named {}\n",
            honest.files,
            honest.lines,
            honest.bytes as f64 / 1e6,
            honest.left_out.join(", ")
        )?;
        writeln!(text, "findings                            crucible    bandit")?;
        for severity in Severity::ALL {
            let count = |findings: &BTreeMap<Severity, usize>| findings.get(&severity).copied().unwrap_or_default();
            writeln!(text, "{severity:<34} {:>9} {:>9}", count(&honest.crucible), count(&honest.bandit))?;
        }
        let (ours, theirs) = (honest.crucible_high_per_1000(), honest.bandit_high_per_1000());
        writeln!(text, "{:<34} {ours:>9.3} {theirs:>9.3}", "high or above per 1,000 lines")?;
        if !honest.not_whole.is_empty() || honest.beyond_bound > 0 {
            let (files, findings) = (honest.not_whole.len(), honest.beyond_bound);
            writeln!(text, "{files} files not looked at whole, {findings} findings beyond the bound")?;
        }
        Ok(())
    }

    fn write_mutated(&self, text: &mut String) -> std::fmt::Result {
        let mutated = &self.mutated;
        writeln!(
            text,
            "\nmutated samples: {} of {} rules in Python; {} not valid Python and {} about comments or layout left out; \
             {} not seen as they are\n",
            mutated.samples,
            mutated.rules,
            mutated.not_python.len(),
            mutated.about_layout.len(),
            mutated.unseen.len()
        )?;
        writeln!(text, "mutation                            programs     found    recall")?;
        for of in &mutated.by_mutation {
            let recall = part(of.found, of.mutants);
            writeln!(text, "{:<34} {:>9} {:>9} {recall:>9.3}", of.mutation, of.mutants, of.found)?;
        }
        for kind in mutated.kinds() {
            writeln!(text, "all of {kind:<27} {:>9} {:>9} {:>9.3}", "", "", mutated.recall_of(kind))?;
        }
        writeln!(text, "{:<34} {:>9} {:>9} {:>9.3}", "all", mutated.mutants, mutated.found, mutated.recall())
    }

    fn write_speed(&self, text: &mut String) -> std::fmt::Result {
        let speed = &self.speed;
        writeln!(text, "\nspeed on the standard library           MB/s   times bandit")?;
        let mut line = |what: &str, rounds: &[f64], ratio: f64| {
            writeln!(text, "{what:<34} {:>9.2} {ratio:>14.1}", quantile(rounds, 0.5))
        };
        line("crucible, 1 thread", &speed.crucible, self.one_thread_ratio())?;
        line(&format!("crucible, {} threads", speed.threads), &speed.crucible_all_cores, self.all_cores_ratio())?;
        line("bandit, 1 thread", &speed.bandit, 1.0)?;
        writeln!(text, "getting the scanner ready took {:.1} ms, once", self.ready_ms)
    }

    fn write_programs(&self, text: &mut String) -> std::fmt::Result {
        let human_eval = &self.human_eval;
        let worst: Vec<_> =
            human_eval.programs_by_worst.iter().map(|(worst, count)| format!("{count} {worst}")).collect();
        let worst = if worst.is_empty() { "nothing".to_owned() } else { worst.join(", ") };
        writeln!(text, "\nHumanEval: {} canonical programs; by the worst that is found: {worst}", human_eval.programs)?;
        let (probes, (noticed, scenarios)) = (&self.probes, self.probes.scenarios());
        let monitor = probes.by_monitor().map_or("not measured".to_owned(), |count| count.to_string());
        writeln!(
            text,
            "attack suite: {} probes; noticed by scan {}, by monitor {monitor}, by either {}; of {scenarios} scenarios {noticed}",
            probes.probes.len(),
            probes.by_scan(),
            probes.either()
        )
    }

    fn write_targets(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\ntarget                                                     measured              bound")?;
        for Target { what, value, wanted, bound, reached } in self.targets() {
            let reached = if reached { "reached" } else { "NOT reached" };
            writeln!(text, "{what:<55} {value:>11.3}  {wanted:>8} {bound:>7.3}  {reached}")?;
        }
        Ok(())
    }

    /// The result for programs: one JSON document.
    pub(super) fn json(&self) -> String {
        let probes = &self.probes;
        let (noticed, scenarios) = probes.scenarios();
        let kinds: BTreeMap<_, _> =
            self.mutated.kinds().into_iter().map(|kind| (kind.to_owned(), self.mutated.recall_of(kind))).collect();
        let document = json!({
            "benchmark": "scan",
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine(),
            "python": self.python,
            "bandit": self.bandit,
            "rules": self.rules,
            "rules_digest": self.rules_digest,
            "ready_ms": self.ready_ms,
            "rounds": self.speed.bandit.len(),
            "examples": self.recall,
            "standard_library": {
                "counts": self.honest,
                "crucible_high_per_1000_lines": self.honest.crucible_high_per_1000(),
                "bandit_high_per_1000_lines": self.honest.bandit_high_per_1000(),
            },
            "mutation": { "recall": self.mutated.recall(), "recall_by_kind": kinds, "counts": self.mutated },
            "speed": {
                "unit": "MB/s",
                "crucible": quantile(&self.speed.crucible, 0.5),
                "crucible_all_cores": quantile(&self.speed.crucible_all_cores, 0.5),
                "bandit": quantile(&self.speed.bandit, 0.5),
                "ratio": self.one_thread_ratio(),
                "ratio_all_cores": self.all_cores_ratio(),
                "rounds": self.speed,
            },
            "human_eval": self.human_eval,
            "attack_suite": {
                "by_scan": probes.by_scan(),
                "by_monitor": probes.by_monitor(),
                "either": probes.either(),
                "of": probes.probes.len(),
                "scenarios": { "noticed": noticed, "of": scenarios },
                "probes": probes.probes,
            },
            "targets": self.targets(),
        });
        format!("{document:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_reached_by_its_own_comparison_and_never_by_what_is_unknown() {
        let reached = |value, wanted, bound| Target::new("it", value, wanted, bound).reached;
        assert!(reached(20.0, "at least", 20.0) && !reached(19.9, "at least", 20.0));
        assert!(reached(0.91, "above", 0.9) && !reached(0.9, "above", 0.9));
        assert!(reached(0.0, "at most", 0.0) && !reached(1.0, "at most", 0.0));
        assert!(reached(0.9, "below", 1.0) && !reached(1.0, "below", 1.0));
        for wanted in ["at least", "above", "below", "at most"] {
            assert!(!reached(f64::NAN, wanted, 1.0), "{wanted}");
        }
    }
}
