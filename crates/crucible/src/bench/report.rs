//! What a benchmark measured, as a table and as JSON: medians, and the median over the rounds of each round's ratio to the
//! plain process.

use crucible::compose::JAIL;
use serde_json::json;
use std::time::Duration;

/// The way that all others are compared with. It is measured first.
const PLAIN: &str = "plain";

/// Times of single runs of one way.
pub(super) struct Latency {
    name: &'static str,
    /// The median of each round, in milliseconds.
    rounds: Vec<f64>,
    all: Vec<f64>,
}

impl Latency {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new(), all: Vec::new() }
    }

    pub(super) fn add_round(&mut self, times: Vec<Duration>) {
        let times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        self.rounds.push(quantile(&times, 0.5));
        self.all.extend(times);
    }
}

/// What looking at sandboxes from outside added to single runs, in microseconds.
#[derive(Default)]
pub(super) struct Looks(Vec<f64>);

impl Looks {
    pub(super) fn add(&mut self, times: impl Iterator<Item = Duration>) {
        self.0.extend(times.map(|time| time.as_secs_f64() * 1e6));
    }
}

/// What something adds to a run: differences between two that were made one right after the other, in milliseconds.
#[derive(Default)]
pub(super) struct Differences(Vec<f64>);

impl Differences {
    pub(super) fn add(&mut self, [with, without]: [Duration; 2]) {
        self.0.push((with.as_secs_f64() - without.as_secs_f64()) * 1e3);
    }

    fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// Between which values the median of all such pairs lies, with 95% confidence: those so many places beside the middle.
    fn interval(&self) -> [f64; 2] {
        #[expect(clippy::cast_precision_loss, reason = "so many pairs aren't made")]
        let beside = 0.98 / (self.0.len().max(1) as f64).sqrt();
        [quantile(&self.0, (0.5 - beside).max(0.0)), quantile(&self.0, (0.5 + beside).min(1.0))]
    }
}

/// Runs per second of one way with a number of workers.
pub(super) struct Throughput {
    name: &'static str,
    workers: u32,
    rounds: Vec<f64>,
}

impl Throughput {
    pub(super) const fn new(name: &'static str, workers: u32) -> Self {
        Self { name, workers, rounds: Vec::new() }
    }

    pub(super) fn add_round(&mut self, runs_per_second: f64) {
        self.rounds.push(runs_per_second);
    }
}

/// A whole result.
pub(super) struct Report {
    rounds: u32,
    interpreter: String,
    latencies: Vec<Latency>,
    throughputs: Vec<Throughput>,
    looks: Looks,
    watching: Differences,
}

impl Report {
    pub(super) fn new(
        rounds: u32,
        interpreter: &str,
        latencies: Vec<Latency>,
        throughputs: Vec<Throughput>,
        (looks, watching): (Looks, Differences),
    ) -> Self {
        Self { rounds, interpreter: interpreter.to_owned(), latencies, throughputs, looks, watching }
    }

    fn latency_ratio(&self, latency: &Latency) -> f64 {
        let plain = self.latencies.iter().find(|plain| plain.name == PLAIN);
        plain.map_or(f64::NAN, |plain| median_ratio(&latency.rounds, &plain.rounds))
    }

    fn throughput_ratio(&self, throughput: &Throughput) -> f64 {
        let plain = self.throughputs.iter().find(|plain| plain.name == PLAIN && plain.workers == throughput.workers);
        plain.map_or(f64::NAN, |plain| median_ratio(&throughput.rounds, &plain.rounds))
    }

