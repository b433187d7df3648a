//! The compiled code of a runtime, from its beginning and from a snapshot: from the cache, or made in a jailed worker and kept
//! there.

use super::cache::{ArtifactCache, ArtifactName, Found};
use super::config::{Note, WasmConfig};
use super::engine::engine;
use super::protocol::{LONGEST_REFUSAL, READY, Refusal, Task};
use super::runtimes::InstalledRuntime;
use crucible_core::{Error, ErrorKind, Execution, HostPath, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::Engine;

const OPERATION: &str = "compile the runtime";
/// The most that compiled code may be.
const LARGEST_CODE: u64 = 1 << 30;
/// How long compiling may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is compiled of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The module as it came.
    Whole,
    /// One that goes on from a snapshot of the interpreter.
    Snapshot,
}

/// Some code of a runtime.
pub(super) struct Wanted {
    /// What it goes by in the cache, and inside a sandbox.
    pub(super) name: String,
    /// The digest of what it is made from.
    digest: String,
    /// What makes it.
    pub(super) task: Task,
}

impl Wanted {
    /// None for a snapshot of what none can be made of.
    pub(super) fn new(runtime: &InstalledRuntime, kind: Kind) -> Option<Self> {
        let digest = runtime.known.digest().to_owned();
        match kind {
            Kind::Whole => Some(Self { name: runtime.name.clone(), digest, task: Task::Compile }),
            Kind::Snapshot => runtime.known.snapshot.as_ref().map(|recipe| Self {
                name: name_of_snapshot(&runtime.name),
                digest: format!("{digest} {}", recipe.identity()),
                task: Task::Snapshot(recipe.clone(), runtime.known.program.clone()),
            }),
        }
    }
}

fn name_of_snapshot(runtime: &str) -> String {
    format!("{runtime}-snapshot")
}

/// Where compiled code is, and what is known of it.
pub(super) struct Artifacts {
    cache: ArtifactCache,
    /// The cache of this process alone, where there is no other.
    _own_folder: Option<TempDir>,
    engine: Engine,
    /// What was authenticated or made since the backend started.
    known: Mutex<BTreeMap<String, PathBuf>>,
    /// What could not be made, and isn't tried again.
    failed: Mutex<BTreeSet<String>>,
    /// Held while one is looked for and made, so that it is made once.
    pub(super) one_at_a_time: tokio::sync::Mutex<()>,
}

impl Artifacts {
    /// Opens the cache. One that can't be used costs time, which is told, and nothing else.
    pub(super) fn open(config: &WasmConfig) -> Result<Self> {
        let engine = engine(1 << 20).map_err(|error| {
            let message = format!("wasmtime can't be used on this machine: {error:#}");
            Error::new(ErrorKind::Unavailable, "start the WebAssembly engine", message)
        })?;
        let unusable = match config.artifacts.as_ref().map(|folder| ArtifactCache::open(folder.as_path())) {
            Some(Ok(cache)) => return Ok(Self::new(cache, None, engine)),
            Some(Err(error)) => Some(error),
            None => None,
        };
        if let (Some(folder), Some(error)) = (&config.artifacts, unusable) {
            config.note.tell(&format!(
                "compiled runtimes can't be kept in {folder} ({error}), so that each start compiles them anew; it has to be \
                 a folder of yours that nobody else may enter"
            ));
        }
        let failed = |error: io::Error| {
            Error::new(ErrorKind::Unavailable, OPERATION, "no folder can be made for temporary files")
                .with_source(error)
                .with_hint("set TMPDIR to a folder that can be written")
        };
        let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("crucible-compiled-").permissions(only_ours).tempdir();
        let folder = folder.map_err(failed)?;
        let cache = ArtifactCache::open(folder.path()).map_err(failed)?;
        Ok(Self::new(cache, Some(folder), engine))
    }

    fn new(cache: ArtifactCache, own_folder: Option<TempDir>, engine: Engine) -> Self {
        Self {
            cache,
            _own_folder: own_folder,
            engine,
            known: Mutex::default(),
            failed: Mutex::default(),
            one_at_a_time: tokio::sync::Mutex::default(),
        }
    }

