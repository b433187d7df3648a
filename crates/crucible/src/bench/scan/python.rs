//! The host's Python, which gets ready what is measured on, runs bandit and writes programs differently.
//!
//! Invariant: every script is part of Crucible, runs in a fresh folder of its own and takes and gives one JSON document. A
//! script that can't do its work answers with the reason and the mend.

use super::failed;
use crucible_backends::runtime;
use crucible_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A script that comes with Crucible.
#[derive(Clone, Copy, Debug)]
pub(in crate::bench) struct Script {
    /// What it does, for errors.
    pub(in crate::bench) operation: &'static str,
    /// Its text.
    pub(in crate::bench) text: &'static str,
    /// What it sees of the machine's Python.
    pub(in crate::bench) sight: Sight,
}

/// What a script sees of the machine's Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Sight {
    /// The standard library, and what is named in the request.
    StandardLibrary,
    /// All that is installed, such as pip, and the variables that set it up.
    Everything,
}

/// An interpreter and a folder to work in, which goes when this does.
#[derive(Debug)]
pub(in crate::bench) struct Python {
    interpreter: String,
    folder: TempDir,
}

impl Python {
    /// The interpreter that the language table names for Python.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Unavailable` where no temporary folder can be made.
    pub(in crate::bench) fn find() -> Result<Self> {
        let configuration = crucible::config::Configuration::built_in()?;
        let (_, python) = configuration.languages().find("python")?;
        let cache = configuration.interpreter_cache();
        let found = runtime::resolve(&python, cache.as_ref().map(crucible_core::HostPath::as_path))?;
        let interpreter = found
            .interpreter
            .ok_or_else(|| failed("find Python", "the language table names no interpreter for python"))?;
        let folder = tempfile::Builder::new().prefix("crucible-bench-").tempdir().map_err(|error| {
            failed("make a folder to work in", "no temporary folder can be made").with_source(error)
        })?;
        Ok(Self { interpreter: interpreter.path.as_str().to_owned(), folder })
    }

    /// The folder to work in.
    pub(in crate::bench) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a script on a request.
    ///
    /// # Errors
    /// `Unavailable` with the script's own reason and hint, or with what the interpreter said last.
    pub(in crate::bench) fn call<Answer: DeserializeOwned>(
        &self,
        script: Script,
        request: &impl Serialize,
    ) -> Result<Answer> {
        let fail = |message: String| Error::new(ErrorKind::Unavailable, script.operation, message);
        let request = serde_json::to_vec(request)
            .map_err(|error| fail("the request can't be written".to_owned()).with_source(error))?;
        let mut command = Command::new(&self.interpreter);
        if script.sight == Sight::StandardLibrary {
            command.arg("-I");
        }
        let mut child = command
            .args(["-c", script.text])
            .current_dir(self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| fail(format!("{} can't be started", self.interpreter)).with_source(error))?;
        // A script reads its whole request before it writes. One that ended before is told by what it wrote.
        let sent = child.stdin.take().map(|mut stdin| stdin.write_all(&request));
        let output = child
            .wait_with_output()
            .map_err(|error| fail(format!("{} can't be waited for", self.interpreter)).with_source(error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
            return Err(fail(format!("{} ended with {}: {last}", self.interpreter, output.status)));
        }
        if let Some(Err(error)) = sent {
            return Err(fail(format!("{} didn't read its request", self.interpreter)).with_source(error));
        }
        let answer: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| fail(format!("{} gave an answer that is no JSON", self.interpreter)).with_source(error))?;
        if let Some(message) = answer.get("error").and_then(Value::as_str) {
            let error = fail(message.to_owned());
            return Err(match answer.get("hint").and_then(Value::as_str) {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
        serde_json::from_value(answer).map_err(|error| {
            fail(format!("{} gave another answer than was asked for", self.interpreter)).with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static str) -> Result<Value> {
        let script = Script { operation: "try it", text, sight: Sight::StandardLibrary };
        Python::find().unwrap().call(script, &serde_json::json!({ "given": [1, 2] }))
    }

    #[test]
    fn a_script_gets_the_request_and_its_answer_comes_back() {
        let got = answer("import json, sys; json.dump({'got': json.load(sys.stdin)['given']}, sys.stdout)").unwrap();
        assert_eq!(got["got"], serde_json::json!([1, 2]));
    }

    #[test]
    fn a_script_says_itself_what_is_in_the_way() {
        let error = answer("print('{\"error\": \"no pip\", \"hint\": \"install it\"}')").unwrap_err();
        assert_eq!((error.to_string().as_str(), error.hint()), ("no pip", Some("install it")));
    }

    #[test]
    fn a_script_that_breaks_is_told_with_its_last_words() {
        for (text, words) in [("raise SystemExit('broken here')", "broken here"), ("print(", "SyntaxError")] {
            let error = answer(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(answer("print('no json')").unwrap_err().to_string().contains("no JSON"));
    }

    #[test]
    fn modules_in_the_current_folder_are_not_taken_for_the_standard_librarys() {
        let python = Python::find().unwrap();
        std::fs::write(python.folder().join("json.py"), "raise SystemExit('taken in')").unwrap();
        let text = "import json, sys; json.dump(len(sys.stdin.read()), sys.stdout)";
        let script = Script { operation: "try it", text, sight: Sight::StandardLibrary };
        assert_eq!(python.call::<u64>(script, &()).unwrap(), 4);
    }
}
