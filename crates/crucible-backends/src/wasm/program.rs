//! What a command of this backend's can be: a runtime by its name, from its beginning or from a snapshot, or a module or
//! component that the guest has in its folder.

use super::protocol::Code;
use super::runtimes::KnownRuntime;
use super::snapshot::Recipe;
use crucible_core::{Error, ErrorKind, GuestPath, Result};

/// A runtime as a sandbox has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountedRuntime {
    /// What it is called as a program.
    pub(super) program: String,
    /// Other names for it.
    pub(super) commands: Vec<String>,
    /// Where its compiled code is, inside.
    pub(super) code: String,
    /// Where that is which goes on from a snapshot, and what the snapshot was made for.
    pub(super) snapshot: Option<(String, Recipe)>,
}

impl MountedRuntime {
    pub(super) fn new(known: &KnownRuntime, code: String, snapshot: Option<String>) -> Self {
        let snapshot = snapshot.zip(known.snapshot.clone());
        Self { program: known.program.clone(), commands: known.commands.clone(), code, snapshot }
    }

    /// The code for what is likely to be run.
    pub(super) fn likely(&self) -> Code {
        match &self.snapshot {
            Some((code, _)) => Code::Snapshot(code.clone()),
            None => Code::Artifact(self.code.clone()),
        }
    }

    fn code_for(&self, arguments: &[String], variables: &[(String, String)]) -> Code {
        match &self.snapshot {
            Some((_, recipe)) if recipe.serves(&self.program, arguments, variables) => self.likely(),
            _ => Code::Artifact(self.code.clone()),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.program == name || self.commands.iter().any(|command| command == name)
    }
}

/// Finds the code of a command, by its argument number 0, and for an interpreter by all that it is given.
///
/// # Errors
/// `NotFound` for anything else: this backend has no other programs.
pub(super) fn find(
    runtimes: &[MountedRuntime],
    arguments: &[String],
    variables: &[(String, String)],
    directory: &GuestPath,
) -> Result<Code> {
    let program = arguments
        .first()
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "start the command", "the command is empty"))?;
    if let Some(runtime) = runtimes.iter().find(|runtime| runtime.is_called(program)) {
        return Ok(runtime.code_for(arguments, variables));
    }
    if program.contains('/') || program.to_ascii_lowercase().ends_with(".wasm") {
        let path = if program.starts_with('/') { program.clone() } else { format!("{}/{program}", directory.as_str()) };
        let path = GuestPath::parse(&path)?;
        if path.within_work().is_some() {
            return Ok(Code::File(path.as_str().to_owned()));
        }
    }
    let shown: String = program.chars().take(64).collect();
    let names: Vec<_> = runtimes.iter().map(|runtime| runtime.program.as_str()).collect();
    let here = if names.is_empty() { "none is installed".to_owned() } else { names.join(", ") };
    let message = format!("there is no program {shown:?}: this backend runs WebAssembly, and nothing of the machine's");
    Err(Error::new(ErrorKind::NotFound, "start the command", message).with_hint(format!(
        "name a .wasm file in the work folder, or an installed runtime ({here}); native programs are for -b jail"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_for(arguments: &[&str], variables: &[(&str, &str)]) -> Option<Code> {
        let python = MountedRuntime {
            program: "python.wasm".to_owned(),
            commands: vec!["python3".to_owned()],
            code: "/code".to_owned(),
            snapshot: Some(("/snapshot".to_owned(), recipe())),
        };
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(own).collect();
        find(&[python], &arguments, &variables, &GuestPath::parse("below").unwrap()).ok()
    }

    fn code(program: &str) -> Option<Code> {
        code_for(&[program], &[])
    }

    fn recipe() -> Recipe {
        super::super::runtimes::known().unwrap().remove("python-wasm").unwrap().snapshot.unwrap()
    }

    const SERVED: [(&str, &str); 4] =
        [("LANG", "C.UTF-8"), ("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONNOUSERSITE", "1"), ("X", "any")];

    #[test]
    fn a_snapshot_serves_files_with_any_arguments_and_nothing_that_an_interpreter_looks_at_when_it_starts() {
        let served = Some(Code::Snapshot("/snapshot".to_owned()));
        let otherwise = Some(Code::Artifact("/code".to_owned()));
        for arguments in [&["main.py"][..], &["/work/a b.py", "-I", "--", ""], &["\u{e4}\u{1f600}.py"]] {
            let arguments = [&["python.wasm"], arguments].concat();
            assert_eq!(code_for(&arguments, &SERVED), served, "{arguments:?}");
        }
        let long = "x".repeat(2000);
        let much = "x".repeat(70_000);
        for arguments in [
            &[][..],
            &[""],
            &["-"],
            &["-c", "print(1)"],
            &["-I", "main.py"],
            &["-m", "json"],
            &[&long],
            &["main.py", &much],
            &["main.py", "a\0b"],
        ] {
            let arguments = [&["python.wasm"], arguments].concat();
            assert_eq!(code_for(&arguments, &SERVED), otherwise, "{arguments:?}");
        }
        assert_eq!(code_for(&["python3", "main.py"], &SERVED), otherwise);
        for (left, more) in [
            (&SERVED[..], Some(("PYTHONHASHSEED", "0"))),
            (&SERVED[..], Some(("LC_ALL", "C"))),
            (&SERVED[..2], None),
            (&SERVED[1..], None),
            (&SERVED[1..], Some(("LANG", "C"))),
        ] {
            let variables: Vec<_> = left.iter().copied().chain(more).collect();
            assert_eq!(code_for(&["python.wasm", "main.py"], &variables), otherwise, "{variables:?}");
        }
    }

    #[test]
    fn a_runtime_goes_by_its_names_and_a_file_by_its_path() {
        assert_eq!(code("python3"), Some(Code::Artifact("/code".to_owned())));
        assert_eq!(code("python.wasm"), Some(Code::Artifact("/code".to_owned())));
        assert_eq!(code("./main.wasm"), Some(Code::File("/work/below/main.wasm".to_owned())));
        assert_eq!(code("main.WASM"), Some(Code::File("/work/below/main.WASM".to_owned())));
        assert_eq!(code("./main"), Some(Code::File("/work/below/main".to_owned())));
        assert_eq!(code("/work/x"), Some(Code::File("/work/x".to_owned())));
        for other in ["ls", "/bin/ls", "../../bin/x.wasm", "/crucible/python-wasm", "/work/../x.wasm", ""] {
            assert_eq!(code(other), None, "{other}");
        }
    }
}