    fn name(&self, wanted: &Wanted) -> ArtifactName {
        ArtifactName::new(&wanted.name, &wanted.digest, &self.engine)
    }

    /// Whether it was tried to make this, in vain.
    pub(super) fn has_failed(&self, wanted: &Wanted) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).contains(&wanted.name)
    }

    /// Takes note that this can't be made.
    pub(super) fn give_up(&self, wanted: &Wanted) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted.name.clone());
    }

    /// The file with code of a runtime, if there is one that is authentic. Why what is there isn't, is told.
    pub(super) fn find(&self, wanted: &Wanted, note: &Note) -> Option<HostPath> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = known.get(&wanted.name) {
            return Some(HostPath::new(path.clone()));
        }
        match self.cache.find(&self.name(wanted)) {
            Found::Authentic(path) => {
                known.insert(wanted.name.clone(), path.clone());
                Some(HostPath::new(path))
            }
            Found::Nothing(why) => {
                if let Some(why) = why {
                    note.tell(&format!("the runtime '{}' is compiled again: {why}", wanted.name));
                }
                None
            }
        }
    }

    /// Keeps code that this same program compiled.
    ///
    /// # Errors
    /// `Infrastructure` where it can't be written, with the mend; nothing of it is then left.
    pub(super) fn keep(&self, wanted: &Wanted, code: &[u8]) -> Result<HostPath> {
        let path = self.cache.store(&self.name(wanted), code).map_err(|error| {
            let hint = "see that there is room on the disk: compiled code takes about as much as its module";
            Error::new(ErrorKind::Infrastructure, OPERATION, "the compiled runtime can't be kept")
                .with_source(error)
                .with_hint(hint)
        })?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(wanted.name.clone(), path.clone());
        Ok(HostPath::new(path))
    }
}

/// Removes what was compiled of a runtime.
///
/// # Errors
/// Where the folder or a file in it can't be used.
pub(super) fn forget(folder: &HostPath, runtime: &str) -> io::Result<()> {
    let cache = ArtifactCache::open(folder.as_path())?;
    cache.forget(runtime)?;
    cache.forget(&name_of_snapshot(runtime))
}

/// Gives a worker the module, and takes the code.
///
/// # Errors
/// `Infrastructure` where the worker can't compile it.
pub(super) async fn hear(execution: Execution, module: &[u8]) -> Result<Vec<u8>> {
    let lost = |message: String| Error::new(ErrorKind::Infrastructure, OPERATION, message);
    let Execution { mut stdin, stdout, stderr, mut process, readiness: _ } = execution;
    let feed = async {
        // What it didn't read it will say.
        let _given = stdin.write_all(module).await.is_ok() && stdin.shutdown().await.is_ok();
        drop(stdin);
    };
    let (mut answer, mut words) = (Vec::new(), Vec::new());
    let (mut stdout, mut stderr) = (stdout.take(LARGEST_CODE), stderr.take(LONGEST_REFUSAL));
    let listen = async {
        // What can't be read is judged by what came.
        let _heard = tokio::join!(feed, stdout.read_to_end(&mut answer), stderr.read_to_end(&mut words));
    };
    tokio::time::timeout(PATIENCE, listen)
        .await
        .map_err(|_| lost(format!("the runtime wasn't compiled within {} seconds", PATIENCE.as_secs())))?;
    let status = process.wait().await?;
    match answer.split_first() {
        Some((&READY, code)) if status == crucible_core::ExitStatus::Exited(0) => Ok(code.to_vec()),
        Some((_, refusal)) if let Ok(Refusal { message, .. }) = serde_json::from_slice(refusal) => Err(lost(message)),
        _ => {
            let words: String =
                String::from_utf8_lossy(&words).chars().filter(|char| !char.is_control()).take(300).collect();
            let hint = "it needs some 2 GiB of memory for the time; `dmesg` tells of processes that the kernel ended";
            Err(lost(format!("the worker that compiles ended with {status:?} {words}")).with_hint(hint))
        }
    }
}
