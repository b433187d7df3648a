//! Whether values are what a rule wants them to be.
//!
//! Invariant: what isn't known passes no test of its content.

use super::regex;
use crate::facts::{Arguments, Data, Origin, Value};
use crate::names::{glob_matches, name_matches};
use crate::rules::{ArgumentName, ArgumentTest, Literal, Text, ValueState, ValueTest};
use rustc_hash::FxHashMap;
use std::ops::Range;
use std::sync::OnceLock;

/// The longest text that an expression is tried on, in bytes.
const LONGEST: usize = 1 << 20;

/// Regular expressions, compiled when they are first needed.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    compiled: FxHashMap<Text, OnceLock<Option<regex::bytes::Regex>>>,
}

impl Expressions {
    pub(super) fn keep(&mut self, regex: &Text) {
        if !self.compiled.contains_key(regex) {
            self.compiled.insert(regex.clone(), OnceLock::new());
        }
    }

    pub(super) fn keep_test(&mut self, test: &ValueTest) {
        match test {
            ValueTest::Text(patterns) => patterns.iter().for_each(|pattern| self.keep(&pattern.regex)),
            ValueTest::All(tests) | ValueTest::Any(tests) => tests.iter().for_each(|test| self.keep_test(test)),
            ValueTest::Not(test) => self.keep_test(test),
            _ => {}
        }
    }

    /// The first place in a text that an expression matches.
    pub(super) fn place(&self, expression: &Text, bytes: &[u8]) -> Option<Range<usize>> {
        let compiled = self.compiled.get(expression)?.get_or_init(|| regex(expression)).as_ref()?;
        compiled.find(&bytes[..bytes.len().min(LONGEST)]).map(|found| found.range())
    }

    pub(super) fn arguments_pass(&self, tests: &[ArgumentTest], arguments: &Arguments<'_>) -> bool {
        tests.iter().all(|test| self.argument_passes(test, arguments))
    }

    fn argument_passes(&self, test: &ArgumentTest, arguments: &Arguments<'_>) -> bool {
        let mut found = None;
        for name in &test.names {
            found = match name {
                ArgumentName::Position(place) => arguments.positional.get(*place as usize),
                ArgumentName::Keyword(keyword) => {
                    let key_of_object = || {
                        arguments.positional.iter().find_map(|argument| match argument {
                            Value::Object(entries) => {
                                entries.iter().find(|(key, _)| key == keyword.as_str()).map(|(_, value)| value)
                            }
                            _ => None,
                        })
                    };
                    arguments.keyword(keyword).or_else(key_of_object)
                }
                ArgumentName::Any => {
                    let keywords = arguments.keywords.iter().map(|(_, value)| value);
                    let mut all = arguments.positional.iter().chain(keywords);
                    return all.any(|value| self.value_passes(&test.test, Some(value)));
                }
            };
            if found.is_some() {
                break;
            }
        }
        self.value_passes(&test.test, found)
    }

    /// Whether a value passes; `None` for one that isn't there.
    pub(super) fn value_passes(&self, test: &ValueTest, value: Option<&Value<'_>>) -> bool {
        match (test, value) {
            (ValueTest::All(tests), value) => tests.iter().all(|test| self.value_passes(test, value)),
            (ValueTest::Any(tests), value) => tests.iter().any(|test| self.value_passes(test, value)),
            (ValueTest::Not(test), value) => !self.value_passes(test, value),
            (ValueTest::Is(states), value) => states.iter().any(|state| is_in(*state, value)),
            (_, None) => false,
            (ValueTest::Equals(literal), Some(value)) => equals(literal, value),
            (ValueTest::Text(patterns), Some(value)) => {
                let passes = |bytes: &[u8]| patterns.iter().any(|pattern| self.place(&pattern.regex, bytes).is_some());
                any_text(value, &passes)
            }
            (ValueTest::Glob(globs), Some(value)) => {
                any_text(value, &|bytes| globs.iter().any(|glob| glob_matches(glob, bytes)))
            }
            (ValueTest::Name(names), Some(value)) => match value {
                Value::Name(name, _) => names.iter().any(|wanted| name_matches(wanted, name)),
                Value::Member(member) => {
                    let name = format!("?.{}", member.1);
                    names.iter().any(|wanted| name_matches(wanted, &name))
                }
                Value::List(items) => items.iter().any(|item| match item {
                    Value::Name(name, _) => names.iter().any(|wanted| name_matches(wanted, name)),
                    _ => false,
                }),
                _ => false,
            },
            (ValueTest::AtLeast(bound), Some(value)) => value.as_number().is_some_and(|number| number >= *bound),
            (ValueTest::AtMost(bound), Some(value)) => value.as_number().is_some_and(|number| number <= *bound),
        }
    }
}

/// A text, or one of a list's.
fn any_text(value: &Value<'_>, passes: &dyn Fn(&[u8]) -> bool) -> bool {
    match value {
        Value::List(items) => items.iter().filter_map(Value::as_bytes).any(passes),
        value => value.as_bytes().is_some_and(passes),
    }
}

fn equals(literal: &Literal, value: &Value<'_>) -> bool {
    match (literal, value) {
        (Literal::Nothing, Value::Known(Data::Nothing, _)) => true,
        (Literal::Bool(wanted), Value::Known(Data::Bool(is), _)) => wanted == is,
        // In the languages that are read, 1 is as true as true where a truth value is wanted.
        (Literal::Bool(wanted), Value::Known(Data::Number(number), _)) => *wanted == (*number != 0.0),
        (Literal::Number(wanted), Value::Known(Data::Number(number), _)) => (wanted - number).abs() < f64::EPSILON,
        (Literal::Text(wanted), value) => value.as_bytes() == Some(wanted.as_bytes()),
        _ => false,
    }
}

fn is_in(state: ValueState, value: Option<&Value<'_>>) -> bool {
    let Some(value) = value else { return state == ValueState::Absent };
    let is_known = match value {
        Value::Known(..) => true,
        Value::List(items) => items.iter().all(|item| matches!(item, Value::Known(..))),
        _ => false,
    };
    match state {
        ValueState::Present => true,
        ValueState::Absent => false,
        ValueState::Constant => is_known,
        ValueState::Literal => is_known && value.origin() == Origin::Literal,
        ValueState::Assembled => value.origin() == Origin::Assembled,
        ValueState::Decoded => value.origin() == Origin::Decoded,
        ValueState::Unknown => !is_known,
    }
}
