//! Files of the suite's own that a probe is after.

use super::Sight;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A file with a secret that everybody may read.
pub(super) struct SecretFile {
    pub(super) path: PathBuf,
    pub(super) secret: String,
}

impl SecretFile {
    pub(super) fn make(base: &Path, nonce: &str) -> io::Result<Self> {
        let folder = folder(base, nonce, 0o755)?;
        let (path, secret) = (folder.join("secret"), crate::nonce()?);
        fs::write(&path, &secret)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
        Ok(Self { path, secret })
    }
}

/// A folder that everybody may write to, with a file in it.
pub(super) struct WritableFolder {
    pub(super) path: PathBuf,
    before: Vec<Entry>,
}

/// What is remembered of a file: its name, mode, links, owner and bytes.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: PathBuf,
    mode: u32,
    links: u64,
    owner: (u32, u32),
    bytes: Vec<u8>,
}

impl WritableFolder {
    pub(super) fn make(base: &Path, nonce: &str) -> io::Result<Self> {
        let path = folder(base, nonce, 0o777)?;
        let file = path.join("canary");
        fs::write(&file, "untouched")?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666))?;
        let before = entries(&path)?;
        Ok(Self { path, before })
    }

    pub(super) fn look(&self) -> Sight {
        match entries(&self.path) {
            Ok(now) if now == self.before => Sight::Nothing("nothing in the folder changed".to_owned()),
            Ok(now) => {
                Sight::Reached(format!("the folder was changed: {} files, was {}", now.len(), self.before.len()))
            }
            Err(error) => Sight::Reached(format!("the folder can't be read any more: {}", error.kind())),
        }
    }
}

fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let seen = entry.path().symlink_metadata()?;
        let bytes = if seen.is_file() && seen.len() < 4096 { fs::read(entry.path())? } else { Vec::new() };
        let (mode, links, owner) = (seen.mode(), seen.nlink(), (seen.uid(), seen.gid()));
        Ok(Entry { name: entry.file_name().into(), mode, links, owner, bytes })
    };
    let mut all: Vec<Entry> = fs::read_dir(folder)?.map(entry).collect::<io::Result<_>>()?;
    all.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(all)
}

/// Makes a folder below `base`, whatever the umask.
pub(super) fn folder(base: &Path, nonce: &str, mode: u32) -> io::Result<PathBuf> {
    let path = base.join(format!("canary-{nonce}"));
    fs::create_dir(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(path)
}
