//! What a version manager's stand-in (pyenv, asdf, mise, nodenv, volta, ...) goes by when it chooses an interpreter.
//!
//! The current folder has a say in it, and that folder may be the untrusted program's own. So a choice that names a
//! place instead of a version is refused before the stand-in is run. Nothing is executed here.

use super::lookup::{Stamp, Surroundings};
use crucible_core::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const OPERATION: &str = "find the interpreter";

/// Variables by which version managers are told what to choose.
const VARIABLES: [&str; 3] = ["HOME", "PATH", "VIRTUAL_ENV"];
const VARIABLE_PREFIXES: [&str; 10] =
    ["PYENV_", "ASDF_", "MISE_", "RTX_", "NODENV_", "VOLTA_", "NVM_", "FNM_", "RBENV_", "CONDA_"];
/// Files in the current folder, and those above it, that name versions.
const VERSION_FILES: [&str; 7] =
    [".python-version", ".node-version", ".nvmrc", ".ruby-version", ".tool-versions", "mise.toml", ".mise.toml"];
/// A file there that names versions among much else.
const PACKAGE_FILE: &str = "package.json";
/// What a version manager keeps in its own folder: the general choice, and what there is to choose from.
const STATE: [&str; 3] = ["version", "versions", "installs"];
/// General choices that lie in the home folder.
const HOME_FILES: [&str; 3] = [".tool-versions", ".asdfrc", ".config/mise/config.toml"];
/// Makes mise ask for the user's trust before it goes by any file of the current folder.
pub(super) const MISE_CAUTION: (&str, &str) = ("MISE_PARANOID", "1");

const MAX_VERSION_FILE_BYTES: u64 = 64 * 1024;

/// Everything that the stand-in may look at to choose, in one comparable list.
pub(super) fn made_from(surroundings: &Surroundings, stand_in: &Path) -> Vec<String> {
    let mut choice = Vec::new();
    for (name, value) in &surroundings.environment {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if VARIABLES.contains(&&*name) || VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            choice.push(format!("{name}={value}"));
        }
    }
    if let Some(directory) = &surroundings.directory {
        choice.push(format!("in {}", directory.display()));
    }
    let mut look = |path: PathBuf| {
        if let Some(stamp) = Stamp::of(&path) {
            choice.push(format!("{} {stamp:?}", path.display()));
        }
    };
    for folder in folders(surroundings) {
        VERSION_FILES.iter().chain([&PACKAGE_FILE]).for_each(|name| look(folder.join(name)));
    }
    let managers = [surroundings.variable("PYENV_ROOT").map(Path::new), stand_in.parent().and_then(Path::parent)];
    for folder in managers.into_iter().flatten() {
        STATE.iter().for_each(|name| look(folder.join(name)));
    }
    if let Some(home) = surroundings.variable("HOME").map(Path::new) {
        HOME_FILES.iter().for_each(|name| look(home.join(name)));
    }
    choice
}

/// Refuses a choice that could make the stand-in run what lies in the current folder.
///
/// asdf and mise go by `path:FOLDER`, and pyenv before 2.3.3 by `../../FOLDER`.
pub(super) fn refuse_places(surroundings: &Surroundings) -> Result<()> {
    // What lies in the home folder itself is the user's own word.
    let home = surroundings.variable("HOME").map(Path::new);
    let others = folders(surroundings).filter(|folder| Some(*folder) != home);
    for path in others.flat_map(|folder| VERSION_FILES.map(|name| folder.join(name))) {
        let mut content = Vec::new();
        let Ok(file) = File::open(&path) else { continue };
        if file.take(MAX_VERSION_FILE_BYTES).read_to_end(&mut content).is_err() {
            continue;
        }
        let text = String::from_utf8_lossy(&content);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let mut words = lines.flat_map(|line| line.split([' ', '\t', '"', '\'', '=', ':']));
        if text.contains("path:") || words.any(|word| word.starts_with('/') || word.contains("..")) {
            let message = format!("{} chooses the interpreter by its place and not by its version", path.display());
            let hint = "Crucible doesn't run interpreters that a folder names: start it in another folder, or name the \
                        executable by 'interpreters' in the language's entry of the configuration";
            return Err(Error::new(ErrorKind::Refused, OPERATION, message).with_hint(hint));
        }
    }
    Ok(())
}

/// The folders in which version managers look for a choice.
fn folders(surroundings: &Surroundings) -> impl Iterator<Item = &Path> {
    let starts = [surroundings.directory.as_deref(), surroundings.variable("PYENV_DIR").map(Path::new)];
    starts.into_iter().flatten().flat_map(Path::ancestors)
}
