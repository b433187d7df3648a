//! Decides whether an evaluation may start, and on which backend. Everything that is wrong with a request is said here,
//! before anything is made.
//!
//! Fails closed: what the policy asks for and the backend can't give is refused. It starts nothing itself.

use crate::engine::Engine;
use crate::screening::Wall;
use crucible_core::{
    Backend, Error, ErrorKind, EvaluationSpec, GuestPath, Isolation, Language, Limits, Program, Result, ReviewDecision,
    Tripwire, nearest,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The backend's name by which the engine chooses one.
pub(crate) const AUTO: &str = "auto";
/// Input files of one evaluation, and paths to collect.
const MOST_FILES: usize = 4096;
/// Tripwires of one evaluation.
const MOST_TRIPWIRES: usize = 64;
/// Bytes of one argument or variable; Linux takes 128 KiB with the final NUL (`MAX_ARG_STRLEN`).
const MOST_TEXT: usize = (128 << 10) - 1;
/// Bytes of all arguments and variables that Linux always takes, beyond which a quarter of the stack counts.
const MOST_TEXTS: u64 = 128 << 10;

/// An evaluation that may start.
pub(crate) struct Admitted {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) language: Option<(String, Arc<Language>)>,
    /// Where the program's source goes, if it has one.
    pub(crate) program: Option<GuestPath>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admitted").field("backend", &self.backend.name()).field("program", &self.program).finish()
    }
}

fn invalid(operation: &'static str, message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, operation, message)
}

/// Checks all of a request.
pub(crate) fn admit(engine: &Engine, spec: &EvaluationSpec) -> Result<Admitted> {
    spec.limits.validate(engine.maximum())?;
    check_texts(spec)?;
    let language = match &spec.program {
        Program::Source { language, .. } => Some(engine.languages().find(language)?),
        Program::Command { .. } => None,
    };
    let program = language.as_ref().map(|(name, language)| program_path(name, language)).transpose()?;
    check_files(spec, program.as_ref())?;
    check_tripwires(spec, language.as_ref().map(|(_, language)| language.as_ref()))?;
    let backend = choose(engine, spec, &Wall::any())?;
    Ok(Admitted { backend, language, program })
}

