//! `crucible config show`: every value and where it came from.

use crate::arguments::ConfigShowArguments;
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::config::{Configuration, Environment, Origin, Setting, Value};
use crucible_core::Result;
use serde::Serialize;
use std::fmt::Write;

#[derive(Serialize)]
struct Shown<'a> {
    settings: Vec<ShownSetting<'a>>,
}

#[derive(Serialize)]
struct ShownSetting<'a> {
    key: &'a str,
    value: serde_json::Value,
    /// `default`, `file`, `environment` or `flag`.
    origin: &'static str,
    /// The file and line, the variable, or the flag.
    place: String,
}

impl<'a> From<&Setting<'a>> for ShownSetting<'a> {
    fn from(setting: &Setting<'a>) -> Self {
        let place = match setting.origin {
            Origin::Default { name, line } => format!("{name}:{line}"),
            origin => origin.to_string(),
        };
        Self { key: setting.key, value: as_json(setting.value), origin: setting.origin.kind(), place }
    }
}

fn as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(String::as_str).collect(),
        Value::Empty => serde_json::Value::Null,
    }
}

/// Prints the configuration in force.
///
/// # Errors
/// As [`Configuration::load`], or `Io` where it can't be written.
pub(crate) fn show(arguments: &ConfigShowArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &arguments.settings.overrides())?;
    let settings = configuration.settings();
    match arguments.format() {
        Format::Json => output::json(&Shown { settings: settings.iter().map(ShownSetting::from).collect() }),
        Format::Text => output::data(&table(&settings)),
    }
}

/// The longest value that is shown whole; the rest of a script of many lines would bury the table.
const LONGEST_VALUE: usize = 60;

fn table(settings: &[Setting<'_>]) -> String {
    let section = |setting: &Setting<'_>| setting.key.split('.').next().unwrap_or_default().to_owned();
    let mut text = String::new();
    for part in settings.chunk_by(|one, next| section(one) == section(next)) {
        if !text.is_empty() {
            text.push('\n');
        }
        let values: Vec<_> = part.iter().map(|setting| shorten(&as_json(setting.value).to_string())).collect();
        let keys = part.iter().map(|setting| setting.key.chars().count()).max().unwrap_or(0);
        let width = values.iter().map(|value| value.chars().count()).max().unwrap_or(0);
        for (setting, value) in part.iter().zip(&values) {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{:keys$} = {value:width$}  # {}", setting.key, setting.origin);
        }
    }
    text
}

fn shorten(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    value.chars().take(LONGEST_VALUE - 1).chain(['…']).collect()
}
