//! What was measured of the backends, as a table and as JSON: medians, and the median over the rounds of each round's ratio to
//! the tool that does the same without Crucible.

use crate::bench::report::{machine, median_ratio, quantile};
use serde_json::{Value, json};
use std::time::Duration;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole run of `print(1)`.
    Cold,
    /// Another command in an open sandbox.
    Again,
    /// A whole run in a sandbox that stood ready, next to the same program in an open sandbox.
    Warm,
    /// Whole runs by two who make one after the other: the time for each.
    Sustained,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Cold, Self::Again, Self::Warm, Self::Sustained];

    const fn title(self) -> &'static str {
        match self {
            Self::Cold => "print(1), from nothing to nothing",
            Self::Again => "true, in an open sandbox",
            Self::Warm => "print(1), where one stood ready",
            Self::Sustained => "print(1) by 2 workers, a run each",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Again => "again",
            Self::Warm => "warm",
            Self::Sustained => "sustained",
        }
    }
}

/// A promise: a backend takes at most this much of the time of a tool.
struct Promise {
    kind: Kind,
    backend: &'static str,
    peer: &'static str,
    most: f64,
}

const PROMISES: [Promise; 8] = [
    Promise { kind: Kind::Cold, backend: "docker", peer: "docker run --rm", most: 0.6 },
    Promise { kind: Kind::Cold, backend: "gvisor", peer: "runsc do", most: 0.9 },
    Promise { kind: Kind::Again, backend: "docker", peer: "docker exec", most: 0.25 },
    Promise { kind: Kind::Again, backend: "gvisor", peer: "runsc exec", most: 0.5 },
    Promise { kind: Kind::Warm, backend: "docker", peer: "docker exec", most: 0.15 },
    Promise { kind: Kind::Warm, backend: "gvisor", peer: "runsc exec", most: 0.3 },
    Promise { kind: Kind::Sustained, backend: "docker", peer: "docker run --rm", most: 0.25 },
    Promise { kind: Kind::Sustained, backend: "gvisor", peer: "runsc do", most: 0.33 },
];

/// One way's times.
struct Way {
    kind: Kind,
    name: String,
    /// The median of each round, in milliseconds.
    rounds: Vec<f64>,
    all: Vec<f64>,
}

/// All ways' times.
#[derive(Default)]
pub(super) struct Measured(Vec<Way>);

impl Measured {
    /// Adds a round.
    pub(super) fn add(&mut self, kind: Kind, name: &str, times: &[Duration]) {
        let times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        let median = quantile(&times, 0.5);
        match self.0.iter_mut().find(|way| way.kind == kind && way.name == name) {
            Some(way) => {
                way.rounds.push(median);
                way.all.extend(times);
            }
            None => self.0.push(Way { kind, name: name.to_owned(), rounds: vec![median], all: times }),
        }
    }

    fn find(&self, kind: Kind, name: &str) -> Option<&Way> {
        self.0.iter().find(|way| way.kind == kind && way.name == name)
    }
}

/// A whole result.
pub(super) struct Report {
    rounds: u32,
    measured: Measured,
    left_out: Vec<(String, String)>,
}

impl Report {
    pub(super) const fn new(rounds: u32, measured: Measured, left_out: Vec<(String, String)>) -> Self {
        Self { rounds, measured, left_out }
    }

    /// A way's promise with the ratio that it is about, if both were measured.
    fn promise(&self, way: &Way) -> Option<(&'static Promise, f64)> {
        let promise = PROMISES.iter().find(|promise| promise.kind == way.kind && promise.backend == way.name)?;
        let peer = self.measured.find(promise.kind, promise.peer)?;
        Some((promise, median_ratio(&way.rounds, &peer.rounds)))
    }

    /// The result for people.
    pub(super) fn table(&self) -> String {
        let mut text = format!("Backends, {} interleaved rounds, {}\n", self.rounds, machine());
        for kind in Kind::ALL {
            text.push_str(&format!("\n{:<36} median         p95\n", kind.title()));
            for way in self.measured.0.iter().filter(|way| way.kind == kind) {
                let compared = match self.promise(way) {
                    Some((Promise { peer, most, .. }, ratio)) => {
                        let verdict = if ratio <= *most { "kept" } else { "NOT KEPT" };
                        format!("   {ratio:.2} times {peer}; at most {most} is promised: {verdict}")
                    }
                    None => String::new(),
                };
                text.push_str(&format!(
                    "  {:<30} {:>8.2} ms {:>8.2} ms{compared}\n",
                    way.name,
                    quantile(&way.all, 0.5),
                    quantile(&way.all, 0.95)
                ));
            }
        }
        for (name, why) in &self.left_out {
            let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            text.push_str(&format!("\nleft out: {name}: {why}"));
        }
        text.push('\n');
        text
    }

    /// The result for programs: one JSON document.
    pub(super) fn json(&self) -> String {
        let ways: Vec<Value> = self
            .measured
            .0
            .iter()
            .map(|way| {
                let promise = self.promise(way);
                json!({
                    "kind": way.kind.word(),
                    "way": way.name,
                    "median_ms": quantile(&way.all, 0.5),
                    "p95_ms": quantile(&way.all, 0.95),
                    "rounds_median_ms": way.rounds,
                    "compared_with": promise.as_ref().map(|(promise, _)| promise.peer),
                    "ratio": promise.as_ref().map(|(_, ratio)| ratio),
                    "promised": promise.as_ref().map(|(promise, _)| promise.most),
                })
            })
            .collect();
        let left_out: Vec<Value> =
            self.left_out.iter().map(|(name, why)| json!({ "way": name, "reason": why })).collect();
        let document = json!({
            "benchmark": "backends",
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine(),
            "rounds": self.rounds,
            "ways": ways,
            "left_out": left_out,
        });
        format!("{document:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_judged_by_the_ratio_within_each_round() {
        let mut measured = Measured::default();
        // The machine was four times as slow in the second round, for both.
        for factor in [1, 4, 1] {
            measured.add(Kind::Cold, "docker", &[Duration::from_millis(50 * factor)]);
            measured.add(Kind::Cold, "docker run --rm", &[Duration::from_millis(100 * factor)]);
            measured.add(Kind::Again, "docker", &[Duration::from_millis(40 * factor)]);
            measured.add(Kind::Again, "docker exec", &[Duration::from_millis(100 * factor)]);
            measured.add(Kind::Cold, "gvisor", &[Duration::from_millis(100)]);
        }
        let report = Report::new(3, measured, vec![("wasm".to_owned(), "isn't here\u{1b}[1m".to_owned())]);
        let table = report.table();
        assert!(table.contains("0.50 times docker run --rm; at most 0.6 is promised: kept"), "{table}");
        assert!(table.contains("0.40 times docker exec; at most 0.25 is promised: NOT KEPT"), "{table}");
        assert!(table.contains("left out: wasm") && !table.contains('\u{1b}'));
        let document: Value = serde_json::from_str(&report.json()).unwrap();
        let gvisor = document["ways"].as_array().unwrap().iter().find(|way| way["way"] == "gvisor").unwrap();
        assert!(gvisor["ratio"].is_null() && gvisor["promised"].is_null());
    }
}