/// The backend by which an evaluation runs, which also admits it and is behind a wall that is enough.
pub(crate) fn choose(engine: &Engine, spec: &EvaluationSpec, wall: &Wall) -> Result<Arc<dyn Backend>> {
    let operation = "choose the backend";
    if spec.backend != AUTO {
        let backends = engine.backends();
        let Some(backend) = backends.iter().find(|backend| backend.name() == spec.backend) else {
            let shown: String = spec.backend.chars().take(64).collect();
            let known: Vec<_> = backends.iter().map(|backend| backend.name()).chain([AUTO]).collect();
            let hint = match nearest(&spec.backend, known.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("backends here: {}", known.join(", ")),
            };
            return Err(
                Error::new(ErrorKind::NotFound, operation, format!("unknown backend {shown:?}")).with_hint(hint)
            );
        };
        check_backend(engine, backend.as_ref(), spec, wall)?;
        return Ok(Arc::clone(backend));
    }
    // The first refusal is the one that matters: it comes from the backend that would have been chosen.
    let mut refusal = None;
    for backend in engine.backends().iter() {
        if backend.capabilities().isolation == Isolation::None {
            continue;
        }
        match check_backend(engine, backend.as_ref(), spec, wall) {
            Ok(()) => return Ok(Arc::clone(backend)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| {
        Error::new(ErrorKind::Unavailable, operation, "no backend that isolates is available")
            .with_hint("`crucible doctor` says what this machine lacks")
    }))
}

fn check_backend(engine: &Engine, backend: &dyn Backend, spec: &EvaluationSpec, wall: &Wall) -> Result<()> {
    let (name, capabilities) = (backend.name(), backend.capabilities());
    if capabilities.isolation < wall.least {
        let message = format!(
            "policy '{}' demands the isolation {} for this program, and backend '{name}' gives {}: {}",
            spec.policy.name,
            wall.least.as_str(),
            capabilities.isolation.as_str(),
            wall.reason
        );
        return Err(Error::new(ErrorKind::Refused, "check the wall that the policy demands", message)
            .with_hint("choose a stronger backend; `crucible policy explain` says why"));
    }
    capabilities.admit(name, &spec.policy)?;
    if matches!(spec.program, Program::Command { .. }) && !capabilities.arbitrary_commands {
        let message = format!("backend '{name}' runs programs in its own languages only, not any command");
        return Err(Error::new(ErrorKind::Refused, "check the command against the backend", message));
    }
    if let Some(tripwire) = spec.tripwires.iter().find(|tripwire| !capabilities.tripwires.contains(&tripwire.kind())) {
        let message = format!("backend '{name}' can't plant a tripwire of the kind '{}'", tripwire.kind());
        return Err(Error::new(ErrorKind::Refused, "check the tripwires against the backend", message)
            .with_hint("leave it out, or choose a backend that can"));
    }
    if !capabilities.absolute_paths {
        let planted = spec.tripwires.iter().filter_map(Tripwire::file);
        let all = spec.files.iter().map(|file| &file.path).chain(&spec.collect).chain(planted);
        if let Some(path) = all.into_iter().find(|path| path.within_work().is_none()) {
            let message = format!("backend '{name}' reaches files in {} only, not {path}", GuestPath::WORK);
            return Err(invalid("check the files against the backend", message));
        }
    }
    if spec.review.as_ref().is_some_and(|review| review.decision == ReviewDecision::Rejected) {
        // Nothing of it will run.
        return Ok(());
    }
    // Last, so that what is wrong with the request is said in any case.
    engine.check_usable(name)
}

pub(crate) fn program_path(name: &str, language: &Language) -> Result<GuestPath> {
    GuestPath::parse(&language.file_name)
        .ok()
        .filter(|path| path.within_work().is_some_and(|name| !name.is_empty() && !name.contains('/')))
        .ok_or_else(|| {
            let message =
                format!("language '{name}' has the file_name {:?}, which is not a file name", language.file_name);
            Error::new(ErrorKind::Configuration, "name the program's file", message)
        })
}

pub(crate) fn check_texts(spec: &EvaluationSpec) -> Result<()> {
    let operation = "check the command line";
    let arguments = match &spec.program {
        Program::Source { args, .. } => args,
        Program::Command { argv } => {
            if argv.first().is_none_or(String::is_empty) {
                return Err(invalid(operation, "there is no command to run".to_owned()));
            }
            argv
        }
    };
    let mut total = 0;
    let mut check = |text: &str, what: &dyn Fn() -> String| {
        total += u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(9);
        if text.contains('\0') {
            return Err(invalid(operation, format!("{} contains a NUL byte", what())));
        }
        if text.len() > MOST_TEXT {
            return Err(invalid(operation, format!("{} is longer than {MOST_TEXT} bytes", what())));
        }
        Ok(())
    };
    for (index, argument) in arguments.iter().enumerate() {
        check(argument, &|| format!("argument {index}"))?;
    }
    for (name, value) in &spec.env {
        let shown = || format!("the environment variable {:?}", name.chars().take(64).collect::<String>());
        if name.is_empty() || name.contains('=') {
            return Err(invalid("check the environment", format!("{} has no valid name", shown())));
        }
        check(name, &shown)?;
        check(value, &shown)?;
    }
    let most = MOST_TEXTS.max(spec.limits.stack.get() / 4);
    if total > most {
        let message = format!("arguments and environment take {total} bytes, more than the {most} that Linux accepts");
        return Err(invalid(operation, message).with_hint("put large values into a file or into standard input"));
    }
    Ok(())
}

pub(crate) fn check_files(spec: &EvaluationSpec, program: Option<&GuestPath>) -> Result<()> {
    let operation = "check the input files";
    if spec.files.len() > MOST_FILES || spec.collect.len() > MOST_FILES {
        return Err(invalid(operation, format!("more than {MOST_FILES} files are to be put in or brought out")));
    }
    let mut destinations: BTreeSet<&str> = BTreeSet::new();
    for file in &spec.files {
        let path = file.path.as_str();
        if path == "/" || path == GuestPath::WORK {
            return Err(invalid(operation, format!("a file can't be put at {path}, which is a folder")));
        }
        if program.is_some_and(|program| program.as_str() == path) {
            let message = format!("an input file is to be put at {path}, where the program itself goes");
            return Err(invalid(operation, message).with_hint("give the input file another name"));
        }
        if !destinations.insert(path) {
            return Err(invalid(operation, format!("two input files are to be put at {path}")));
        }
    }
    destinations.extend(program.map(GuestPath::as_str));
    for tripwire in &spec.tripwires {
        let is_place = !matches!(tripwire, Tripwire::Environment { .. });
        if is_place && !destinations.insert(tripwire.name()) {
            return Err(invalid(
                operation,
                format!("a tripwire is to be planted at {}, where something else is", tripwire.name()),
            ));
        }
    }
    // A name above a destination is a folder, so no file may have it.
    for path in &destinations {
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
        if let Some(above) = above.into_iter().find(|above| destinations.contains(above)) {
            return Err(invalid(operation, format!("{above} can't be both a file and the folder of {path}")));
        }
    }
    check_room(spec, destinations.len())
}

fn check_tripwires(spec: &EvaluationSpec, language: Option<&Language>) -> Result<()> {
    let operation = "check the tripwires";
    if spec.tripwires.len() > MOST_TRIPWIRES {
        return Err(invalid(operation, format!("more than {MOST_TRIPWIRES} tripwires are to be planted")));
    }
    let mut names = BTreeSet::new();
    for tripwire in &spec.tripwires {
        tripwire.validate()?;
        let Tripwire::Environment { name } = tripwire else { continue };
        let is_given = spec.env.contains_key(name) || language.is_some_and(|language| language.env.contains_key(name));
        if is_given || !names.insert(name) {
            return Err(invalid(operation, format!("the environment variable {name} is given already")));
        }
    }
    Ok(())
}

fn check_room(spec: &EvaluationSpec, files: usize) -> Result<()> {
    let Limits { disk, inodes, .. } = spec.limits;
    let code = match &spec.program {
        Program::Source { code, .. } => code.len(),
        Program::Command { .. } => 0,
    };
    let sizes = spec.files.iter().map(|file| file.content.len()).chain([code]);
    let total = sizes.fold(0_u64, |sum, size| sum.saturating_add(u64::try_from(size).unwrap_or(u64::MAX)));
    if total > disk.get() {
        let message = format!("the program and its input files take {total} bytes, more than the disk limit of {disk}");
        return Err(invalid("check the input files", message).with_hint("raise the disk limit, or give less"));
    }
    if u64::try_from(files).unwrap_or(u64::MAX) > inodes {
        let message = format!("{files} files are to be put in, more than the inode limit of {inodes}");
        return Err(invalid("check the input files", message));
    }
    Ok(())
}

/// The environment of a command: the language's, then the request's own.
pub(crate) fn environment(
    spec: &EvaluationSpec,
    language: Option<&Language>,
    fill: impl Fn(&str) -> Result<String>,
) -> Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for (name, value) in language.into_iter().flat_map(|language| &language.env) {
        environment.insert(name.clone(), fill(value)?);
    }
    environment.extend(spec.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(environment)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::NodeFacts;
    use crate::languages::{LanguageTable, tests::language};
    use crucible_core::{Capabilities, EvaluationId, InputFile, Layer, LayerState, Policy, TimeSpan};
    use crucible_testkit::fake::{FakeBackend, Script, everything};

    pub(crate) fn spec() -> EvaluationSpec {
        EvaluationSpec {
            id: EvaluationId::generate(),
            program: Program::Source { language: "test".to_owned(), code: b"print(1)".to_vec(), args: vec![] },
            backend: AUTO.to_owned(),
            stdin: vec![],
            files: vec![],
            collect: vec![],
            tripwires: vec![],
            env: BTreeMap::new(),
            limits: Limits::default(),
            review: None,
            label: None,
            policy: Policy::built_in("default").unwrap(),
        }
    }

    fn engine(backends: Vec<FakeBackend>) -> Engine {
        let backends = backends.into_iter().map(|backend| Arc::new(backend) as Arc<dyn Backend>).collect();
        let languages = LanguageTable::from(BTreeMap::from([("test".to_owned(), language(&["test"], &[]))]));
        Engine::new(backends, languages, Limits::maximum(), NodeFacts { kernel: "6".to_owned() })
    }

    fn backend(name: &str, change: impl FnOnce(&mut Capabilities)) -> FakeBackend {
        let mut capabilities = everything();
        change(&mut capabilities);
        FakeBackend::new(Script::default()).named(name).with_capabilities(capabilities)
    }

    fn plain() -> Engine {
        engine(vec![backend("jail", |_| {})])
    }

    fn refusal(engine: &Engine, spec: EvaluationSpec) -> (ErrorKind, String, String) {
        let error = admit(engine, &spec).unwrap_err();
        (error.kind(), error.to_string(), error.hint().unwrap_or_default().to_owned())
    }

    fn command(argv: &[&str]) -> Program {
        Program::Command { argv: argv.iter().map(|&text| text.to_owned()).collect() }
    }

    fn file(path: &str, size: usize) -> InputFile {
        InputFile { path: GuestPath::parse(path).unwrap(), content: vec![0; size], executable: false }
    }

    #[test]
    fn an_ordinary_request_is_admitted_with_its_program_file() {
        let admitted = admit(&plain(), &spec()).unwrap();
        assert_eq!((admitted.backend.name(), admitted.program.unwrap().as_str()), ("jail", "/work/main.test"));
    }

    #[test]
    fn auto_takes_the_first_backend_that_isolates_and_admits() {
        let engine = engine(vec![
            backend("subprocess", |capabilities| capabilities.isolation = Isolation::None),
            backend("weak", |capabilities| {
                capabilities.layers.insert(Layer::Seccomp, LayerState::absent("no filter", "mend it"));
            }),
            backend("jail", |_| {}),
        ]);
        assert_eq!(admit(&engine, &spec()).unwrap().backend.name(), "jail");
        let unisolated = Policy::built_in("unisolated").unwrap();
        assert_eq!(admit(&engine, &EvaluationSpec { policy: unisolated, ..spec() }).unwrap().backend.name(), "weak");
    }

    #[test]
    fn auto_without_a_fitting_backend_gives_the_first_refusal_with_its_mend() {
        let weak = backend("weak", |capabilities| {
            capabilities.layers.insert(Layer::Seccomp, LayerState::absent("no filter", "mend it"));
        });
        let (kind, message, hint) = refusal(&engine(vec![weak]), spec());
        assert_eq!((kind, hint.as_str()), (ErrorKind::Refused, "mend it"));
        assert!(message.contains("no filter"), "{message}");
        let open = backend("subprocess", |capabilities| capabilities.isolation = Isolation::None);
        assert_eq!(refusal(&engine(vec![open]), spec()).0, ErrorKind::Unavailable);
        assert_eq!(refusal(&engine(vec![]), spec()).0, ErrorKind::Unavailable);
    }

    #[test]
    fn an_unknown_backend_or_language_suggests_the_nearest() {
        let (kind, _, hint) = refusal(&plain(), EvaluationSpec { backend: "jial".to_owned(), ..spec() });
        assert_eq!((kind, hint.as_str()), (ErrorKind::NotFound, "did you mean 'jail'?"));
        let (kind, _, hint) = refusal(&plain(), EvaluationSpec { backend: "kubernetes".to_owned(), ..spec() });
        assert_eq!((kind, hint.as_str()), (ErrorKind::NotFound, "backends here: jail, auto"));
        let program = Program::Source { language: "tset".to_owned(), code: vec![], args: vec![] };
        let (kind, _, hint) = refusal(&plain(), EvaluationSpec { program, ..spec() });
        assert_eq!((kind, hint.as_str()), (ErrorKind::NotFound, "did you mean 'test'?"));
    }

    #[test]
    fn what_a_backend_cannot_do_is_refused_and_not_weakened() {
        let narrow = || {
            engine(vec![backend("wasm", |capabilities| {
                capabilities.arbitrary_commands = false;
                capabilities.absolute_paths = false;
                capabilities.limits.remove(&crucible_core::LimitKind::Pids);
            })])
        };
        assert_eq!(refusal(&narrow(), EvaluationSpec { program: command(&["ls"]), ..spec() }).0, ErrorKind::Refused);
        let policy = Policy::built_in("strict").unwrap();
        assert_eq!(refusal(&narrow(), EvaluationSpec { policy, ..spec() }).0, ErrorKind::Refused);
        let outside = vec![GuestPath::parse("/tmp/x").unwrap()];
        assert_eq!(refusal(&narrow(), EvaluationSpec { collect: outside, ..spec() }).0, ErrorKind::InvalidInput);
        let files = vec![file("/tmp/x", 1)];
        assert_eq!(refusal(&narrow(), EvaluationSpec { files, ..spec() }).0, ErrorKind::InvalidInput);
    }

    #[test]
    fn arguments_and_variables_that_no_kernel_takes_are_refused() {
        let long = "x".repeat(MOST_TEXT + 1);
        let commands = [&[][..], &[""], &["a\0b"], &["a", "b\0"], &[&long]];
        for argv in commands {
            let spec = EvaluationSpec { program: command(argv), ..spec() };
            assert_eq!(refusal(&plain(), spec).0, ErrorKind::InvalidInput);
        }
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0"), ("A", long.as_str())] {
            let env = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            assert_eq!(refusal(&plain(), EvaluationSpec { env, ..spec() }).0, ErrorKind::InvalidInput, "{name:?}");
        }
        let many = vec!["x".repeat(1000); 3000];
        let spec = EvaluationSpec { program: Program::Command { argv: many }, ..spec() };
        assert!(refusal(&plain(), spec).1.contains("more than the"));
    }

    #[test]
    fn files_that_would_overwrite_one_another_are_refused() {
        let cases = [
            (vec![file("a", 1), file("./a", 1)], "two input files"),
            (vec![file("main.test", 1)], "where the program itself goes"),
            (vec![file("a", 1), file("a/b", 1)], "both a file and the folder"),
            (vec![file("main.test/x", 1)], "both a file and the folder"),
            (vec![file("/work", 1)], "which is a folder"),
            (vec![file("/", 1)], "which is a folder"),
        ];
        for (files, expected) in cases {
            let (kind, message, _) = refusal(&plain(), EvaluationSpec { files, ..spec() });
            assert_eq!(kind, ErrorKind::InvalidInput);
            assert!(message.contains(expected), "{message}");
        }
        admit(&plain(), &EvaluationSpec { files: vec![file("a/b", 1), file("a/c", 1)], ..spec() }).unwrap();
    }

    #[test]
    fn more_input_than_the_disk_limit_is_refused_before_anything_is_made() {
        let disk = crucible_core::ByteSize::mib(1);
        let limits = Limits { disk, ..Limits::default() };
        let files = vec![file("a", 512 << 10), file("b", 512 << 10)];
        let (_, message, _) = refusal(&plain(), EvaluationSpec { files, limits: limits.clone(), ..spec() });
        assert!(message.contains("more than the disk limit of 1MiB"), "{message}");
        let program = Program::Source { language: "test".to_owned(), code: vec![0; 100 << 20], args: vec![] };
        assert_eq!(refusal(&plain(), EvaluationSpec { program, limits, ..spec() }).0, ErrorKind::InvalidInput);
        let files = (0..MOST_FILES + 1).map(|number| file(&number.to_string(), 0)).collect();
        assert_eq!(refusal(&plain(), EvaluationSpec { files, ..spec() }).0, ErrorKind::InvalidInput);
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        let limits = Limits { timeout: TimeSpan::millis(0), ..Limits::default() };
        assert_eq!(refusal(&plain(), EvaluationSpec { limits, ..spec() }).0, ErrorKind::InvalidInput);
    }
}
