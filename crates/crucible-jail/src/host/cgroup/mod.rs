//! Control groups: limits and counters for whole sandboxes, on version 1, version 2 and both mixed.
//!
//! A supervisor has one folder of its own in each tree that it uses, locked for as long as it lives; each sandbox has one
//! below. A folder that nobody has locked was left by a supervisor that died, and the next one removes it.
//!
//! Invariant: what is claimed to be limited has been written to the kernel and accepted. Trees that can't be used are named
//! with the reason and the mend, never skipped silently.

mod detect;
mod foreign;
mod sandbox;

pub use foreign::ForeignCgroup;
pub use sandbox::{Cgroup, CgroupCounters, CgroupLimits, Entry};

use super::{JailError, random_below};
use crate::plan::CgroupMount;
use detect::{Controller, FoundTree};
use rustix::fs::FlockOperation;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const PREFIX: &str = "crucible-";

/// Which version of the interface a tree has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One tree per controller.
    V1,
    /// One tree for all.
    V2,
}

/// A tree of control groups that is in use, with the supervisor's folder in it.
#[derive(Debug)]
struct Tree {
    version: Version,
    /// The controllers that limits are set with here.
    controllers: Vec<Controller>,
    folder: PathBuf,
    /// The controllers that it was mounted with, in version 1.
    mounted_with: Vec<String>,
    /// Held locked: says that this supervisor lives.
    _lock: File,
}

/// Why a controller isn't there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// What was found.
    pub reason: String,
    /// What to do about it.
    pub mend: String,
}

/// The control groups of one supervisor.
pub struct Cgroups {
    trees: Vec<Tree>,
    missing: Option<Missing>,
    next: AtomicU64,
    /// Groups whose sandbox was dropped without waiting for its end.
    abandoned: Abandoned,
}

/// Folders that couldn't be removed yet.
type Abandoned = Arc<Mutex<Vec<PathBuf>>>;

impl Cgroups {
    /// Finds usable trees, makes this supervisor's folders in them, and removes what dead supervisors left. `parent` names
    /// a folder of version 2 to use instead of looking for one.
    #[must_use]
    pub fn open(parent: Option<&Path>) -> Self {
        let (found, missing) = detect::find(parent);
        let mut trees = Vec::new();
        let mut missing = missing;
        for tree in found {
            remove_abandoned(&tree.parent, tree.version);
            match claim_folder(&tree) {
                Ok(claimed) => trees.push(claimed),
                Err(error) => {
                    let reason = format!("{} can't be written: {error}", tree.parent.display());
                    let mend = match tree.version {
                        Version::V1 => detect::V1_HINT,
                        Version::V2 => detect::DELEGATION_HINT,
                    };
                    missing.get_or_insert(Missing { reason, mend: mend.to_owned() });
                }
            }
        }
        Self { trees, missing, next: AtomicU64::new(0), abandoned: Abandoned::default() }
    }

    fn has(&self, controller: Controller) -> bool {
        self.trees.iter().any(|tree| tree.controllers.contains(&controller))
    }

    /// Whether memory is limited.
    #[must_use]
    pub fn limits_memory(&self) -> bool {
        self.has(Controller::Memory)
    }

    /// Whether the number of processes is limited.
    #[must_use]
    pub fn limits_pids(&self) -> bool {
        self.has(Controller::Pids)
    }

    /// Whether the share of the processors is limited.
    #[must_use]
    pub fn limits_cpu(&self) -> bool {
        self.has(Controller::Cpu)
    }

    /// Whether processor time is counted.
    #[must_use]
    pub fn counts_cpu(&self) -> bool {
        self.has(Controller::CpuAccounting)
    }

    /// What is missing, where something is.
    #[must_use]
    pub const fn missing(&self) -> Option<&Missing> {
        self.missing.as_ref()
    }

    /// The versions in use: `v1`, `v2`, `v1+v2` or `none`.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        let uses = |version| self.trees.iter().any(|tree| tree.version == version);
        match (uses(Version::V1), uses(Version::V2)) {
            (true, true) => "v1+v2",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        }
    }

    /// How a range has these trees mounted: each below the folder for them, alone in it if there is but one.
    #[must_use]
    pub fn mounts_of_a_range(&self) -> Vec<CgroupMount> {
        let target = |tree: &Tree| match tree.version {
            Version::V2 if self.trees.len() == 1 => "/sys/fs/cgroup".to_owned(),
            Version::V2 => "/sys/fs/cgroup/unified".to_owned(),
            Version::V1 => format!("/sys/fs/cgroup/{}", tree.mounted_with.join(",")),
        };
        self.trees
            .iter()
            .map(|tree| CgroupMount { target: target(tree), controllers: tree.mounted_with.clone() })
            .collect()
    }

    /// Makes a sandbox's control group with its limits.
    ///
    /// # Errors
    /// [`JailError::Os`] where the kernel doesn't take a limit; nothing is left then.
    pub fn create(&self, limits: &CgroupLimits) -> Result<Cgroup, JailError> {
        self.abandoned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|folder| std::fs::remove_dir(folder).is_err() && folder.exists());
        let name = format!("s{}", self.next.fetch_add(1, Ordering::Relaxed));
        Cgroup::create(&self.trees, &name, limits, &self.abandoned)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for tree in &self.trees {
            remove_with_children(&tree.folder, tree.version);
        }
    }
}

