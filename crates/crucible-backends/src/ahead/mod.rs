//! Interpreters that are made ready before their programs are known: how they are started, which commands they can become, and
//! by which order.
//!
//! Invariant: nothing of a guest's has run in a sandbox before one waits in it, and what it says by then decides no more than
//! whether it is used. It becomes one program.

use async_trait::async_trait;
use crucible_core::{Error, ErrorKind, Language, Limits, Readiness, Result, Sandbox, SandboxRequest, Users};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What Python does in the place of a zygote.
const PYTHON_ALONE: &str = include_str!("waiting.py");
/// What Node.js does.
const NODE_ALONE: &str = include_str!("waiting.js");
/// What one says first.
const READY: &[u8] = b"waiting\n";
/// How long it may take to be initialised, with what it preloads.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to be dead once it was killed.
pub(crate) const DYING: Duration = Duration::from_secs(10);
/// How long one that couldn't be made isn't tried again.
const PAUSE: Duration = Duration::from_secs(60);
/// How many that couldn't be made are remembered at once.
const MOST_KNOWN: usize = 256;
/// The most that is told of what it said.
const MOST_SAID: u64 = 600;
/// Where it starts, as programs do that don't say where.
pub(crate) const FOLDER: &str = "/work";
/// What is being done.
pub(crate) const MAKE_READY: &str = "make an interpreter ready";

/// How an interpreter of a language is started ahead: what it is called with, and in which environment. `None` for one that
/// calls its interpreter otherwise than with some arguments and then the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AheadCommand {
    /// It and its arguments, as far as the program's file.
    pub(crate) before_file: Vec<String>,
    /// The file that it is started by.
    pub(crate) file_name: String,
    /// What the files' names end with that it takes for programs: by that, interpreters tell them from archives.
    endings: Vec<String>,
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
        let (file_name, endings) = match language.ready.as_str() {
            // What Node.js knows of a file with another ending, such as what package it belongs to, it never looks up again.
            Language::NODE => ("main.cjs".to_owned(), [".js", ".cjs", ".mjs"].map(str::to_owned).to_vec()),
            _ => {
                let name = &language.file_name;
                let ending = name.rfind('.').and_then(|dot| name.get(dot..)).unwrap_or_default();
                (name.clone(), vec![ending.to_owned()])
            }
        };
        (!before_file.is_empty()).then_some(Self { before_file, file_name, endings, env })
    }

    /// It and all its arguments.
    pub(crate) fn argv(&self) -> Vec<String> {
        self.before_file.iter().chain([&self.file_name]).cloned().collect()
    }

    /// The program's file and arguments, if an interpreter that was started so can become this command.
    pub(crate) fn program_of<'a>(&self, argv: &'a [String], env: &[String]) -> Option<&'a [String]> {
        let program = argv.strip_prefix(self.before_file.as_slice())?;
        let file = program.first()?;
        let is_program = self.endings.iter().any(|ending| file.ends_with(ending));
        (is_program && !file.starts_with('-') && same_start(&self.env, env)).then_some(program)
    }

    /// The order to become a command, of no more bytes than `most`; `None` where it can't.
    pub(crate) fn order(&self, argv: &[String], env: &[String], directory: &str, most: usize) -> Option<Vec<u8>> {
        let program = self.program_of(argv, env).filter(|_| directory == FOLDER)?;
        let words: Vec<&str> = program.iter().chain(env).map(String::as_str).collect();
        if words.iter().any(|word| word.contains('\0')) {
            return None;
        }
        let mut order = u32::try_from(program.len()).ok()?.to_le_bytes().to_vec();
        order.extend(words.join("\0").bytes());
        let length = u32::try_from(order.len()).ok()?.to_le_bytes();
        (order.len() + length.len() <= most).then(|| [&length, order.as_slice()].concat())
    }
}

