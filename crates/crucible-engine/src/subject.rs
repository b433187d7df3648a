//! What of an evaluation is looked at before it runs: its source, its files, and what its command line and standard input
//! hold for an interpreter.
//!
//! It takes nothing apart further than that: what the bytes mean is the scanner's matter.

use crate::languages::LanguageTable;
use crucible_core::{EvaluationSpec, GuestPath, Program, ScanFile, Unread};

/// The language in which a command line is looked at.
const COMMAND_LANGUAGE: &str = "bash";
/// What findings in a command line, in code on it, and in standard input name as their file.
const COMMAND: &str = "(command line)";
const ARGUMENT: &str = "(code in an argument)";
const STDIN: &str = "(standard input)";

/// What is looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    parts: Vec<Part>,
    /// What can't be looked at before it runs.
    pub(crate) unread: Vec<Unread>,
}

#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: String,
    language: Option<String>,
    bytes: Bytes,
}

/// Where the bytes of a part are.
#[derive(Debug, PartialEq, Eq)]
enum Bytes {
    Program,
    File(usize),
    Stdin,
    Own(String),
}

/// Whether standard input comes while the program runs, beyond what the specification holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamedInput {
    No,
    Yes,
}

impl Subject {
    /// What of this evaluation is looked at. `source` is where its source goes and the language's name.
    pub(crate) fn of(
        spec: &EvaluationSpec,
        source: Option<(&GuestPath, &str)>,
        languages: &LanguageTable,
        input: StreamedInput,
    ) -> Self {
        let mut subject = Self { parts: Vec::new(), unread: Vec::new() };
        if let Some((path, language)) = source {
            subject.add(shown(path), Some(language.to_owned()), Bytes::Program);
        }
        for (index, file) in spec.files.iter().enumerate() {
            let language = languages.for_file(file.path.as_str()).map(|(name, _)| name);
            subject.add(shown(&file.path), language, Bytes::File(index));
        }
        if let Program::Command { argv } = &spec.program {
            subject.add(COMMAND.to_owned(), Some(COMMAND_LANGUAGE.to_owned()), Bytes::Own(command_line(argv)));
            subject.add_code(argv, spec, languages, input);
        }
        subject
    }

    /// Code that an interpreter on the command line is given there, or takes from standard input.
    fn add_code(&mut self, argv: &[String], spec: &EvaluationSpec, languages: &LanguageTable, input: StreamedInput) {
        let mut interpreter = None;
        let mut takes_input = None;
        for (index, word) in argv.iter().enumerate() {
            if let Some(language) = language_of(word, languages) {
                takes_input =
                    (index == 0 || argv.first().is_some_and(|first| is_wrapper(first))).then(|| language.clone());
                interpreter = Some(language);
                continue;
            }
            let Some(language) = &interpreter else { continue };
            let previous = index.checked_sub(1).and_then(|index| argv.get(index)).map_or("", String::as_str);
            let is_flag = word.starts_with('-');
            let code = if is_flag { code_in_flag(word) } else { takes_code(previous).then_some(word.as_str()) };
            if let Some(code) = code {
                let (language, code) = (language.clone(), Bytes::Own(code.to_owned()));
                self.add(ARGUMENT.to_owned(), Some(language), code);
            }
            if code.is_some() || !is_flag {
                takes_input = None;
            }
            // What follows a program's file or code is for the program.
            if !is_flag && (code.is_some() || !previous.starts_with('-')) {
                interpreter = None;
            }
        }
        if let Some(language) = takes_input {
            if input == StreamedInput::Yes {
                let reason = format!("{language} takes its program from there while it runs");
                self.unread.push(Unread { file: STDIN.to_owned(), reason });
            } else if !spec.stdin.is_empty() {
                self.add(STDIN.to_owned(), Some(language), Bytes::Stdin);
            }
        }
    }

    fn add(&mut self, name: String, language: Option<String>, bytes: Bytes) {
        self.parts.push(Part { name, language, bytes });
    }

    /// The parts with their bytes.
    pub(crate) fn files<'a>(&'a self, spec: &'a EvaluationSpec) -> Vec<ScanFile<'a>> {
        let bytes = |part: &'a Part| match (&part.bytes, &spec.program) {
            (Bytes::Program, Program::Source { code, .. }) => code.as_slice(),
            (Bytes::Program, Program::Command { .. }) => &[],
            (Bytes::File(index), _) => spec.files.get(*index).map_or(&[][..], |file| &file.content),
            (Bytes::Stdin, _) => &spec.stdin,
            (Bytes::Own(text), _) => text.as_bytes(),
        };
        let file =
            |part: &'a Part| ScanFile { name: &part.name, language: part.language.as_deref(), bytes: bytes(part) };
        self.parts.iter().map(file).collect()
    }
}

/// A path as findings name it: below the work folder where it lies there.
fn shown(path: &GuestPath) -> String {
    path.within_work().filter(|path| !path.is_empty()).unwrap_or(path.as_str()).to_owned()
}

/// The language whose interpreter a word names: `/usr/bin/python3.12` is Python's.
fn language_of(word: &str, languages: &LanguageTable) -> Option<String> {
    let plain = |name: &str| {
        let name = name.rsplit('/').next().unwrap_or(name);
        name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-')).to_ascii_lowercase()
    };
    let word = plain(word);
    if word == "sh" || word == "dash" {
        return Some(COMMAND_LANGUAGE.to_owned());
    }
    let known = |(name, language): &(&str, &std::sync::Arc<crucible_core::Language>)| {
        plain(name) == word || language.aliases.iter().chain(&language.interpreters).any(|other| plain(other) == word)
    };
    languages.iter().find(known).filter(|_| !word.is_empty()).map(|(name, _)| name.to_owned())
}