/// Moves every process of this range out of the top of its control groups of version 2, below which limited groups can be
/// made only where it is empty. What fails here fails again, and clearly, when the groups are looked for.
pub fn leave_top() {
    let top = Path::new("/sys/fs/cgroup");
    let leaf = top.join("suite");
    if !top.join("cgroup.controllers").exists() || std::fs::create_dir(&leaf).is_err() {
        return;
    }
    for pid in std::fs::read_to_string(top.join("cgroup.procs")).unwrap_or_default().split_ascii_whitespace() {
        let _moved = std::fs::write(leaf.join("cgroup.procs"), pid).is_ok();
    }
}

/// How often making a folder is tried, against others who take it for abandoned before it is locked.
const MOST_TRIES: u32 = 100;

/// Makes and locks this supervisor's folder in a tree.
fn claim_folder(tree: &FoundTree) -> std::io::Result<Tree> {
    let mut last = std::io::Error::from(ErrorKind::WouldBlock);
    for _ in 0..MOST_TRIES {
        let folder = tree.parent.join(format!("{PREFIX}{}-{:08x}", std::process::id(), random_below(u32::MAX)?));
        DirBuilder::new().mode(0o700).create(&folder)?;
        match lock_folder(&folder) {
            Ok(lock) => {
                if tree.version == Version::V2 && tree.controllers.contains(&Controller::Memory) {
                    std::fs::write(folder.join("cgroup.subtree_control"), detect::V2_CONTROLLERS)?;
                }
                let (version, controllers) = (tree.version, tree.controllers.clone());
                let mounted_with = tree.mounted_with.clone();
                return Ok(Tree { version, controllers, folder, mounted_with, _lock: lock });
            }
            // Another supervisor, which has just started too, was quicker.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::WouldBlock) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Locks a folder, which says that its supervisor lives.
fn lock_folder(folder: &Path) -> std::io::Result<File> {
    let lock = File::open(folder)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    // It may have been removed between these two, and another one made in its place.
    if folder.metadata()?.ino() == lock.metadata()?.ino() { Ok(lock) } else { Err(ErrorKind::NotFound.into()) }
}

/// Removes the folders of supervisors that are dead.
fn remove_abandoned(parent: &Path, version: Version) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten().filter(|entry| is_supervisors_folder(&entry.file_name().to_string_lossy())) {
        // The lock is held until the folder is gone.
        if let Ok(_lock) = lock_folder(&entry.path()) {
            remove_with_children(&entry.path(), version);
        }
    }
}

/// Whether a name is one that we give: `crucible-<pid>-<8 hexadecimal digits>`. Somebody else's group that happens to be
/// called like the program is left alone.
fn is_supervisors_folder(name: &str) -> bool {
    name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).is_some_and(|(pid, random)| {
        !pid.is_empty()
            && pid.bytes().all(|byte| byte.is_ascii_digit())
            && random.len() == 8
            && random.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

/// Whether a name is that of a sandbox's group: `s<number>`.
fn is_sandboxs_folder(name: &str) -> bool {
    name.strip_prefix('s').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Kills what is left in the sandboxes' groups below a supervisor's folder, and removes them and it.
fn remove_with_children(folder: &Path, version: Version) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for child in entries.flatten().filter(|entry| is_sandboxs_folder(&entry.file_name().to_string_lossy())) {
        sandbox::kill_members(&child.path(), version);
        sandbox::remove_below(&child.path(), version);
        sandbox::remove_soon(&child.path());
    }
    sandbox::remove_soon(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_with_names_of_ours_are_ever_touched() {
        assert!(is_supervisors_folder("crucible-1234-00ff00aa") && is_sandboxs_folder("s0"));
        for name in
            ["crucible-web", "crucible-worker.slice", "crucible-12-xyz", "crucible--00ff00aa", "crucible-1-00FF00AA"]
        {
            assert!(!is_supervisors_folder(name), "{name}");
        }
        for name in ["s", "system", "s1x", "job"] {
            assert!(!is_sandboxs_folder(name), "{name}");
        }
    }

    #[test]
    fn a_folder_that_was_removed_meanwhile_is_not_taken_for_locked() {
        let folder = std::env::temp_dir().join(format!("crucible-lock-test-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let held = lock_folder(&folder).unwrap();
        assert_eq!(lock_folder(&folder).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(held);
        std::fs::remove_dir(&folder).unwrap();
        assert_eq!(lock_folder(&folder).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
