//! Whether the attack suite's probes are noticed: by the scanner before they run, by the monitor while they do.
//!
//! Invariant: what nobody looked at is unknown, never noticed or unnoticed.

use super::corpus::scan_file;
use super::recall::ALERT;
use crucible_attacks::scenario::{Probe, Scenario};
use crucible_core::{Scanner, Severity};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What was noticed of each probe.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Probes {
    /// One entry for each probe, in the order of their names.
    pub(super) probes: Vec<Noticed>,
}

/// What was noticed of one probe.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Noticed {
    /// Its name: `python read_path.py`, `native remount`.
    pub(super) probe: String,
    /// The scenarios that it is in.
    pub(super) scenarios: Vec<String>,
    /// Whether the scanner found something of medium severity or above.
    pub(super) by_scan: bool,
    /// Whether the monitor told of anything; `None` where it didn't watch.
    pub(super) by_monitor: Option<bool>,
    /// Whether one of them noticed; `None` where the scanner didn't and the monitor didn't watch.
    pub(super) either: Option<bool>,
    /// The worst that the scanner found.
    pub(super) worst: Option<Severity>,
    /// The rules that found something of medium severity or above.
    pub(super) rules: BTreeSet<String>,
}

impl Probes {
    /// Looks at the probes of these scenarios. All native ones are in one program, which is looked at as it is.
    pub(super) fn of(scenarios: &[Scenario], native: &[u8], scanner: &dyn Scanner) -> Self {
        let mut probes: BTreeMap<String, (Vec<String>, &[u8], &str)> = BTreeMap::new();
        for scenario in scenarios {
            let (name, bytes, file) = match &scenario.probe {
                Probe::Python(file) => {
                    let source = scenario.source.as_deref().unwrap_or_default();
                    (format!("python {file}"), source.as_bytes(), file.as_str())
                }
                Probe::Module(_) => continue,
                Probe::Native(name) => (format!("native {name}"), native, "probe"),
            };
            probes.entry(name).or_insert_with(|| (Vec::new(), bytes, file)).0.push(scenario.id.clone());
        }
        let mut seen_native = None;
        let noticed = probes.into_iter().map(|(probe, (scenarios, bytes, file))| {
            let is_native = std::ptr::eq(bytes, native);
            let (worst, rules) = match &seen_native {
                Some(seen) if is_native => Clone::clone(seen),
                _ => look(scanner, file, bytes),
            };
            if is_native {
                seen_native = Some((worst, rules.clone()));
            }
            Noticed::new(probe, scenarios, worst, rules, None)
        });
        Self { probes: noticed.collect() }
    }

    /// Probes noticed by the scanner.
    pub(super) fn by_scan(&self) -> usize {
        self.probes.iter().filter(|probe| probe.by_scan).count()
    }

    /// Probes noticed by the monitor; `None` where it watched none.
    pub(super) fn by_monitor(&self) -> Option<usize> {
        let watched = self.probes.iter().any(|probe| probe.by_monitor.is_some());
        watched.then(|| self.probes.iter().filter(|probe| probe.by_monitor == Some(true)).count())
    }

    /// Probes known to be noticed by one of them.
    pub(super) fn either(&self) -> usize {
        self.probes.iter().filter(|probe| probe.either == Some(true)).count()
    }

    /// Scenarios whose probe is known to be noticed, and how many there are.
    pub(super) fn scenarios(&self) -> (usize, usize) {
        let noticed = self.probes.iter().filter(|probe| probe.either == Some(true));
        let count = |probe: &Noticed| probe.scenarios.len();
        (noticed.map(count).sum(), self.probes.iter().map(count).sum())
    }
}

impl Noticed {
    fn new(
        probe: String,
        scenarios: Vec<String>,
        worst: Option<Severity>,
        rules: BTreeSet<String>,
        by_monitor: Option<bool>,
    ) -> Self {
        let by_scan = worst >= Some(ALERT);
        let either = if by_scan { Some(true) } else { by_monitor };
        Self { probe, scenarios, by_scan, by_monitor, either, worst, rules }
    }
}

/// The worst that is found in a file, and the rules that raise an alert.
fn look(scanner: &dyn Scanner, name: &str, bytes: &[u8]) -> (Option<Severity>, BTreeSet<String>) {
    let report = scan_file(scanner, name, bytes);
    let alerts = report.findings.iter().filter(|finding| finding.severity >= ALERT);
    let rules = alerts.map(|finding| finding.rule.clone()).collect();
    (report.findings.iter().map(|finding| finding.severity).max(), rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noticed(worst: Option<Severity>, by_monitor: Option<bool>) -> Noticed {
        Noticed::new("python a.py".to_owned(), vec!["a.b".to_owned()], worst, BTreeSet::new(), by_monitor)
    }

    #[test]
    fn what_the_monitor_did_not_watch_is_unknown_unless_the_scanner_noticed() {
        assert_eq!(noticed(Some(Severity::Low), None).either, None);
        assert_eq!(noticed(None, Some(false)).either, Some(false));
        assert_eq!(noticed(None, Some(true)).either, Some(true));
        assert_eq!(noticed(Some(Severity::Medium), Some(false)).either, Some(true));
        let probes = Probes { probes: vec![noticed(None, None), noticed(Some(Severity::Critical), None)] };
        assert_eq!((probes.by_scan(), probes.by_monitor(), probes.either()), (1, None, 1));
        assert_eq!(probes.scenarios(), (1, 2));
    }
}
