//! Policies by name or from a file.

use super::is_file;
use super::schema;
use super::source::{Origin, Source, read_settings};
use super::values::{Values, wrong};
use crucible_core::{
    Before, During, Error, ErrorKind, Layer, NetworkPolicy, Policy, Result, UnenforcedLimits, UnseenPosture, nearest,
};
use std::path::Path;

/// The policy that `text` names: a built-in one, or a file if it holds a slash or ends in `.toml`.
///
/// # Errors
/// `NotFound` for an unknown name or a missing file; `Configuration`, with file and line, for what the file gets wrong.
pub(crate) fn find(text: &str, origin: Option<&Origin>) -> Result<Policy> {
    if is_file(text) {
        return read(&origin.map_or_else(|| text.into(), |origin| origin.resolve(text)));
    }
    Policy::built_in(text).ok_or_else(|| {
        let place = origin.filter(|origin| !matches!(origin, Origin::Flag { .. })).map(|origin| format!("{origin}: "));
        let message = format!("{}there is no policy {text:?}", place.unwrap_or_default());
        let error = Error::new(ErrorKind::NotFound, "find the policy", message);
        match nearest(text, Policy::BUILT_IN) {
            Some(name) => error.with_hint(format!("did you mean '{name}'? a file is named with a slash or .toml")),
            None => error
                .with_hint(format!("known: {}; a file is named with a slash or .toml", Policy::BUILT_IN.join(", "))),
        }
    })
}

fn read(path: &Path) -> Result<Policy> {
    let text = read_settings(path, "policy file", ErrorKind::NotFound)?;
    let mut values = Values::default();
    values.overlay_text(&text, &Source::file(path), &schema::POLICY)?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let require = values.list("require").iter().map(|name| layer(&values, name)).collect::<Result<_>>()?;
    let choice = |key: &str, known: &[&str]| -> Result<()> {
        match values.text(key) {
            Some(text) if !known.contains(&text) => Err(unknown(&values, key, text, known)),
            _ => Ok(()),
        }
    };
    choice("network", &["none"])?;
    choice("unenforced_limits", &["refuse", "record"])?;
    choice("unseen_posture", &["refuse", "record"])?;
    Ok(Policy {
        name: values.text("name").map_or(stem, str::to_owned),
        require,
        network: NetworkPolicy::None,
        unenforced_limits: match values.text("unenforced_limits") {
            Some("record") => UnenforcedLimits::Record,
            _ => UnenforcedLimits::Refuse,
        },
        unseen_posture: match values.text("unseen_posture") {
            Some("refuse") => UnseenPosture::Refuse,
            _ => UnseenPosture::Record,
        },
        before: Before::default(),
        limits: None,
        during: During::default(),
    })
}

fn layer(values: &Values, name: &str) -> Result<Layer> {
    let known = Layer::ALL.map(Layer::as_str);
    Layer::ALL.into_iter().find(|layer| layer.as_str() == name).ok_or_else(|| unknown(values, "require", name, &known))
}

fn unknown(values: &Values, key: &str, given: &str, known: &[&str]) -> Error {
    let message = format!("unknown value {given:?}");
    let error = match values.get(key) {
        Some(located) => wrong(key, &located.origin, message),
        None => Error::new(ErrorKind::Configuration, "read the policy", message),
    };
    match nearest(given, known.iter().copied()) {
        Some(name) => error.with_hint(format!("did you mean '{name}'?")),
        None => error.with_hint(format!("known: {}", known.join(", "))),
    }
}
