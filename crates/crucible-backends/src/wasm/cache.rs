//! Compiled code on disk: written once per machine, engine and module, and authenticated before it is used.
//!
//! Loading compiled code executes it, so that this file is the only one that does ([`load`]), and what it loads has passed
//! [`ArtifactCache::find`]: a file in an owner-only folder whose name holds a BLAKE3 keyed by a secret that only the owner
//! can read. What fails in any way is told, removed and made anew; it is never loaded.

use super::private::PrivateFolder;
use blake3::{Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use wasmtime::{Engine, Module};

/// The file with the secret.
const KEY: &str = "key";
const KEY_BYTES: usize = 32;
/// What the names of compiled files end with.
const ENDING: &str = ".compiled";
/// Changes whenever the meaning of a file does.
const FORMAT: u32 = 1;
/// Readable by all who get it shown: a sandbox's user is another one. The folder keeps everybody else out.
const MODE: u32 = 0o444;

/// What compiled code was made from: the module and everything about the engine and the processor that decides what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArtifactName {
    runtime: String,
    made_from: String,
}

impl ArtifactName {
    /// The code that this engine makes here of a module with that digest.
    pub(super) fn new(runtime: &str, module_digest: &str, engine: &Engine) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&FORMAT.to_le_bytes()).update(module_digest.as_bytes());
        let mut adapter = Adapter(hasher);
        // The engine's version, its settings, and what it found out about the processor.
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut adapter);
        let made_from = adapter.0.finalize().to_hex();
        Self { runtime: runtime.to_owned(), made_from: made_from.chars().take(32).collect() }
    }

    fn prefix(&self) -> String {
        format!("{}.{}.", self.runtime, self.made_from)
    }
}

/// The standard library's kind of hasher over BLAKE3, for what can only be hashed by that.
struct Adapter(Hasher);

impl std::hash::Hasher for Adapter {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(&bytes.len().to_le_bytes()).update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// What there is of some code.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is there and authentic.
    Authentic(PathBuf),
    /// It isn't there, or not to be trusted; why, if there is anything to say.
    Nothing(Option<String>),
}

/// The folder with compiled code.
#[derive(Debug)]
pub(super) struct ArtifactCache {
    folder: PrivateFolder,
    key: [u8; KEY_BYTES],
}

impl ArtifactCache {
    /// Opens the folder, making it and its secret where they are missing.
    ///
    /// # Errors
    /// `PermissionDenied` where it isn't the caller's alone; else where it can't be made.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let folder = PrivateFolder::open_or_create(path)?;
        let key = match read_key(&folder) {
            Some(key) => key,
            None => {
                let mut key = [0; KEY_BYTES];
                fill_randomly(&mut key)?;
                // Whoever was faster has made one, too; then its own is the one that counts from the next start on.
                folder.write(KEY, 0o400, &key)?;
                read_key(&folder).unwrap_or(key)
            }
        };
        Ok(Self { folder, key })
    }

    /// Looks for code, and authenticates it.
    pub(super) fn find(&self, name: &ArtifactName) -> Found {
        let Ok(names) = self.folder.names() else { return Found::Nothing(None) };
        let of_this_runtime = format!("{}.", name.runtime);
        let mut why = None;
        for file in names.iter().filter(|file| file.starts_with(&of_this_runtime) && file.ends_with(ENDING)) {
            let Some(seal) = file.strip_prefix(&name.prefix()).and_then(|rest| rest.strip_suffix(ENDING)) else {
                why.get_or_insert_with(|| {
                    "what is there was made by another version of Crucible or of its engine, or for another processor"
                        .to_owned()
                });
                continue;
            };
            match self.authenticate(file, seal, name) {
                Ok(()) => return Found::Authentic(self.folder.path().join(file)),
                Err(error) => {
                    why = Some(format!("what is there can't be trusted: {error}"));
                    // It would be in the way of the next one.
                    let _removed = self.folder.remove(file);
                }
            }
        }
        Found::Nothing(why)
    }

    fn authenticate(&self, file: &str, seal: &str, name: &ArtifactName) -> io::Result<()> {
        let seal = Hash::from_hex(seal).map_err(|_| io::Error::other("its name holds no seal"))?;
        let mut content = self.folder.read(file)?;
        let mut hasher = self.hasher(name);
        let mut piece = vec![0; 1 << 20];
        loop {
            let count = content.read(&mut piece)?;
            let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            hasher.update(bytes);
        }
        // Compared in constant time.
        if hasher.finalize() == seal { Ok(()) } else { Err(io::Error::other("its content isn't what was compiled")) }
    }

    /// Keeps code, in the place of what there was for this runtime.
    ///
    /// # Errors
    /// Where it can't be written; nothing of it is then left.
    pub(super) fn store(&self, name: &ArtifactName, code: &[u8]) -> io::Result<PathBuf> {
        let seal = self.hasher(name).update(code).finalize().to_hex();
        let file = format!("{}{seal}{ENDING}", name.prefix());
        self.folder.write(&file, MODE, code)?;
        let of_this_runtime = format!("{}.", name.runtime);
        for other in self.folder.names()?.iter().filter(|other| other.starts_with(&of_this_runtime)) {
            if *other != file {
                // Sandboxes that use it still have it.
                let _removed = self.folder.remove(other);
            }
        }
        Ok(self.folder.path().join(file))
    }

    /// Removes what there is for a runtime.
    pub(super) fn forget(&self, runtime: &str) -> io::Result<()> {
        let of_this_runtime = format!("{runtime}.");
        for file in self.folder.names()?.iter().filter(|file| file.starts_with(&of_this_runtime)) {
            self.folder.remove(file)?;
        }
        Ok(())
    }

    fn hasher(&self, name: &ArtifactName) -> Hasher {
        let mut hasher = Hasher::new_keyed(&self.key);
        let prefix = name.prefix();
        hasher.update(&prefix.len().to_le_bytes()).update(prefix.as_bytes());
        hasher
    }
}

