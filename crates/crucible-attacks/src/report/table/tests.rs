//! The table as a person sees it, and its width whatever it is given.

use super::*;
use crate::report::sample;
use proptest::prelude::*;

/// As it is printed where colour isn't wanted.
fn plain(suites: &[SuiteResult], arms: Arms) -> String {
    anstream::adapter::strip_str(&table(suites, &sample::context(), arms)).to_string()
}

#[test]
fn show() {
    println!("{}", plain(&sample::two(), Arms::Protected));
    println!("{}", plain(&sample::two(), Arms::Both));
    println!("{}", plain(&[sample::ablated()], Arms::Protected));
    println!("{}", plain(&[sample::ablated()], Arms::Both));
    println!("{}", plain(&sample::hostile(), Arms::Protected));
}
proptest! {
    #[test]
    fn no_line_is_ever_wider_than_promised(suites in sample::any_suites(), both: bool) {
        let arms = if both { Arms::Both } else { Arms::Protected };
        let text = anstream::adapter::strip_str(&table(&suites, &sample::hostile_context(), arms)).to_string();
        for line in text.lines() {
            prop_assert!(width(line) <= TABLE_WIDTH, "{} columns: {line}", width(line));
        }
    }
}
