//! What interpreters answered, remembered on disk: a JSON file per question in a folder that only its owner can write.
//!
//! The answers decide what a sandbox may read, so a folder or file that somebody else could have written is not used.
//! The cache only ever saves time: whatever is wrong with it, the answer is found without it.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, renameat, statat, unlinkat};
use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

const MAX_RECORD_BYTES: u64 = 256 * 1024;
/// The most records kept; choices depend on the current folder, so there may be many.
const MAX_RECORDS: usize = 128;
/// Changes whenever a record's meaning does.
const FORMAT: u32 = 1;

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// An open cache folder.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: OwnedFd,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Record<T> {
    format: u32,
    key: String,
    answer: T,
}

impl Cache {
    /// Opens the folder.
    ///
    /// # Errors
    /// Where it isn't there, or isn't the caller's alone to write.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty())?;
        if !is_ours_alone(&fstat(&folder)?) {
            let message = format!("{} belongs to somebody else, or others may write to it", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(Self { folder, path: path.to_owned() })
    }

    /// Opens the folder, making it first where it isn't there.
    ///
    /// # Errors
    /// As [`Cache::open`], or where it can't be made.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// What was remembered under this key; `None` where there is nothing, or nothing that can be trusted.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, file_name(key), flags, Mode::empty()).ok()?;
        let stat = fstat(&file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !is_ours_alone(&stat) {
            return None;
        }
        let mut content = Vec::new();
        File::from(file).take(MAX_RECORD_BYTES).read_to_end(&mut content).ok()?;
        let record: Record<T> = serde_json::from_slice(&content).ok()?;
        (record.format == FORMAT && record.key == key).then_some(record.answer)
    }

    /// Remembers an answer, replacing what was there in one step.
    ///
    /// # Errors
    /// Where it can't be written; the old answer is then still there.
    pub(crate) fn write<T: Serialize>(&self, key: &str, answer: T) -> io::Result<()> {
        let content = serde_json::to_vec(&Record { format: FORMAT, key: key.to_owned(), answer })?;
        let draft = format!(".draft-{}-{}", process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.folder, &draft, flags, Mode::RUSR | Mode::WUSR)?);
        let written =
            file.write_all(&content).and_then(|()| Ok(renameat(&self.folder, &draft, &self.folder, file_name(key))?));
        if written.is_err() {
            let _ = unlinkat(&self.folder, &draft, AtFlags::empty());
        }
        self.forget_the_oldest()?;
        written
    }

    fn forget_the_oldest(&self) -> io::Result<()> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if let Ok(stat) = statat(&self.folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                records.push((stat.st_mtime, stat.st_mtime_nsec, name));
            }
        }
        if records.len() > MAX_RECORDS {
            records.sort();
            for (_, _, name) in records.iter().take(records.len() - MAX_RECORDS) {
                let _ = unlinkat(&self.folder, name, AtFlags::empty());
            }
        }
        Ok(())
    }
}

fn is_ours_alone(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0
}

/// The key itself is in the record, so that two keys with one name only cost time.
fn file_name(key: &str) -> String {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    format!("{:016x}.json", hasher.finish())
}