/// Whether a command only starts another one.
fn is_wrapper(word: &str) -> bool {
    const WRAPPERS: [&str; 10] =
        ["env", "nice", "timeout", "setsid", "nohup", "stdbuf", "time", "ionice", "taskset", "busybox"];
    WRAPPERS.contains(&word.rsplit('/').next().unwrap_or(word))
}

/// Whether the word after this one is code: `-c`, `-Ic`, `-e`, `--eval`. Interpreters differ, so any that could be is one.
fn takes_code(flag: &str) -> bool {
    match flag.strip_prefix("--") {
        Some(long) => ["eval", "print", "command"].contains(&long),
        None => flag.strip_prefix('-').is_some_and(|short| short.ends_with(['c', 'e', 'p', 'r'])),
    }
}

/// Code in the same word as its flag: `-cCODE`, `--eval=CODE`.
fn code_in_flag(flag: &str) -> Option<&str> {
    if let Some((long, code)) = flag.split_once('=').filter(|_| flag.starts_with("--")) {
        return takes_code(long).then_some(code);
    }
    let code = flag.strip_prefix('-')?.strip_prefix(['c', 'e', 'p', 'r'])?;
    code.contains(|c: char| !c.is_ascii_alphanumeric()).then_some(code)
}

/// The command line as a shell would take it.
fn command_line(argv: &[String]) -> String {
    let is_plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_@%+=:,./-".contains(c));
    let quote =
        |word: &String| if is_plain(word) { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::tests::spec;
    use crate::languages::tests::language;
    use crucible_core::InputFile;
    use std::collections::BTreeMap;

    fn languages() -> LanguageTable {
        let mut python = language(&["py"], &["python3", "py"]);
        python.interpreters = vec!["python3".to_owned()];
        let bash = language(&["sh"], &[]);
        LanguageTable::from(BTreeMap::from([("python".to_owned(), python), ("bash".to_owned(), bash)]))
    }

    fn looked_at(spec: &EvaluationSpec, input: StreamedInput) -> (Vec<String>, Vec<String>) {
        let path = GuestPath::parse("main.py").unwrap();
        let source = matches!(spec.program, Program::Source { .. }).then_some((&path, "python"));
        let subject = Subject::of(spec, source, &languages(), input);
        let files = subject.files(spec);
        let part = |file: &ScanFile<'_>| {
            format!("{} {}: {}", file.name, file.language.unwrap_or("?"), String::from_utf8_lossy(file.bytes))
        };
        (files.iter().map(part).collect(), subject.unread.iter().map(|unread| unread.file.clone()).collect())
    }

    fn command(argv: &[&str]) -> EvaluationSpec {
        let argv = argv.iter().map(|&word| word.to_owned()).collect();
        EvaluationSpec { program: Program::Command { argv }, ..spec() }
    }

    #[test]
    fn the_source_and_every_file_are_looked_at_in_their_languages() {
        let file = |path: &str, content: &str| InputFile {
            path: GuestPath::parse(path).unwrap(),
            content: content.into(),
            executable: false,
        };
        let files = vec![file("a/tool.sh", "ls"), file("/tmp/data", "1")];
        let program = Program::Source { language: "python".to_owned(), code: b"print(1)".to_vec(), args: vec![] };
        let (parts, _) = looked_at(&EvaluationSpec { program, files, ..spec() }, StreamedInput::Yes);
        assert_eq!(parts, ["main.py python: print(1)", "a/tool.sh bash: ls", "/tmp/data ?: 1"]);
    }

    #[test]
    fn code_on_a_command_line_is_looked_at_in_its_own_language() {
        for (argv, expected) in [
            (&["bash", "-c", "rm x"][..], &["(code in an argument) bash: rm x"][..]),
            (&["/usr/bin/python3.12", "-Ic", "import os"], &["(code in an argument) python: import os"]),
            (&["python", "-cimport os"], &["(code in an argument) python: import os"]),
            (&["python3", "--eval=f()"], &["(code in an argument) python: f()"]),
            (&["env", "A=1", "sh", "-ec", "ls"], &["(code in an argument) bash: ls"]),
            (&["python3", "-W", "ignore", "-c", "f()"], &["(code in an argument) python: f()"]),
            (&["python3", "main.py", "-c", "John Smith"], &[]),
            (&["which", "bash"], &[]),
            (&["ls", "-c", "x"], &[]),
        ] {
            let (parts, unread) = looked_at(&command(argv), StreamedInput::Yes);
            assert_eq!(parts[1..], *expected, "{argv:?}");
            assert!(parts[0].starts_with("(command line) bash: ") && unread.is_empty(), "{argv:?}");
        }
        let (parts, _) = looked_at(&command(&["echo", "it's", "a b"]), StreamedInput::Yes);
        assert_eq!(parts, [r"(command line) bash: echo 'it'\''s' 'a b'"]);
    }

    #[test]
    fn a_program_that_comes_by_standard_input_is_looked_at_or_said_to_be_unread() {
        for argv in [&["bash"][..], &["bash", "-x"], &["python3", "-"]] {
            let spec = EvaluationSpec { stdin: b"ls".to_vec(), ..command(argv) };
            let (parts, unread) = looked_at(&spec, StreamedInput::No);
            assert!(parts[1].starts_with("(standard input) ") && unread.is_empty(), "{parts:?}");
            assert_eq!(looked_at(&command(argv), StreamedInput::Yes).1, ["(standard input)"]);
            assert_eq!(looked_at(&command(argv), StreamedInput::No).1, [""; 0]);
        }
        assert_eq!(looked_at(&command(&["bash", "x.sh"]), StreamedInput::Yes).1, [""; 0]);
    }
}
