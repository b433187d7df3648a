//! How many sandboxes of a kind are worth having ready: as many as are asked for in the time that it takes to make one, and one
//! more for who comes early.

use std::time::Duration;

/// How much a new observation counts beside all former ones.
const WEIGHT: f64 = 0.2;

/// What is known of a kind, as averages that forget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Demand {
    /// Seconds between two requests.
    between: Option<f64>,
    /// Seconds that making one takes.
    making: Option<f64>,
}

impl Demand {
    /// One was asked for, so long after the one before.
    pub(super) fn asked(&mut self, since: Duration) {
        average(&mut self.between, since);
    }

    /// One was made, in that time.
    pub(super) fn made(&mut self, took: Duration) {
        average(&mut self.making, took);
    }

    /// How many should stand ready.
    pub(super) fn wanted(&self) -> usize {
        const MOST: f64 = 1000.0;
        match (self.between, self.making) {
            (Some(between), Some(making)) if between > 0.0 => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
                let during = (making / between).ceil().clamp(0.0, MOST) as usize;
                during + 1
            }
            _ => 1,
        }
    }
}

fn average(known: &mut Option<f64>, new: Duration) {
    let new = new.as_secs_f64();
    *known = Some(known.map_or(new, |known| known + WEIGHT * (new - known)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(between: u64, making: u64) -> Demand {
        let mut demand = Demand::default();
        for _ in 0..100 {
            demand.asked(Duration::from_micros(between));
            demand.made(Duration::from_micros(making));
        }
        demand
    }

    #[test]
    fn what_is_asked_for_while_one_is_made_stands_ready_and_one_more() {
        assert_eq!(Demand::default().wanted(), 1);
        assert_eq!(demand(1_000_000, 1_000).wanted(), 2, "now and then");
        assert_eq!(demand(1_000, 3_000).wanted(), 4);
        assert_eq!(demand(10_000, 250_000).wanted(), 26, "what takes long to make");
        assert_eq!(demand(0, 1_000).wanted(), 1, "all at once tells no rate");
    }

    #[test]
    fn a_burst_is_forgotten() {
        let mut demand = demand(10, 1_000);
        assert!(demand.wanted() > 50);
        for _ in 0..60 {
            demand.asked(Duration::from_secs(1));
        }
        assert_eq!(demand.wanted(), 2);
    }
}
