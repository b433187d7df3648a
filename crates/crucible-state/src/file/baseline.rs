//! What earlier runs were like, in a file for each label: one line for each run, the latest one last.
//!
//! Invariant: bounded in labels, runs and bytes. A line that can't be read, or is of another label, counts for nothing and is
//! told; it can't hide the lines beside it. Lines are added under the folder's lock; what is left of one that was never
//! finished is one broken line.

mod line;

use super::folder::{Hold, OwnedFolder};
use async_trait::async_trait;
use crucible_core::{
    BASELINE_WINDOW, BaselineStore, Error, ErrorKind, History, HostPath, Label, LabelSummary, Profile, Result,
};
use std::io;
use std::str::FromStr;

/// The most labels that are kept.
pub const MOST_LABELS: usize = 1024;
/// From so many bytes on, a file is written anew with the latest runs alone. More than the window can take.
const LARGE: u64 = 512 << 10;
/// The most that is read of a file, from its end.
const MOST_READ: u64 = 1 << 20;
const ENDING: &str = ".jsonl";
const OPERATION: &str = "use what earlier runs were like";

/// Earlier runs in a folder, which is made on first use. Reading makes nothing.
#[derive(Clone, Debug)]
pub struct FileBaselines {
    folder: HostPath,
}

impl FileBaselines {
    /// Those in that folder. It need not be there.
    #[must_use]
    pub const fn new(folder: HostPath) -> Self {
        Self { folder }
    }

    /// Does some work that may wait for the disk, or for another process.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let baselines = self.clone();
        let done =
            tokio::task::spawn_blocking(move || work(&baselines).map_err(|failure| baselines.told(failure))).await;
        done.unwrap_or_else(|error| {
            let message = "reading earlier runs was given up";
            Err(Error::new(ErrorKind::Infrastructure, OPERATION, message).with_source(error))
        })
    }

    fn told(&self, failure: Failure) -> Error {
        let error = match failure {
            Failure::TooMany => {
                let message = format!("there are {MOST_LABELS} labels already");
                return Error::new(ErrorKind::Refused, "remember a run", message)
                    .with_hint("`crucible baseline forget LABEL` makes room");
            }
            Failure::Disk(error) => error,
        };
        let ours = error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none();
        let kind = if ours { ErrorKind::Unavailable } else { ErrorKind::Io };
        let message = format!("what earlier runs were like can't be read or written: {error}");
        Error::new(kind, OPERATION, message).with_hint(format!("it is kept in {}", self.folder)).with_source(error)
    }

    fn open(&self) -> io::Result<Option<OwnedFolder>> {
        OwnedFolder::open(self.folder.as_path())
    }
}

/// Why something couldn't be done.
#[derive(Debug)]
enum Failure {
    TooMany,
    Disk(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

#[async_trait]
impl BaselineStore for FileBaselines {
    async fn history(&self, label: &Label) -> Result<History> {
        let label = label.clone();
        self.aside(move |baselines| {
            let Some(folder) = baselines.open()? else { return Ok(History::default()) };
            let _lock = folder.lock(Hold::ToRead)?;
            let bytes = folder.tail(&file_name(&label), MOST_READ)?.unwrap_or_default();
            Ok(Lines::of(&bytes, &label).history())
        })
        .await
    }

    async fn append(&self, label: &Label, profile: &Profile) -> Result<()> {
        let text = line::write(label, profile)?;
        let label = label.clone();
        self.aside(move |baselines| {
            let folder = OwnedFolder::open_or_create(baselines.folder.as_path())?;
            let lock = folder.lock(Hold::ToWrite)?;
            let name = file_name(&label);
            if folder.tail(&name, 0)?.is_none() && folder.names(ENDING, MOST_LABELS)?.len() >= MOST_LABELS {
                return Err(Failure::TooMany);
            }
            if folder.append(&lock, &name, &text)? > LARGE {
                let bytes = folder.tail(&name, MOST_READ)?.unwrap_or_default();
                folder.replace(&lock, &name, Lines::of(&bytes, &label).latest().as_bytes())?;
            }
            Ok(())
        })
        .await
    }

    async fn labels(&self) -> Result<Vec<LabelSummary>> {
        self.aside(|baselines| {
            let Some(folder) = baselines.open()? else { return Ok(Vec::new()) };
            let _lock = folder.lock(Hold::ToRead)?;
            let mut summaries = Vec::new();
            for name in folder.names(ENDING, MOST_LABELS)? {
                let bytes = folder.tail(&name, MOST_READ)?.unwrap_or_default();
                let Some(label) = label_in(&bytes, &name) else { continue };
                let History { profiles, broken } = Lines::of(&bytes, &label).history();
                let runs = u64::try_from(profiles.len()).unwrap_or(u64::MAX);
                let latest = profiles.last().map(|profile| profile.at);
                summaries.push(LabelSummary { label, runs, latest, broken });
            }
            summaries.sort_by(|one, other| one.label.cmp(&other.label));
            Ok(summaries)
        })
        .await
    }

    async fn forget(&self, label: &Label) -> Result<Option<u64>> {
        let label = label.clone();
        self.aside(move |baselines| {
            let Some(folder) = baselines.open()? else { return Ok(None) };
            let lock = folder.lock(Hold::ToWrite)?;
            let name = file_name(&label);
            let Some(bytes) = folder.tail(&name, MOST_READ)? else { return Ok(None) };
            let runs = Lines::of(&bytes, &label).history().profiles.len();
            folder.remove(&lock, &name)?;
            Ok(Some(u64::try_from(runs).unwrap_or(u64::MAX)))
        })
        .await
    }
}

/// A label's file. Labels have slashes and may be long; what is hashed has neither.
fn file_name(label: &Label) -> String {
    let hash = blake3::hash(label.as_str().as_bytes());
    format!("{}{ENDING}", hash.to_hex())
}

/// The label that a file is of, by the first line that says so and is right.
fn label_in(bytes: &[u8], name: &str) -> Option<Label> {
    lines(bytes)
        .filter_map(line::label)
        .find_map(|text| Label::from_str(&text).ok().filter(|label| file_name(label) == name))
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The lines of a file as they were read.
struct Lines<'a> {
    sound: Vec<(&'a [u8], Profile)>,
    broken: u64,
}

impl<'a> Lines<'a> {
    /// The latest lines, from the end until there are enough. What lies before them isn't looked at.
    fn of(bytes: &'a [u8], label: &Label) -> Self {
        let (mut sound, mut broken) = (Vec::new(), 0);
        for text in bytes.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if sound.len() >= BASELINE_WINDOW {
                break;
            }
            match line::read(text, label) {
                Some(profile) => sound.push((text, profile)),
                None => broken += 1,
            }
        }
        sound.reverse();
        Self { sound, broken }
    }

    fn history(self) -> History {
        History { profiles: self.sound.into_iter().map(|(_, profile)| profile).collect(), broken: self.broken }
    }

    /// The latest lines, for a file anew.
    fn latest(&self) -> String {
        self.sound.iter().map(|(text, _)| String::from_utf8_lossy(text) + "\n").collect()
    }
}

#[cfg(test)]
mod tests;
