//! Looks at programs before they run: source in, findings out. Pure: no I/O, nothing of the program is executed.

mod rule_set;
pub mod rules;

pub use rule_set::RuleSet;
