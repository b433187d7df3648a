//! What the tools are given, as it comes.
//!
//! Invariant: a name that isn't known is an error that names it, so that a model that guessed wrong learns it. What the values
//! mean is read where they are used; their bounds are the engine's.

use crucible_api::v1::SubmittedFile;
use crucible_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Reads what a tool was given.
///
/// # Errors
/// `InvalidInput`, naming what is wrong.
pub(crate) fn read<T: DeserializeOwned>(given: Map<String, Value>) -> Result<T> {
    serde_json::from_value(Value::Object(given)).map_err(|error| wrong(format!("arguments: {error}")))
}

/// What a caller did wrong.
pub(crate) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the arguments", message)
}

/// What a run or a sandbox may use, where it differs from the usual.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitArguments {
    pub(crate) timeout_seconds: Option<f64>,
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) disk_mib: Option<u64>,
    pub(crate) processes: Option<u32>,
}

impl LimitArguments {
    /// By their names in the configuration.
    pub(crate) fn by_name(&self) -> Result<BTreeMap<String, Value>> {
        let mut limits = BTreeMap::new();
        for (name, argument, seconds) in [
            ("timeout", "limits.timeout_seconds", self.timeout_seconds),
            ("cpu_time", "limits.cpu_seconds", self.cpu_seconds),
        ] {
            if let Some(seconds) = seconds {
                limits.insert(name.to_owned(), time(argument, seconds)?.into());
            }
        }
        for (name, mebibytes) in [("memory", self.memory_mib), ("disk", self.disk_mib)] {
            limits.extend(mebibytes.map(|mebibytes| (name.to_owned(), format!("{mebibytes}MiB").into())));
        }
        limits.extend(self.processes.map(|processes| ("pids".to_owned(), processes.into())));
        Ok(limits)
    }
}

/// A time in seconds as the configuration says it.
///
/// # Errors
/// `InvalidInput` for what is no time at all; whether it is within its bounds is looked at later.
pub(crate) fn time(argument: &str, seconds: f64) -> Result<String> {
    /// So many that milliseconds are told exactly.
    const MOST: f64 = 1e9;
    if !(0.0..=MOST).contains(&seconds) {
        return Err(wrong(format!("{argument}: {seconds} is no number of seconds from 0 to {MOST}")));
    }
    Ok(format!("{:.0}ms", seconds * 1000.0))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RunCode {
    pub(crate) code: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) stdin: Option<String>,
    pub(crate) files: Vec<SubmittedFile>,
    pub(crate) collect: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) limits: LimitArguments,
    pub(crate) policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScanCode {
    pub(crate) code: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) files: Vec<SubmittedFile>,
    pub(crate) policy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OpenSandbox {
    pub(crate) language: Option<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) limits: LimitArguments,
    pub(crate) policy: Option<String>,
    pub(crate) idle_timeout_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneSandbox {
    pub(crate) sandbox_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exec {
    pub(crate) sandbox_id: String,
    pub(crate) command: Vec<String>,
    #[serde(default)]
    pub(crate) stdin: Option<String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) directory: Option<String>,
    #[serde(default)]
    pub(crate) timeout_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    pub(crate) sandbox_id: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) offset_bytes: u64,
    #[serde(default)]
    pub(crate) max_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    pub(crate) sandbox_id: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) content_base64: Option<String>,
    #[serde(default)]
    pub(crate) executable: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneFile {
    pub(crate) sandbox_id: String,
    pub(crate) path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListFiles {
    pub(crate) sandbox_id: String,
    #[serde(default)]
    pub(crate) path: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneRun {
    pub(crate) run_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_in_the_words_of_the_configuration() {
        let limits: LimitArguments =
            serde_json::from_str(r#"{"timeout_seconds": 1.5, "memory_mib": 512, "processes": 7}"#).unwrap();
        let limits = serde_json::to_value(limits.by_name().unwrap()).unwrap();
        assert_eq!(limits, serde_json::json!({"timeout": "1500ms", "memory": "512MiB", "pids": 7}));
        assert!(LimitArguments::default().by_name().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_time_is_named() {
        for seconds in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
            let limits = LimitArguments { cpu_seconds: Some(seconds), ..LimitArguments::default() };
            assert!(limits.by_name().unwrap_err().to_string().starts_with("limits.cpu_seconds: "), "{seconds}");
        }
    }
}
