//! What goes into a sandbox, read from this machine: the program, its files, its environment, its standard input.
//!
//! Nothing is read that could not fit into the sandbox, so that a device or a huge file is an answer and not a hang.

use crate::arguments::{FileFlag, RunArguments};
use crucible::config::Configuration;
use crucible_core::{ByteSize, Error, ErrorKind, InputFile, Limits, Result};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::io::AsyncRead;

/// Where a program's text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramSource {
    /// The command line or a file, so that standard input is the program's.
    Elsewhere,
    /// Our own standard input.
    StandardInput,
}

/// A program's text, its language and where it came from.
pub(crate) struct ProgramText {
    pub(crate) code: Vec<u8>,
    pub(crate) language: String,
    pub(crate) source: ProgramSource,
}

/// Reads the program that the arguments name.
///
/// # Errors
/// `NotFound` for a missing file or an unknown language; `InvalidInput` for a folder or more than fits; `Io`.
pub(crate) fn program(arguments: &RunArguments, configuration: &Configuration) -> Result<ProgramText> {
    let languages = configuration.languages();
    let named = match &arguments.language {
        Some(name) => Some(languages.find(name)?.0),
        None => None,
    };
    let fallback = || languages.find(configuration.language()).map(|(name, _)| name);
    let limits = configuration.limits();
    let (code, by_name, source) = match (&arguments.code, &arguments.file) {
        (Some(code), _) => (code.clone().into_vec(), None, ProgramSource::Elsewhere),
        (None, Some(file)) if file != "-" => {
            let by_name = file.to_str().and_then(|name| languages.for_file(name)).map(|(name, _)| name);
            (read_file(Path::new(file), "the program", limits)?, by_name, ProgramSource::Elsewhere)
        }
        (None, _) => {
            (read_all(io::stdin(), "the program on standard input", limits)?, None, ProgramSource::StandardInput)
        }
    };
    let language = named.or(by_name).map_or_else(fallback, Ok)?;
    Ok(ProgramText { code, language, source })
}

/// Reads the files that go in.
///
/// # Errors
/// As [`program`].
pub(crate) fn files(flags: &[FileFlag], limits: &Limits) -> Result<Vec<InputFile>> {
    let read = |flag: &FileFlag| {
        let content = read_file(&flag.source, "the file", limits)?;
        let mode = std::fs::metadata(&flag.source).map(|metadata| metadata.permissions().mode()).unwrap_or(0);
        Ok(InputFile { path: flag.destination.clone(), content, executable: mode & 0o111 != 0 })
    };
    flags.iter().map(read).collect()
}

/// The preset's variables, then those of the command line; a name alone takes ours.
///
/// # Errors
/// `InvalidInput` for a variable that isn't set here or isn't UTF-8.
pub(crate) fn environment(
    preset: &BTreeMap<String, String>,
    flags: &[String],
    own: impl Fn(&str) -> Option<OsString>,
) -> Result<BTreeMap<String, String>> {
    let refuse = |message: String| Error::new(ErrorKind::InvalidInput, "read the environment variables", message);
    let mut variables = preset.clone();
    for flag in flags {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let unset =
                    || refuse(format!("the environment variable {flag:?} isn't set here")).with_hint("say NAME=VALUE");
                let value = if flag.is_empty() { None } else { own(flag) }.ok_or_else(unset)?;
                let text = value.into_string().map_err(|_| refuse(format!("the value of {flag:?} is not UTF-8")))?;
                (flag.as_str(), text)
            }
        };
        if name.is_empty() {
            return Err(
                refuse(format!("{flag:?} names no environment variable")).with_hint("say NAME=VALUE, or NAME alone")
            );
        }
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// The program's standard input as it comes; `None` for an end of file at once.
///
/// # Errors
/// `NotFound`, `InvalidInput` or `Io` for a file that can't be read.
pub(crate) fn standard_input(
    file: Option<&Path>,
    source: ProgramSource,
) -> Result<Option<Box<dyn AsyncRead + Send + Unpin>>> {
    match file {
        Some(path) if path != Path::new("-") => {
            let file = open(path, "the standard input")?;
            Ok(Some(Box::new(tokio::fs::File::from_std(file))))
        }
        _ => {
            Ok((source == ProgramSource::Elsewhere && has_standard_input()).then(|| Box::new(tokio::io::stdin()) as _))
        }
    }
}

