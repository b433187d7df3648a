//! Tests of the runtime: real interpreters of this machine inside `bwrap`, made-up hosts, bad stand-ins, bad caches.
//!
//! Interpreters are found through `PATH`; a test whose interpreter isn't installed says so and passes.

mod faked;
mod layouts;
mod real;
mod remembered;

use super::lookup::Surroundings;
use super::resolve::Resolver;
use super::{DEFAULT_LANGUAGES, Runtime, RuntimeEntry};
use crucible_core::{Language, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn language(name: &str) -> Language {
    let mut table: BTreeMap<String, BTreeMap<String, Language>> = toml::from_str(DEFAULT_LANGUAGES).unwrap();
    table.get_mut("languages").unwrap().remove(name).unwrap()
}

/// This process's surroundings with another search path.
fn surroundings(path: &[&Path]) -> Surroundings {
    let mut surroundings = Surroundings::of_this_process();
    surroundings.environment.insert(OsString::from("PATH"), std::env::join_paths(path).unwrap());
    surroundings
}

fn resolver(surroundings: Surroundings, cache: Option<&Path>) -> Resolver<'_> {
    Resolver { surroundings, cache, patience: Duration::from_secs(10) }
}

fn resolve_in(path: &[&Path], language: &Language) -> Result<Runtime> {
    resolver(surroundings(path), None).resolve(language)
}

/// Where this machine's `PATH` has a program.
fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn script(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Every promise about the shape of the entries.
fn check_shape(entries: &[RuntimeEntry]) {
    let target = |entry: &RuntimeEntry| match entry {
        RuntimeEntry::Bind { target, .. } | RuntimeEntry::Symlink { target, .. } => PathBuf::from(target),
    };
    for (index, entry) in entries.iter().enumerate() {
        let here = target(entry);
        assert!(here.is_absolute() && here != Path::new("/"), "{entry:?}");
        for other in entries.iter().skip(index + 1) {
            assert!(target(other) > here, "{other:?} comes after {entry:?}");
            assert!(!target(other).starts_with(&here), "{other:?} lies below {entry:?}");
        }
    }
}

fn has_bind(runtime: &Runtime, path: &str) -> bool {
    runtime.entries.iter().any(|entry| matches!(entry, RuntimeEntry::Bind { target, .. } if target == path))
}

fn has_link(runtime: &Runtime, path: &str, to: &str) -> bool {
    let wanted = RuntimeEntry::Symlink { target: path.to_owned(), points_to: to.to_owned() };
    runtime.entries.contains(&wanted)
}

/// Runs the interpreter inside a root that holds the entries and nothing else; `None`, with the reason, without bwrap.
fn run_inside(runtime: &Runtime, language: &Language, arguments: &[&str]) -> Option<Output> {
    let Some(bwrap) = which("bwrap") else {
        eprintln!("skipped: bwrap isn't installed");
        return None;
    };
    check_shape(&runtime.entries);
    let mut command = Command::new(bwrap);
    command.args(["--unshare-all", "--clearenv", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    for (name, value) in &language.env {
        command.args(["--setenv", name, value]);
    }
    command.args(["--setenv", "PATH", "/usr/bin:/bin"]);
    // Only so that programs can look whether something of it is there.
    command.arg("--setenv").arg("HOME").arg(std::env::var_os("HOME").unwrap_or_default());
    for entry in &runtime.entries {
        match entry {
            RuntimeEntry::Bind { source, target } => command.arg("--ro-bind").arg(source).arg(target),
            RuntimeEntry::Symlink { target, points_to } => command.arg("--symlink").arg(points_to).arg(target),
        };
    }
    command.arg(&runtime.interpreter.as_ref().unwrap().path).args(arguments);
    Some(command.output().unwrap())
}

/// What it printed, after it ended well.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}
