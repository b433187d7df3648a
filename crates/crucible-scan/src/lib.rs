//! Looks at programs before they run: source in, findings out. Pure: no I/O, nothing of the program is executed.

pub mod report;
mod rule_set;
pub mod rules;

pub use rule_set::RuleSet;
