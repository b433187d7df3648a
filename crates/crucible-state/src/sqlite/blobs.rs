//! Large documents, as compressed files that are named by the BLAKE3 hash of what is in them.
//!
//! Invariant: a file under its name is whole and on the disk; what is read is checked against its name. A file is removed only
//! while nobody is about to refer to it: whoever writes one holds a guard until that is committed.

use super::failure::{Done, Failure};
use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// What a file begins with; after it come the length of what is in it, and that, compressed.
const MAGIC: &[u8; 8] = b"CRBLOB1\n";
/// The most bytes of one document.
pub(super) const LARGEST: usize = 512 << 20;
/// The level at which most is gained for the time.
const LEVEL: u8 = 1;
const DRAFT: &str = ".draft-";

/// The hash of a document.
pub(super) type Hash = [u8; 32];

/// Keeps files from being removed, for as long as one of its clones lives.
#[derive(Clone, Debug)]
pub(super) struct Writing(#[expect(dead_code, reason = "held for as long as it lives")] Arc<OwnedRwLockReadGuard<()>>);

/// Keeps files from being written.
#[derive(Debug)]
pub(super) struct Removing(#[expect(dead_code, reason = "held for as long as it lives")] OwnedRwLockWriteGuard<()>);

#[derive(Clone, Debug)]
pub(super) struct Blobs {
    folder: PathBuf,
    guard: Arc<RwLock<()>>,
}

impl Blobs {
    pub(super) fn open(folder: &Path) -> Done<Self> {
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
        Ok(Self { folder: folder.to_owned(), guard: Arc::default() })
    }

    pub(super) async fn writing(&self) -> Writing {
        Writing(Arc::new(Arc::clone(&self.guard).read_owned().await))
    }

    pub(super) async fn removing(&self) -> Removing {
        Removing(Arc::clone(&self.guard).write_owned().await)
    }

    pub(super) fn path(&self, hash: &Hash) -> PathBuf {
        let name = blake3::Hash::from_bytes(*hash).to_hex();
        self.folder.join(name.get(..2).unwrap_or_default()).join(name.as_str())
    }

    /// Writes a document, unless it is there already. It waits for the disk.
    pub(super) fn write(&self, _guard: &Writing, content: &[u8]) -> Done<Hash> {
        let hash = *blake3::hash(content).as_bytes();
        let path = self.path(&hash);
        if path.exists() {
            return Ok(hash);
        }
        let folder = path.parent().unwrap_or(&self.folder);
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => File::open(&self.folder)?.sync_all()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        let draft = folder.join(format!("{DRAFT}{}", uuid::Uuid::now_v7()));
        let written = self.write_draft(&draft, content).and_then(|()| fs::rename(&draft, &path));
        if let Err(error) = written {
            // The next collection removes what this can't.
            let _left = fs::remove_file(&draft);
            return Err(error.into());
        }
        File::open(folder)?.sync_all()?;
        Ok(hash)
    }

    #[expect(clippy::unused_self, reason = "only those who have the folder write into it")]
    fn write_draft(&self, draft: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
        file.write_all(MAGIC)?;
        file.write_all(&u64::try_from(content.len()).unwrap_or(u64::MAX).to_le_bytes())?;
        file.write_all(&compress_to_vec_zlib(content, LEVEL))?;
        file.sync_all()
    }

    /// Reads a document, and checks it.
    pub(super) fn read(&self, hash: &Hash) -> Done<Vec<u8>> {
        let name = || blake3::Hash::from_bytes(*hash).to_hex();
        let mut bytes = Vec::new();
        match File::open(self.path(hash)) {
            Ok(file) => file.take(2 * LARGEST as u64).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Failure::damaged(format!("the document {} is missing", name())));
            }
            Err(error) => return Err(error.into()),
        };
        unpack(&bytes)
            .filter(|content| blake3::hash(content).as_bytes() == hash)
            .ok_or_else(|| Failure::damaged(format!("the document {} is damaged", name())))
    }

    /// Whether a file can be written, read and removed.
    pub(super) fn try_out(&self, _guard: &Writing) -> Done<()> {
        let draft = self.folder.join(format!("{DRAFT}{}", uuid::Uuid::now_v7()));
        let tried = self.write_draft(&draft, b"self-test").and_then(|()| fs::read(&draft));
        fs::remove_file(&draft)?;
        match unpack(&tried?).as_deref() {
            Some(b"self-test") => Ok(()),
            _ => Err(Failure::damaged("a document doesn't read back as it was written")),
        }
    }

    /// All hashes that there are files of, and how many files are none of a document's.
    pub(super) fn all(&self) -> Done<(Vec<Hash>, Vec<PathBuf>)> {
        let (mut hashes, mut others) = (Vec::new(), Vec::new());
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?.path();
            if !folder.is_dir() {
                others.push(folder);
                continue;
            }
            for file in fs::read_dir(folder)? {
                let path = file?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                match blake3::Hash::from_hex(name) {
                    Ok(hash) => hashes.push(*hash.as_bytes()),
                    Err(_) => others.push(path),
                }
            }
        }
        Ok((hashes, others))
    }

    /// Removes a document, and says how many bytes that freed.
    pub(super) fn remove(&self, _guard: &Removing, hash: &Hash) -> Done<u64> {
        let path = self.path(hash);
        let size = fs::metadata(&path)?.len();
        fs::remove_file(&path)?;
        Ok(size)
    }

    /// The bytes of a document's file.
    pub(super) fn size(&self, hash: &Hash) -> u64 {
        fs::metadata(self.path(hash)).map(|metadata| metadata.len()).unwrap_or(0)
    }
}

fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, packed) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= LARGEST)?;
    decompress_to_vec_zlib_with_limit(packed, length).ok().filter(|content| content.len() == length)
}

#[cfg(test)]
mod tests {
    use super::Blobs;
    use std::fs;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
        (folder, blobs)
    }

    #[tokio::test]
    async fn a_document_reads_back_and_is_kept_once() {
        let (_folder, blobs) = blobs();
        let content = b"again and again ".repeat(10_000);
        let guard = blobs.writing().await;
        let hash = blobs.write(&guard, &content).unwrap();
        assert_eq!(blobs.write(&guard, &content).unwrap(), hash);
        assert_eq!(blobs.read(&hash).unwrap(), content);
        assert!(blobs.size(&hash) < 4000, "{} bytes", blobs.size(&hash));
        assert_eq!(blobs.all().unwrap(), (vec![hash], vec![]));
    }

    #[tokio::test]
    async fn a_document_with_one_bit_changed_is_not_given_out() {
        let (_folder, blobs) = blobs();
        let guard = blobs.writing().await;
        let hash = blobs.write(&guard, b"what was written").unwrap();
        let whole = fs::read(blobs.path(&hash)).unwrap();
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(blobs.path(&hash), &changed).unwrap();
            // Some bits of the compressed form mean nothing.
            assert!(
                blobs.read(&hash).is_err_and(|error| format!("{error:?}").contains("damaged"))
                    || blobs.read(&hash).unwrap() == b"what was written"
            );
        }
        fs::write(blobs.path(&hash), &whole[..whole.len() - 3]).unwrap();
        assert!(blobs.read(&hash).is_err());
        fs::remove_file(blobs.path(&hash)).unwrap();
        assert!(blobs.read(&hash).is_err());
    }
}
