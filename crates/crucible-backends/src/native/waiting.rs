//! Which commands an interpreter can become that was made ready before they were known.

use crucible_core::{Language, Result};
use crucible_jail::host::Launcher;
use std::sync::Arc;
use std::time::Instant;

/// An interpreter that is initialised, and waits in a sandbox for its program.
pub(crate) struct Waiting {
    command: Arc<AheadCommand>,
    /// What the sandbox was forked from, which has to live for as long as it does.
    zygote: Arc<Launcher>,
    /// When others take its place for new programs.
    until: Instant,
}

/// How an interpreter of a language is started ahead: what it is called with, and in which environment. `None` for one that
/// calls its interpreter otherwise than with some arguments and then the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AheadCommand {
    /// It and its arguments, as far as the program's file.
    pub(crate) before_file: Vec<String>,
    /// As a program's command has it.
    pub(crate) file_name: String,
    /// With what it is started, `NAME=value` each.
    pub(crate) env: Vec<String>,
}

impl AheadCommand {
    /// That of a language, whose interpreter was found, and whose programs get those variables from the backend.
    pub(crate) fn of(language: &Language, interpreter: &str, base: &[(String, String)]) -> Option<Self> {
        let fill = |text: &String| {
            let filled = text.replace("{interpreter}", interpreter);
            (!filled.contains("{file}")).then_some(filled)
        };
        let (file, before) = language.run.split_last()?;
        if file != "{file}" {
            return None;
        }
        let before_file = before.iter().map(fill).collect::<Option<Vec<_>>>()?;
        let own = language.env.iter().map(|(name, value)| Some((name.clone(), fill(value)?)));
        let own = own.collect::<Option<Vec<_>>>()?;
        let mut env: Vec<String> = Vec::new();
        for (name, value) in base.iter().filter(|(name, _)| !language.env.contains_key(name)).chain(&own) {
            env.push(format!("{name}={value}"));
        }
        (!before_file.is_empty()).then(|| Self { before_file, file_name: language.file_name.clone(), env })
    }

    /// It and all its arguments.
    pub(crate) fn argv(&self) -> Vec<String> {
        self.before_file.iter().chain([&self.file_name]).cloned().collect()
    }

    /// The program's file and arguments, if an interpreter that was started so can become this command.
    pub(crate) fn program_of<'a>(&self, argv: &'a [String], env: &[String]) -> Option<&'a [String]> {
        // By the ending, interpreters tell programs from archives.
        let ending = self.file_name.rfind('.').and_then(|dot| self.file_name.get(dot..)).unwrap_or_default();
        let program = argv.strip_prefix(self.before_file.as_slice())?;
        let file = program.first()?;
        (file.ends_with(ending) && !file.starts_with('-') && same_start(&self.env, env)).then_some(program)
    }
}

impl Waiting {
    pub(crate) const fn new(command: Arc<AheadCommand>, zygote: Arc<Launcher>, until: Instant) -> Self {
        Self { command, zygote, until }
    }

    /// Whether more programs may be run in forks of it.
    pub(crate) fn is_good(&self) -> bool {
        Instant::now() < self.until && !self.zygote.has_ended()
    }

    /// As [`AheadCommand::program_of`].
    pub(crate) fn program_of<'a>(&self, argv: &'a [String], env: &[String]) -> Option<&'a [String]> {
        self.command.program_of(argv, env)
    }
}

/// Whether an interpreter that was started in one environment is what it would be in another one. What names programs look up
/// as they run may differ; what the interpreter and its libraries read when they start may not.
fn same_start(started: &[String], wanted: &[String]) -> bool {
    let read_at_start = |variable: &&String| {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        ["PYTHON", "LC_", "LD_", "GLIBC_", "MALLOC_", "GCONV_", "OPENSSL_"].iter().any(|start| name.starts_with(start))
            || ["LANG", "LANGUAGE", "TZ", "TZDIR", "HOME", "LOCPATH", "NLSPATH"].contains(&name)
    };
    let of = |variables: &[String]| {
        let mut variables: Vec<String> = variables.iter().filter(read_at_start).cloned().collect();
        variables.sort_unstable();
        variables
    };
    of(started) == of(wanted)
}

