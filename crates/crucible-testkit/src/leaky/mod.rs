//! A backend that runs programs on the host as they are and gets one thing wrong on purpose, to prove that the conformance
//! suite notices.
//!
//! It isolates nothing, enforces no limit, watches nothing, and claims all three: never use it for anything but probes that are harmless.

mod files;
mod processes;
mod sandbox;
mod streams;

use crate::fake::everything;
use async_trait::async_trait;
use crucible_core::{
    Backend, Capabilities, Check, Component, Error, ErrorKind, Isolation, Language, Layers, LiveFeature, Monitoring,
    NetworkKind, Passed, Result, Sandbox, SandboxRequest, SelfTest,
};
use sandbox::LeakySandbox;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// What a leaky backend gets wrong, beyond isolating nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// Nothing else.
    NothingElse,
    /// Exit codes are told one higher.
    ExitCodesChanged,
    /// Death by a signal is told as an exit.
    SignalsHidden,
    /// Arguments are joined and split again at spaces.
    ArgumentsJoined,
    /// The supervisor's environment is passed on.
    EnvironmentInherited,
    /// Commands start at the root.
    FolderIgnored,
    /// A program that isn't there is a program that fails.
    MissingProgramsAccepted,
    /// Each command gets a folder of its own.
    FilesForgotten,
    /// A command waits for the one before it.
    OneAtATime,
    /// Whoever gives up waiting never hears the end.
    WaitsLost,
    /// The end of a program is told after that of its children.
    ChildrenWaitedFor,
    /// A descriptor of the supervisor stays open.
    DescriptorInherited,
    /// Standard error comes as standard output.
    StreamsMerged,
    /// Only the first 64 KiB of input are passed.
    InputCut,
    /// The end of the input is never passed.
    InputNeverEnds,
    /// Writing to a guest that is gone hangs.
    InputHangs,
    /// Output comes when the command has ended.
    OutputHeldBack,
    /// What isn't UTF-8 in a file is replaced.
    BytesChanged,
    /// A file isn't shortened when it is replaced.
    FilesNotCut,
    /// No file may be executed.
    ExecutableBitLost,
    /// Folders are listed backwards.
    ListsUnsorted,
    /// A missing file reads as an empty one.
    MissingFilesEmpty,
    /// All sandboxes have one work folder.
    FolderShared,
    /// Links are followed and every kind of file is read.
    LinksFollowed,
    /// Only the started process is ended, not what it left behind.
    DaemonsSurvive,
    /// Nothing is ended by anybody but itself.
    EverythingSurvives,
    /// After the end of its processes a sandbox is of no use.
    EndIsFinal,
    /// Each sandbox loses a descriptor.
    DescriptorsLost,
    /// Every crash is told as an out-of-memory kill.
    CrashesAreOutOfMemory,
    /// The peak of memory is made up.
    PeakMadeUp,
    /// Things are seen that nobody did.
    SightingsMadeUp,
    /// Everything that a sandbox could do while it stays open is claimed, and nothing of it done.
    LivePretended,
    /// Nothing of that is claimed, and all of it let through.
    RefusalsForgotten,
}

/// A backend that isolates nothing and gets one thing wrong.
pub struct LeakyBackend {
    leak: Leak,
    capabilities: Capabilities,
    shared: Arc<Shared>,
}

/// What the sandboxes of one leaky backend have in common.
#[derive(Default)]
struct Shared {
    folder: Mutex<Option<Arc<TempDir>>>,
    lost: Mutex<Vec<OwnedFd>>,
}

impl LeakyBackend {
    /// A backend that claims everything and has this leak.
    #[must_use]
    pub fn new(leak: Leak) -> Self {
        let live = if leak == Leak::LivePretended { LiveFeature::ALL.into() } else { BTreeSet::new() };
        let networks = [NetworkKind::None, NetworkKind::AllowList].into();
        Self { leak, capabilities: Capabilities { live, networks, ..everything() }, shared: Arc::default() }
    }

    /// A backend without a leak that admits to isolate nothing, to enforce no limit and to watch nothing.
    #[must_use]
    pub fn honest() -> Self {
        let nothing = Capabilities {
            isolation: Isolation::None,
            layers: Layers::new(),
            limits: BTreeMap::new(),
            tripwires: BTreeSet::new(),
            monitoring: Monitoring::new(),
            ..everything()
        };
        Self { capabilities: nothing, ..Self::new(Leak::NothingElse) }
    }

    fn folder(&self) -> std::io::Result<Arc<TempDir>> {
        if self.leak != Leak::FolderShared {
            return Ok(Arc::new(tempfile::tempdir()?));
        }
        let mut shared = self.shared.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = shared.as_ref() {
            return Ok(Arc::clone(folder));
        }
        Ok(Arc::clone(shared.insert(Arc::new(tempfile::tempdir()?))))
    }
}

/// Finds the real interpreter by asking the one in `PATH`.
async fn interpreter(language: &Language) -> Result<String> {
    let missing = || Error::new(ErrorKind::NotFound, "find the interpreter", format!("no {} here", language.title));
    for candidate in &language.interpreters {
        if language.probe.is_empty() {
            return Ok(candidate.clone());
        }
        let Ok(told) = tokio::process::Command::new(candidate).args(&language.probe).output().await else {
            continue;
        };
        if let Some(path) = String::from_utf8_lossy(&told.stdout).lines().find(|line| line.starts_with('/')) {
            return Ok(path.to_owned());
        }
    }
    Err(missing())
}

#[async_trait]
impl Component for LeakyBackend {
    fn name(&self) -> &str {
        "leaky"
    }

    async fn self_test(&self) -> SelfTest {
        let checks = vec![Check::new("it leaks", Passed::No, format!("{:?}", self.leak))];
        SelfTest { component: "leaky".to_owned(), checks }
    }
}

#[async_trait]
impl Backend for LeakyBackend {
    fn version(&self) -> String {
        "leaky 1".to_owned()
    }

    fn runtime_digest(&self) -> Option<String> {
        None
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        let failed = |error| Error::new(ErrorKind::Io, "make a folder", "no temporary folder").with_source(error);
        let folder = self.folder().map_err(failed)?;
        if self.leak == Leak::DescriptorsLost {
            let descriptor = std::fs::File::open(folder.path()).map_err(failed)?.into();
            self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner).push(descriptor);
        }
        let interpreter = match &request.language {
            Some(language) => Some(interpreter(language).await?),
            None => None,
        };
        Ok(Box::new(LeakySandbox::new(request.id, self.leak, self.capabilities.layers.clone(), folder, interpreter)))
    }
}
