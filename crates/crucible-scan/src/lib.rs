//! Looks at programs before they run: source in, findings out. Pure: no I/O, nothing of the program is executed.

mod byte_patterns;
mod bytes;
mod disguise;
mod facts;
mod fold;
mod language;
mod languages;
mod matching;
mod names;
mod parsing;
mod pickle;
mod program;
mod reading;
pub mod report;
mod rule_set;
pub mod rules;
mod scanner;
mod scopes;
mod self_test;
mod source;
mod walk;

pub use rule_set::RuleSet;
pub use scanner::SourceScanner;
