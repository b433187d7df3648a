//! Puts the answer together: find the candidate, look into the cache, else ask the interpreter and walk the paths.
//!
//! A remembered answer is used only while nothing that it was made from has changed, and then equals the fresh one.

use super::cache::Cache;
use super::choice;
use super::lookup::{self, Candidate, Stamp, Surroundings};
use super::view::{View, text};
use super::{Description, HostInterpreter, Runtime, RuntimeEntry, libraries, probe};
use crucible_core::{Error, ErrorKind, Language, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OPERATION: &str = "find the interpreter";

/// An answer with what it was made from.
#[derive(Serialize, Deserialize)]
struct Remembered {
    runtime: Runtime,
    /// Files that the interpreter named, as they were.
    stamps: Vec<(PathBuf, Stamp)>,
    /// Paths that were asked for in vain.
    absent: Vec<PathBuf>,
}

impl Remembered {
    fn is_current(&self) -> bool {
        self.stamps.iter().all(|(path, stamp)| Stamp::of(path).as_ref() == Some(stamp))
            && self.absent.iter().all(|path| fs::metadata(path).is_err())
            && self.runtime.entries.iter().all(|entry| match entry {
                RuntimeEntry::Bind { source, .. } => {
                    fs::symlink_metadata(source).is_ok_and(|found| !found.is_symlink())
                }
                RuntimeEntry::Symlink { target, points_to } => {
                    fs::read_link(target).is_ok_and(|found| found == Path::new(points_to))
                }
            })
    }
}

/// Where and how an answer is looked for.
pub(super) struct Resolver<'a> {
    /// The caller's environment.
    pub(super) surroundings: Surroundings,
    /// Where answers are remembered.
    pub(super) cache: Option<&'a Path>,
    /// How long an interpreter may take to answer.
    pub(super) patience: Duration,
}

impl Resolver<'_> {
    pub(super) fn resolve(&self, language: &Language) -> Result<Runtime> {
        let candidate = lookup::find(&self.surroundings, language)?;
        let key = question(language, candidate.as_ref());
        if let (Some(folder), Some(key)) = (self.cache, &key)
            && let Ok(cache) = Cache::open(folder)
            && let Some(remembered) = cache.read::<Remembered>(key)
            && remembered.is_current()
        {
            return Ok(remembered.runtime);
        }
        let found = self.find_out(language, candidate.as_ref())?;
        if let (Some(folder), Some(key)) = (self.cache, &key)
            && let Ok(cache) = Cache::open_or_create(folder)
        {
            // A cache that can't be written costs time and nothing else.
            let _ = cache.write(key, &found);
        }
        Ok(found.runtime)
    }

    pub(super) fn describe(&self, language: &Language) -> Result<Description> {
        let Runtime { interpreter, entries } = self.resolve(language)?;
        let interpreter = interpreter.map(|mut found| {
            let asked = || probe::version(&self.surroundings, Path::new(&found.path), self.patience);
            found.version = found.version.clone().or_else(asked);
            found
        });
        let cache_problem =
            self.cache.and_then(|folder| Cache::open_or_create(folder).err()).map(|error| error.to_string());
        Ok(Description { interpreter, entries: entries.len(), cache_problem })
    }

    fn find_out(&self, language: &Language, candidate: Option<&Candidate>) -> Result<Remembered> {
        let root = Path::new("/");
        let mut view = View::of(root);
        let mut stamps = Vec::new();
        let mut interpreter = None;
        let folders = libraries::folders(root);
        if let Some(candidate) = candidate {
            let answer = self.ask(language, candidate)?;
            let real = add_executable(&mut view, &answer.executable)?;
            for path in libraries::beyond(&real, &folders) {
                view.add(&path)?;
            }
            stamps.extend(Stamp::of(&real).map(|stamp| (real, stamp)));
            for path in &answer.paths {
                if let Some(real) = view.add(path)?
                    && real.is_file()
                {
                    stamps.extend(Stamp::of(&real).map(|stamp| (real, stamp)));
                }
            }
            interpreter = Some(HostInterpreter { path: text(&answer.executable)?, version: answer.version });
        }
        for path in folders.iter().cloned().chain(libraries::loader_files()) {
            view.add(&path)?;
        }
        let own_path = interpreter.as_ref().map_or("", |found| found.path.as_str());
        for file in &language.files {
            view.add(Path::new(&file.replace("{interpreter}", own_path)))?;
        }
        let (entries, absent) = view.finish()?;
        Ok(Remembered { runtime: Runtime { interpreter, entries }, stamps, absent })
    }

    fn ask(&self, language: &Language, candidate: &Candidate) -> Result<probe::Answer> {
        if !language.probe.is_empty() {
            if candidate.chooses {
                choice::refuse_places(&self.surroundings)?;
            }
            return probe::ask(&self.surroundings, &candidate.path, &language.probe, self.patience);
        }
        if !candidate.chooses {
            return Ok(probe::Answer { executable: candidate.path.clone(), version: None, paths: Vec::new() });
        }
        let message =
            format!("{} only stands in for an interpreter, and what it starts is unknown", candidate.path.display());
        let hint = "name the real executable by 'interpreters' in the language's entry of the configuration, or \
                    give it a 'probe'";
        Err(Error::new(ErrorKind::Unavailable, OPERATION, message).with_hint(hint))
    }
}

fn add_executable(view: &mut View, executable: &Path) -> Result<PathBuf> {
    view.add(executable)?.ok_or_else(|| {
        let message = format!("the interpreter {} can't be reached", executable.display());
        Error::new(ErrorKind::Unavailable, OPERATION, message)
    })
}

/// Everything that decides the answer and can be had without running anything; `None` where that isn't text.
fn question(language: &Language, candidate: Option<&Candidate>) -> Option<String> {
    serde_json::to_string(&(&language.probe, &language.files, candidate)).ok()
}