    /// The result for people.
    pub(super) fn table(&self) -> String {
        let mut text = format!(
            "One run of print(1) by {}, {} interleaved rounds, {}\n\n",
            self.interpreter,
            self.rounds,
            machine()
        );
        text.push_str("latency              median      p95   times plain\n");
        for latency in &self.latencies {
            let (median, p95) = (quantile(&latency.all, 0.5), quantile(&latency.all, 0.95));
            text.push_str(&format!(
                "{:<17} {median:>7.2} ms {p95:>5.2} ms   {:>11.2}\n",
                latency.name,
                self.latency_ratio(latency)
            ));
        }
        text.push_str(&format!(
            "\nof jail, the posture check {:>4.0} µs median, {:.0} µs p95\n",
            quantile(&self.looks.0, 0.5),
            quantile(&self.looks.0, 0.95)
        ));
        let [low, high] = self.watching.interval();
        text.push_str(&format!(
            "of jail, watching the guest {:>4.0} µs median of {} pairs, {:.0} to {:.0} with 95% confidence\n",
            self.watching.median() * 1e3,
            self.watching.0.len(),
            low * 1e3,
            high * 1e3
        ));
        text.push_str("\nruns per second     workers    runs/s   times plain\n");
        for throughput in &self.throughputs {
            let median = quantile(&throughput.rounds, 0.5);
            text.push_str(&format!(
                "{:<17} {:>9} {median:>9.1}   {:>11.2}\n",
                throughput.name,
                throughput.workers,
                self.throughput_ratio(throughput)
            ));
        }
        text
    }

    /// The result for programs: one JSON document.
    pub(super) fn json(&self) -> String {
        let latencies: Vec<_> = self
            .latencies
            .iter()
            .map(|latency| {
                json!({
                    "way": latency.name,
                    "median_ms": quantile(&latency.all, 0.5),
                    "p95_ms": quantile(&latency.all, 0.95),
                    "ratio_to_plain": self.latency_ratio(latency),
                    "rounds_median_ms": latency.rounds,
                })
            })
            .collect();
        let throughputs: Vec<_> = self
            .throughputs
            .iter()
            .map(|throughput| {
                json!({
                    "way": throughput.name,
                    "workers": throughput.workers,
                    "runs_per_second": quantile(&throughput.rounds, 0.5),
                    "ratio_to_plain": self.throughput_ratio(throughput),
                    "rounds_runs_per_second": throughput.rounds,
                })
            })
            .collect();
        let document = json!({
            "benchmark": "cold",
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine(),
            "interpreter": self.interpreter,
            "rounds": self.rounds,
            "latency": latencies,
            "posture_check": {
                "way": JAIL,
                "runs": self.looks.0.len(),
                "median_us": quantile(&self.looks.0, 0.5),
                "p95_us": quantile(&self.looks.0, 0.95),
            },
            "watching_the_guest": {
                "way": JAIL,
                "pairs": self.watching.0.len(),
                "median_ms": self.watching.median(),
                "interval_95_ms": self.watching.interval(),
            },
            "throughput": throughputs,
        });
        format!("{document:#}\n")
    }
}

pub(super) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, Linux {}", crucible::compose::node().kernel)
}

/// The median over the rounds of what this way took to what the other took.
pub(super) fn median_ratio(of: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    quantile(&ratios, 0.5)
}

/// The value below which this part of the values lies; 0 of none.
pub(super) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index within the list"
    )]
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_each_round() {
        // The machine was twice as slow in the second round, for both.
        let mut plain = Latency::new(PLAIN);
        let mut jail = Latency::new(JAIL);
        for factor in [1, 2, 1] {
            plain.add_round(vec![Duration::from_millis(10 * factor)]);
            jail.add_round(vec![Duration::from_millis(12 * factor)]);
        }
        let mut looks = Looks::default();
        looks.add([90, 80, 500].into_iter().map(Duration::from_micros));
        let mut watching = Differences::default();
        for micros in [12_100, 12_000, 11_900] {
            watching.add([Duration::from_micros(micros), Duration::from_micros(11_900)]);
        }
        let report = Report::new(3, "python3", vec![plain, jail], Vec::new(), (looks, watching));
        let document: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert!((document["latency"][1]["ratio_to_plain"].as_f64().unwrap() - 1.2).abs() < 1e-9);
        assert!((document["posture_check"]["median_us"].as_f64().unwrap() - 90.0).abs() < 1e-6);
        assert!((document["watching_the_guest"]["median_ms"].as_f64().unwrap() - 0.1).abs() < 1e-6);
        assert!(report.table().contains("1.20") && report.table().contains("90 µs median"));
    }

    #[test]
    fn quantiles_of_few_values_are_values_themselves() {
        assert!((quantile(&[3.0, 1.0, 2.0], 0.5) - 2.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
    }
}
