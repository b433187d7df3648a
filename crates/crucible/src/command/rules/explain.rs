//! `crucible rules explain`: everything about one rule, to be read.

use super::super::scan::{one_line, style};
use super::{configuration, find};
use crate::arguments::RulesExplainArguments;
use crate::exit::Exit;
use crate::output::{self, visible};
use crucible::compose;
use crucible_core::Result;
use crucible_scan::rules::{Rule, Sample};
use std::fmt::Write;

/// The longest line of a paragraph, in characters.
const WIDTH: usize = 100;

/// The most of a sample that is shown, in bytes.
const MOST_OF_SAMPLE: usize = 2048;

/// Says everything about the rule.
///
/// # Errors
/// As [`super::rules`].
pub(super) fn explain(arguments: &RulesExplainArguments) -> Result<Exit> {
    let rules = compose::rules(&configuration()?, &arguments.rules)?;
    output::data(&page(find(&rules, &arguments.id)?))
}

fn page(rule: &Rule) -> String {
    let mut text = String::new();
    let style = style(rule.severity);
    let languages: Vec<_> = rule.languages.iter().map(|language| language.as_str()).collect();
    let foreshadows: Vec<_> = rule.foreshadows.iter().map(|kind| kind.as_str()).collect();
    // Writing to a String can't fail, so its result is let go throughout.
    let _ = writeln!(text, "{}\n  {}\n", rule.id, one_line(&rule.message));
    let _ = writeln!(text, "severity     {style}{}{style:#}", rule.severity);
    let rows = [
        ("group", rule.group.to_string()),
        ("languages", languages.join(", ")),
        ("the program", rule.does.to_string()),
        ("at run time", foreshadows.join(", ")),
        ("see", rule.references.names().join(", ")),
    ];
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{name:11}  {}", one_line(&value));
    }
    let _ = writeln!(text, "\nwhy");
    for line in wrapped(&one_line(&rule.why)) {
        let _ = writeln!(text, "  {line}");
    }
    samples(&mut text, "finds something in", &rule.tests.matching);
    samples(&mut text, "finds nothing in", &rule.tests.not_matching);
    text
}

fn samples(text: &mut String, title: &str, samples: &[Sample]) {
    for (index, sample) in samples.iter().enumerate() {
        if index == 0 {
            let _ = writeln!(text, "\n{title}");
        } else {
            text.push_str("  --\n");
        }
        for line in shown(sample) {
            let _ = writeln!(text, "  {line}");
        }
    }
}

/// The lines of a sample, or what it is where it has none.
fn shown(sample: &Sample) -> Vec<String> {
    let bytes = sample.bytes.get(..MOST_OF_SAMPLE).unwrap_or(&sample.bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => {
            text.lines().map(|line| line.chars().map(visible).collect::<String>().trim_end().to_owned()).collect()
        }
        _ => {
            let hex: String = bytes.iter().take(32).map(|byte| format!("{byte:02x}")).collect();
            let rest = if bytes.len() > 32 { "…" } else { "" };
            vec![format!("{} bytes: {hex}{rest}", sample.bytes.len())]
        }
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines.last().is_some_and(|line| !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
