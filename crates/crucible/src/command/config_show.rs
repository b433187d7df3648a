//! `crucible config show`: every value and where it came from.

use crate::arguments::ConfigShowArguments;
use crate::exit::Exit;
use crate::output::{self, Format};
use crucible::catalogue;
use crucible::config::{Configuration, Environment, Setting};
use crucible_api::v1::SettingList;
use crucible_core::Result;
use std::fmt::Write;

/// Prints the configuration in force.
///
/// # Errors
/// As [`Configuration::load`], or `Io` where it can't be written.
pub(crate) fn show(arguments: &ConfigShowArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &arguments.settings.overrides())?;
    let settings = configuration.settings();
    match arguments.format() {
        Format::Json => output::json(&SettingList { settings: settings.iter().map(catalogue::setting).collect() }),
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
        let values: Vec<_> =
            part.iter().map(|setting| shorten(&catalogue::setting(setting).value.to_string())).collect();
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
