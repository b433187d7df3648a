//! What a command of this backend's can be: a runtime by its name, or a module or component that the guest has in its folder.

use super::protocol::Code;
use super::runtimes::KnownRuntime;
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
}

impl MountedRuntime {
    pub(super) fn new(known: &KnownRuntime, code: String) -> Self {
        Self { program: known.program.clone(), commands: known.commands.clone(), code }
    }

    fn is_called(&self, name: &str) -> bool {
        self.program == name || self.commands.iter().any(|command| command == name)
    }
}

/// Finds the code of a command, by its argument number 0.
///
/// # Errors
/// `NotFound` for anything else: this backend has no other programs.
pub(super) fn find(runtimes: &[MountedRuntime], program: &str, directory: &GuestPath) -> Result<Code> {
    if let Some(runtime) = runtimes.iter().find(|runtime| runtime.is_called(program)) {
        return Ok(Code::Artifact(runtime.code.clone()));
    }
    if program.contains('/') || program.to_ascii_lowercase().ends_with(".wasm") {
        let path =
            if program.starts_with('/') { program.to_owned() } else { format!("{}/{program}", directory.as_str()) };
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

    fn code(program: &str) -> Option<Code> {
        let python = MountedRuntime {
            program: "python.wasm".to_owned(),
            commands: vec!["python3".to_owned()],
            code: "/code".to_owned(),
        };
        find(&[python], program, &GuestPath::parse("below").unwrap()).ok()
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