/// What a zygote of a language runs in the place of a program: the part of the jail's, called with what the language preloads.
pub(crate) fn program(language: &Language, guest_root: u32) -> Result<Option<String>> {
    program_with(language, "", &guest_root.to_string())
}

/// The same for an interpreter that waits in a sandbox for the one program that it runs: with what is to be used in the place
/// of a zygote's library, a text that defines `CrucibleAlone`.
pub(crate) fn program_alone(language: &Language, alone: &str) -> Result<Option<String>> {
    program_with(language, alone, "None, CrucibleAlone()")
}

fn program_with(language: &Language, before: &str, arguments: &str) -> Result<Option<String>> {
    if language.ready != Language::PYTHON {
        return Ok(None);
    }
    let names: Vec<String> = language.preload.iter().map(|name| checked(name)).collect::<Result<_>>()?;
    // Under a name of its own: it is nobody's program.
    let code = format!(
        "exec(compile(r'''{}\n{before}\ncrucible_zygote([{}], {arguments})\n''', '<crucible>', 'exec'), {{'__builtins__': __builtins__}})\n",
        crucible_jail::host::PYTHON_ZYGOTE,
        names.join(", ")
    );
    Ok(Some(code))
}

/// A module's name as a literal of Python.
fn checked(name: &str) -> Result<String> {
    use crucible_core::{Error, ErrorKind};
    let is_name = !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || ['_', '.'].contains(&char));
    if is_name {
        return Ok(format!("\"{name}\""));
    }
    let shown: String = name.chars().take(64).collect();
    let message = format!("{shown:?} in `preload` is no name of a module");
    Err(Error::new(ErrorKind::Configuration, "make an interpreter ready", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::built_in_language;

    fn python() -> AheadCommand {
        let base = [("PATH", "/usr/bin"), ("HOME", "/work"), ("LANG", "C.UTF-8")];
        let base = base.map(|(name, value)| (name.to_owned(), value.to_owned()));
        AheadCommand::of(&built_in_language("python").unwrap(), "/usr/bin/python3", &base).unwrap()
    }

    #[test]
    fn only_the_languages_own_command_is_what_an_interpreter_waits_for() {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let ahead = python();
        let fits = |argv: &[&str], env: &[String]| ahead.program_of(&owned(argv), env).map(<[String]>::to_vec);
        assert_eq!(fits(&["/usr/bin/python3", "a.py", "x"], &ahead.env), Some(owned(&["a.py", "x"])));
        for other in [
            &["/usr/bin/python3"][..],
            &["/usr/bin/python3", "-c", "x.py"],
            &["/bin/sh", "a.py"],
            &["/usr/bin/python3", "a.zip"],
        ] {
            assert_eq!(fits(other, &ahead.env), None, "{other:?}");
        }
    }

    #[test]
    fn variables_that_are_read_at_the_start_have_to_be_the_same() {
        let started = python().env;
        let with = |extra: &str| started.iter().cloned().chain([extra.to_owned()]).collect::<Vec<_>>();
        assert!(same_start(&started, &with("ANSWER=42")) && same_start(&started, &with("PATHS=/x")));
        for extra in ["PYTHONHASHSEED=0", "PYTHONPATH=/work", "LC_ALL=C", "LD_PRELOAD=/work/x.so", "TZ=UTC"] {
            assert!(!same_start(&started, &with(extra)), "{extra}");
        }
        let without: Vec<_> = started.iter().filter(|variable| !variable.starts_with("PYTHON")).cloned().collect();
        assert!(!same_start(&started, &without), "{started:?}");
    }

    #[test]
    fn what_is_no_module_is_no_preload() {
        for name in ["", "os; import x", "a\"", "a b"] {
            let language = Language { preload: vec![name.to_owned()], ..built_in_language("python").unwrap() };
            assert_eq!(program(&language, 1).unwrap_err().kind(), crucible_core::ErrorKind::Configuration, "{name:?}");
        }
        let language = Language { ready: String::new(), ..built_in_language("python").unwrap() };
        assert_eq!(program(&language, 1).unwrap(), None);
    }
}