/// Whether there may be something to read on our own standard input.
fn has_standard_input() -> bool {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        // A background job that reads from its terminal is stopped, though its program may never want to read.
        let foreground = rustix::termios::tcgetpgrp(&stdin);
        return foreground.is_ok_and(|group| group == rustix::process::getpgrp());
    }
    let Ok(status) = rustix::fs::fstat(&stdin) else {
        return false;
    };
    let null = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice
        && status.st_rdev == rustix::fs::makedev(1, 3);
    !null
}

fn open(path: &Path, what: &str) -> Result<File> {
    let shown = path.display();
    let fail = |kind, message: String| Error::new(kind, "open a file", message);
    if path.is_dir() {
        return Err(
            fail(ErrorKind::InvalidInput, format!("{what} '{shown}' is a folder")).with_hint("name a file in it")
        );
    }
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if looks_like_code(path.as_os_str()) => {
            fail(ErrorKind::NotFound, format!("there is no file '{shown}'"))
                .with_hint("code on the command line follows -c")
        }
        io::ErrorKind::NotFound => fail(ErrorKind::NotFound, format!("there is no file '{shown}'")),
        _ => fail(ErrorKind::Io, format!("can't open {what} '{shown}'")).with_source(error),
    })
}

fn looks_like_code(text: &OsStr) -> bool {
    text.as_bytes().iter().any(|byte| matches!(byte, b'(' | b' ' | b'=' | b';' | b'\n'))
}

/// Reads a file, up to what fits into the sandbox.
///
/// # Errors
/// As [`program`].
pub(crate) fn read_file(path: &Path, what: &str, limits: &Limits) -> Result<Vec<u8>> {
    let file = open(path, what)?;
    read_all(file, &format!("{what} '{}'", path.display()), limits)
}

/// Reads everything, up to what fits into the sandbox.
///
/// # Errors
/// As [`program`].
pub(crate) fn read_all(source: impl Read, what: &str, limits: &Limits) -> Result<Vec<u8>> {
    let (limit, name, flag) = smaller(limits);
    let mut bytes = Vec::new();
    let read = source.take(limit.get().saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(ErrorKind::Io, "read a file", format!("can't read {what}")).with_source(error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit.get() {
        let message = format!("{what} is larger than the {name} limit of {limit}");
        return Err(
            Error::new(ErrorKind::InvalidInput, "read a file", message).with_hint(format!("raise it with {flag}"))
        );
    }
    Ok(bytes)
}

/// The limit that a single file meets first.
fn smaller(limits: &Limits) -> (ByteSize, &'static str, &'static str) {
    if limits.file_size < limits.disk {
        (limits.file_size, "file size", "--file-size")
    } else {
        (limits.disk, "disk", "--disk")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_beyond_what_fits() {
        let limits = Limits { disk: ByteSize::bytes(10), ..Limits::default() };
        assert_eq!(read_all(&[0; 10][..], "x", &limits).unwrap().len(), 10);
        let error = read_all(io::repeat(0), "x", &limits).unwrap_err();
        assert_eq!(error.to_string(), "x is larger than the disk limit of 10B");
    }

    #[test]
    fn a_variable_is_given_passed_on_or_refused() {
        let own = |name: &str| (name == "MINE").then(|| OsString::from("v"));
        let flags = |flags: &[&str]| flags.iter().map(|&flag| flag.to_owned()).collect::<Vec<_>>();
        let preset = BTreeMap::from([("A".to_owned(), "0".to_owned()), ("B".to_owned(), "0".to_owned())]);
        let variables = environment(&preset, &flags(&["A=1=2", "MINE", "E="]), own).unwrap();
        let shown: Vec<_> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["A=1=2", "B=0", "E=", "MINE=v"]);
        for wrong in ["YOURS", "=x", ""] {
            assert_eq!(environment(&preset, &flags(&[wrong]), own).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_missing_file_that_reads_like_code_is_answered_with_the_flag() {
        let error = open(Path::new("print(1)"), "the program").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.hint().unwrap().contains("-c"));
        assert_eq!(open(Path::new("missing.py"), "the program").unwrap_err().hint(), None);
        assert_eq!(open(Path::new("/"), "the program").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
