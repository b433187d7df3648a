//! The middle of numbers and how far they are from it, by medians: half of the numbers could be anything without moving
//! either far. Pure.
//!
//! Small enough to be ours: a crate that has both would bring more along than it saves.

/// What makes the median absolute deviation of normally spread numbers their standard deviation: 1/Φ⁻¹(3/4).
pub(crate) const TO_STANDARD_DEVIATION: f64 = 1.4826;

/// The median and the median absolute deviation of some numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// Half of the numbers are no farther from the median than this. Not scaled.
    pub(crate) deviation: f64,
}

/// How numbers are spread; `None` without any. They must be finite.
pub(crate) fn spread(numbers: &[f64]) -> Option<Spread> {
    let mut numbers = numbers.to_vec();
    let median = median(&mut numbers)?;
    for number in &mut numbers {
        *number = (*number - median).abs();
    }
    Some(Spread { median, deviation: self::median(&mut numbers)? })
}

/// The middle one, or halfway between the two in the middle. Their order is lost.
fn median(numbers: &mut [f64]) -> Option<f64> {
    let middle = numbers.len() / 2;
    let even = numbers.len().is_multiple_of(2);
    if numbers.is_empty() {
        return None;
    }
    let (lower, upper, _) = numbers.select_nth_unstable_by(middle, f64::total_cmp);
    let below = if even { lower.iter().copied().max_by(f64::total_cmp) } else { None };
    Some(below.map_or(*upper, |below| f64::midpoint(below, *upper)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_spreads_come_out() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[7.0]), Some(Spread { median: 7.0, deviation: 0.0 }));
        assert_eq!(spread(&[1.0, 2.0]), Some(Spread { median: 1.5, deviation: 0.5 }));
        assert_eq!(spread(&[9.0, 1.0, 6.0, 2.0, 4.0, 2.0, 1.0]), Some(Spread { median: 2.0, deviation: 1.0 }));
        assert_eq!(spread(&[3.0, 3.0, 3.0, 1e18]), Some(Spread { median: 3.0, deviation: 0.0 }));
    }

    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        proptest::collection::vec((-1_000_000_i32..1_000_000).prop_map(f64::from), 1..60)
    }

    proptest! {
        #[test]
        fn half_are_on_either_side_of_the_median_and_half_within_the_deviation(numbers in numbers()) {
            let Spread { median, deviation } = spread(&numbers).unwrap();
            let count = |is: &dyn Fn(f64) -> bool| numbers.iter().filter(|number| is(**number)).count();
            prop_assert!(2 * count(&|number| number <= median) >= numbers.len());
            prop_assert!(2 * count(&|number| number >= median) >= numbers.len());
            prop_assert!(2 * count(&|number| (number - median).abs() <= deviation) >= numbers.len());
            prop_assert!(2 * count(&|number| (number - median).abs() >= deviation) >= numbers.len());
        }

        #[test]
        fn the_order_does_not_matter_and_shifting_and_scaling_do_what_they_should(
            numbers in numbers(), shift in -1000_i32..1000, scale in 1_i32..100,
        ) {
            let (before, scale, shift) = (spread(&numbers).unwrap(), f64::from(scale), f64::from(shift));
            let mut reversed = numbers.clone();
            reversed.reverse();
            prop_assert_eq!(spread(&reversed).unwrap(), before);
            let moved: Vec<_> = numbers.iter().map(|number| number * scale + shift).collect();
            let after = spread(&moved).unwrap();
            prop_assert_eq!((after.median, after.deviation), (before.median * scale + shift, before.deviation * scale));
        }

        #[test]
        fn fewer_than_half_of_the_numbers_move_neither_beyond_the_others(
            numbers in numbers(), wild in proptest::collection::vec(-1e15_f64..1e15, 0..60),
        ) {
            let wild = &wild[..wild.len().min((numbers.len() - 1) / 2)];
            let all: Vec<_> = numbers.iter().chain(wild).copied().collect();
            let Spread { median, deviation } = spread(&all).unwrap();
            let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
            let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least <= median && median <= most);
            prop_assert!(deviation <= most - least);
        }
    }
}