/// Waits until an interpreter says that it waits.
///
/// # Errors
/// Why it doesn't, as far as it says.
pub(crate) async fn hear(
    out: &mut (dyn AsyncRead + Send + Unpin),
    error: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<()> {
    let mut said = [0; READY.len()];
    let heard = tokio::time::timeout(PATIENCE, out.read_exact(&mut said)).await;
    if heard.as_ref().is_ok_and(std::result::Result::is_ok) && said == READY {
        return Ok(());
    }
    let mut why = Vec::new();
    if heard.is_ok() {
        let mut error = error.take(MOST_SAID);
        let _told = tokio::time::timeout(Duration::from_secs(1), error.read_to_end(&mut why)).await.is_ok();
    }
    let why = String::from_utf8_lossy(&why);
    // Python's last line says it, and of what Node.js says the one that begins so.
    let line = why.lines().find(|line| line.starts_with("Error: ")).or_else(|| why.lines().last()).unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let message = match (heard.is_ok(), line.as_str()) {
        (false, _) => format!("it wasn't initialised within {} seconds", PATIENCE.as_secs()),
        (true, "") => "it doesn't wait for a program".to_owned(),
        (true, why) => format!("the interpreter ended with: {why}"),
    };
    Err(Error::new(ErrorKind::Unavailable, MAKE_READY, message))
}

/// Whether an interpreter that was started in one environment is what it would be in another one. What names programs look up
/// as they run may differ; what the interpreter and its libraries read when they start may not.
fn same_start(started: &[String], wanted: &[String]) -> bool {
    let read_at_start = |variable: &&String| {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        ["PYTHON", "NODE_", "UV_", "SSL_", "LC_", "LD_", "GLIBC_", "MALLOC_", "GCONV_", "OPENSSL_"]
            .iter()
            .any(|start| name.starts_with(start))
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
/// `None` for a language that has none.
///
/// # Errors
/// `Configuration` for what is no module's name.
pub(crate) fn program(language: &Language, guest_root: u32) -> Result<Option<String>> {
    let is_pythons = language.ready == Language::PYTHON;
    is_pythons.then(|| python(language, "", &guest_root.to_string())).transpose()
}

/// The same for an interpreter that waits in a sandbox for the one program that it runs.
///
/// # Errors
/// As [`program`].
pub(crate) fn program_alone(language: &Language) -> Result<Option<String>> {
    match language.ready.as_str() {
        // With what is to be used in the place of a zygote's library.
        Language::PYTHON => python(language, PYTHON_ALONE, "None, CrucibleAlone()").map(Some),
        Language::NODE => Ok(Some(format!("({})([{}])\n", NODE_ALONE.trim_end(), names(language, "_.:/")?))),
        _ => Ok(None),
    }
}

fn python(language: &Language, before: &str, arguments: &str) -> Result<String> {
    // Under a name of its own: it is nobody's program.
    Ok(format!(
        "exec(compile(r'''{}\n{before}\ncrucible_zygote([{}], {arguments})\n''', '<crucible>', 'exec'), {{'__builtins__': __builtins__}})\n",
        crucible_jail::host::PYTHON_ZYGOTE,
        names(language, "_.")?
    ))
}

/// The modules that a language preloads, as literals; besides letters and digits they have those characters alone.
fn names(language: &Language, others: &str) -> Result<String> {
    let literal = |name: &String| {
        if !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || others.contains(char)) {
            return Ok(format!("\"{name}\""));
        }
        let shown: String = name.chars().take(64).collect();
        let message = format!("{shown:?} in `preload` is no name of a module");
        Err(Error::new(ErrorKind::Configuration, MAKE_READY, message))
    };
    Ok(language.preload.iter().map(literal).collect::<Result<Vec<_>>>()?.join(", "))
}

/// A sandbox in which an interpreter can wait.
#[async_trait]
pub(crate) trait HasOneWait: Sandbox {
    /// Has its language's interpreter wait in it, before it is used.
    ///
    /// # Errors
    /// Why that can't be. It isn't to be used then.
    async fn have_one_wait(&mut self, language: &Language) -> Result<()>;
}

/// The languages of a backend whose interpreters couldn't be made to wait, within which limits and why, for a minute each: what one
/// project's limits are too tight for is made for the others.
#[derive(Default)]
pub(crate) struct Unready(Mutex<BTreeMap<String, (Instant, String)>>);

impl Unready {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, String)>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (since, _)| since.elapsed() < PAUSE);
        known
    }

    /// Whether it is worth a try.
    fn may_be_tried(&self, language: &Language, limits: &Limits) -> bool {
        [Language::PYTHON, Language::NODE].contains(&language.ready.as_str())
            && !self.known().contains_key(&key(language, limits))
    }

    /// It couldn't.
    fn note(&self, language: &Language, limits: &Limits, why: &Error) {
        let mut known = self.known();
        if known.len() < MOST_KNOWN {
            known.insert(key(language, limits), (Instant::now(), format!("{}: {why}", language.title)));
        }
    }

    /// Makes a sandbox as it is asked for: where an interpreter is to wait in it and can't, another one without. None waits where
    /// it would be root.
    ///
    /// # Errors
    /// As what makes them, and where one can't be removed.
    pub(crate) async fn make<S: HasOneWait + 'static, F: Future<Output = Result<S>> + Send>(
        &self,
        request: &SandboxRequest,
        language: &Language,
        make: impl Fn() -> F + Send + Sync,
    ) -> Result<Box<dyn Sandbox>> {
        let mut sandbox = make().await?;
        if request.readiness == Readiness::Interpreter
            && request.policy.users == Users::Guest
            && self.may_be_tried(language, &request.limits)
            && let Err(why) = sandbox.have_one_wait(language).await
        {
            self.note(language, &request.limits, &why);
            Box::new(sandbox).destroy().await?;
            sandbox = make().await?;
        }
        Ok(Box::new(sandbox))
    }

    /// Why, of each.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let reasons: BTreeSet<String> = self.known().values().map(|(_, why)| why.clone()).collect();
        reasons.into_iter().collect()
    }
}

/// What decides whether a language's interpreter can wait.
fn key(language: &Language, limits: &Limits) -> String {
    let Language { ready, interpreters, image, run, env, preload, .. } = language;
    format!("{ready} {interpreters:?} {image} {run:?} {env:?} {preload:?} {limits:?}")
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
