//! The language table from settings.

use super::values::{Values, wrong};
use crucible_core::{Error, Language, Result};
use std::collections::BTreeMap;

/// Reads every `[languages.NAME]`.
///
/// # Errors
/// `Configuration`, with the place, for a language that lacks what every language must say.
pub(crate) fn read(values: &Values) -> Result<BTreeMap<String, Language>> {
    values
        .names("languages.")
        .into_iter()
        .map(|name| read_one(values, &name).map(|language| (name, language)))
        .collect()
}

fn read_one(values: &Values, name: &str) -> Result<Language> {
    let key = |field: &str| format!("languages.{name}.{field}");
    let lacks = |field: &str, what: &str| -> Error {
        let table = format!("languages.{name}");
        let message = format!("`{field}` is missing: {what}");
        match values.below(&format!("{table}.")).next() {
            Some((_, located)) => wrong(&table, &located.origin, message),
            None => Error::new(crucible_core::ErrorKind::Configuration, "read the configuration", message),
        }
    };
    let text = |field: &str| values.text(&key(field)).filter(|text| !text.is_empty()).map(str::to_owned);
    let run = values.list(&key("run"));
    if run.is_empty() {
        return Err(lacks("run", "the command that runs a program, such as [\"{interpreter}\", \"{file}\"]"));
    }
    Ok(Language {
        title: text("title").unwrap_or_else(|| name.to_owned()),
        endings: values.list(&key("endings")),
        aliases: values.list(&key("aliases")),
        interpreters: values.list(&key("interpreters")),
        run,
        file_name: text("file_name")
            .ok_or_else(|| lacks("file_name", "what the program's file is called, such as main.rb"))?,
        probe: values.list(&key("probe")),
        files: values.list(&key("files")),
        image: text("image").unwrap_or_default(),
        env: values.variables(&key("env.")),
        install_hint: text("install_hint").unwrap_or_default(),
        wasm: text("wasm").unwrap_or_default(),
        ready: text("ready").unwrap_or_default(),
        preload: values.list(&key("preload")),
    })
}