fn read_key(folder: &PrivateFolder) -> Option<[u8; KEY_BYTES]> {
    let file = folder.read(KEY).ok()?;
    if file.metadata().is_ok_and(|seen| std::os::unix::fs::PermissionsExt::mode(&seen.permissions()) & 0o077 != 0) {
        return None;
    }
    let mut content = Vec::new();
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut content).ok()?;
    content.try_into().ok()
}

fn fill_randomly(bytes: &mut [u8]) -> io::Result<()> {
    let filled = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled == bytes.len() { Ok(()) } else { Err(io::Error::other("the kernel gives too few random bytes")) }
}

/// Loads compiled code into this process, which is a jailed worker's.
///
/// # Errors
/// Where it is no code of this engine's, by its own marks.
pub(super) fn load(engine: &Engine, path: &str) -> wasmtime::Result<Module> {
    // SAFETY: deserializing trusts the file to be what this engine's `Module::serialize` gave. The backend names only files
    // that `ArtifactCache::find` authenticated with a secret that no guest can read, or that it has just stored itself; they
    // lie in a folder that nobody else may enter, and are mounted read-only here, so that nothing changes them afterwards. And
    // this process is already confined: code that was none of ours would gain no more than a native program in the jail has.
    #[expect(unsafe_code, reason = "loading compiled code can't be checked by the compiler; see the module's own text")]
    unsafe {
        Module::deserialize_file(engine, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn name(runtime: &str) -> ArtifactName {
        ArtifactName::new(runtime, "digest", &super::super::engine::engine(1 << 20).unwrap())
    }

    fn cache() -> (tempfile::TempDir, ArtifactCache) {
        let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap();
        let cache = ArtifactCache::open(folder.path()).unwrap();
        (folder, cache)
    }

    fn why(found: Found) -> String {
        match found {
            Found::Nothing(why) => why.unwrap(),
            Found::Authentic(path) => panic!("{} was trusted", path.display()),
        }
    }

    #[test]
    fn what_was_stored_is_found_again_and_by_another_process_too() {
        let (folder, cache) = cache();
        assert_eq!(cache.find(&name("python")), Found::Nothing(None));
        let stored = cache.store(&name("python"), b"code").unwrap();
        assert_eq!(cache.find(&name("python")), Found::Authentic(stored.clone()));
        assert_eq!(ArtifactCache::open(folder.path()).unwrap().find(&name("python")), Found::Authentic(stored.clone()));
        assert_eq!(fs::read(stored).unwrap(), b"code");
        cache.forget("python").unwrap();
        assert_eq!(cache.find(&name("python")), Found::Nothing(None));
    }

    #[test]
    fn changed_truncated_and_exchanged_files_are_not_trusted_and_go() {
        let (_folder, cache) = cache();
        for content in [&b"code!"[..], b"cod", b"", b"kode"] {
            let stored = cache.store(&name("python"), b"code").unwrap();
            fs::remove_file(&stored).unwrap();
            fs::write(&stored, content).unwrap();
            assert!(why(cache.find(&name("python"))).contains("can't be trusted"));
            assert!(!stored.exists());
        }
        // Authentic, but for another runtime.
        let other = cache.store(&name("other"), b"code").unwrap();
        let seal = other.file_name().unwrap().to_str().unwrap().replacen("other", "python", 1);
        fs::rename(&other, other.with_file_name(seal)).unwrap();
        assert!(why(cache.find(&name("python"))).contains("isn't what was compiled"));
    }

    #[test]
    fn what_others_may_write_and_links_are_not_trusted() {
        let (_folder, cache) = cache();
        let stored = cache.store(&name("python"), b"code").unwrap();
        fs::set_permissions(&stored, Permissions::from_mode(0o664)).unwrap();
        assert!(why(cache.find(&name("python"))).contains("others may write"));
        let stored = cache.store(&name("python"), b"code").unwrap();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(elsewhere.path(), b"code").unwrap();
        fs::remove_file(&stored).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &stored).unwrap();
        assert!(why(cache.find(&name("python"))).contains("link"));
    }

    #[test]
    fn another_engine_or_another_secret_means_that_it_is_compiled_anew() {
        let (folder, cache) = cache();
        let stored = cache.store(&name("python"), b"code").unwrap();
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(false);
        let other = ArtifactName::new("python", "digest", &Engine::new(&config).unwrap());
        assert!(why(cache.find(&other)).contains("another version"));
        fs::remove_file(folder.path().join(KEY)).unwrap();
        let cache = ArtifactCache::open(folder.path()).unwrap();
        assert!(why(cache.find(&name("python"))).contains("isn't what was compiled"));
        assert!(!stored.exists());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(ArtifactCache::open(folder.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let (folder, _) = cache();
        let mode = fs::metadata(folder.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o400);
    }

    #[test]
    fn a_file_of_somebody_else_is_not_trusted() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (_folder, cache) = cache();
        let stored = cache.store(&name("python"), b"code").unwrap();
        std::os::unix::fs::chown(&stored, Some(12_345), None).unwrap();
        assert!(why(cache.find(&name("python"))).contains("somebody else"));
    }
}
