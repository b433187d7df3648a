//! How times are spread: counts by size, so that those of many buckets can be put together.

use crucible_api::v1::Percentiles;
use std::collections::BTreeMap;

/// How many sizes there are up to twice a time: so a percentile is right to a tenth.
const PER_DOUBLING: f64 = 8.0;
/// The shortest time that is told from a shorter one, in milliseconds.
const SHORTEST: f64 = 0.01;

/// Times by their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spread(BTreeMap<u16, u32>);

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before")]
fn size(milliseconds: f64) -> u16 {
    ((milliseconds.max(SHORTEST) / SHORTEST).log2() * PER_DOUBLING).round().clamp(0.0, 400.0) as u16
}

fn of_size(size: u16) -> f64 {
    let exact = SHORTEST * (f64::from(size) / PER_DOUBLING).exp2();
    (exact * 1000.0).round() / 1000.0
}

impl Spread {
    pub(super) fn add(&mut self, milliseconds: f64) {
        if milliseconds.is_finite() && milliseconds >= 0.0 {
            let count = self.0.entry(size(milliseconds)).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (size, more) in &other.0 {
            let count = self.0.entry(*size).or_default();
            *count = count.saturating_add(*more);
        }
    }

    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let all: u64 = self.0.values().map(|count| u64::from(*count)).sum();
        let of = |hundredths: u64| {
            let wanted = (all * hundredths).div_ceil(100).max(1);
            let mut seen = 0;
            let found = self.0.iter().find(|(_, count)| {
                seen += u64::from(**count);
                seen >= wanted
            });
            found.map_or(0.0, |(size, _)| of_size(*size))
        };
        (all > 0).then(|| Percentiles { p50: of(50), p90: of(90), p99: of(99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_a_tenth_and_those_of_parts_can_be_put_together() {
        let (mut low, mut high) = (Spread::default(), Spread::default());
        for number in 1..=500_u32 {
            low.add(f64::from(number));
            high.add(f64::from(number + 500));
        }
        low.merge(&high);
        let found = low.percentiles().unwrap();
        for (seen, exact) in [(found.p50, 500.0), (found.p90, 900.0), (found.p99, 990.0)] {
            assert!((seen - exact).abs() < exact / 10.0, "{seen} {exact}");
        }
        assert_eq!(Spread::default().percentiles(), None);
        let mut odd = Spread::default();
        [f64::NAN, -1.0, f64::INFINITY].into_iter().for_each(|time| odd.add(time));
        assert_eq!(odd, Spread::default());
        odd.add(0.0);
        odd.add(f64::MAX);
        assert!(odd.percentiles().unwrap().p99.is_finite());
    }
}
