//! What `runsc` is given: an OCI bundle in a folder that only its owner can enter, and the root folder that a language's
//! sandboxes share.
//!
//! The root holds empty folders and files on which the host's are bound, links, and three small files of its own. Nothing can
//! be written in it.

use crate::agent::WRITABLE;
use crate::runtime::{Runtime, RuntimeEntry};
use crate::users;
use crucible_core::{Error, ErrorKind, Result, Users};
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where the agent is inside.
pub(super) const AGENT: &str = "/.crucible/agent";
/// The id that the guest has inside, as user and as group.
pub(super) const GUEST_ID: u32 = 1000;
/// The host name inside.
const HOST_NAME: &str = "crucible";
/// The ids of a sandbox with root inside, in the numbering of its own kernel: the first inside, the first there, and how many.
/// Nothing that is shown of the host belongs to any of them, so that root inside has no right to it.
pub(super) const IDS_OF_ROOT: [(u32, u32, u32); 2] = [(0, FIRST_ID, 2047), (65_534, FIRST_ID + 2047, 1)];
const FIRST_ID: u32 = 0x6FFF_0000;
/// What the agent needs until it is ready. It keeps the first three of them, or with root inside what that has.
const AGENT_CAPABILITIES: [&str; 7] =
    ["CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SETPCAP", "CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE"];
/// What it needs more to let root inside have it.
const ROOTS_CAPABILITY: &str = "CAP_FOWNER";

fn unwritable(error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "write the sandbox's bundle", "the folder for temporary files can't be used")
        .with_source(error)
        .with_hint("make room there, or set TMPDIR to a folder that can be written")
}

/// What the names of a supervisor's folders begin with.
const HOMES: &str = "crucible-gvisor-";

/// A supervisor's folder, which only its owner can enter, with the agent's program, the roots, and a folder for each sandbox.
/// Locked for as long as its supervisor lives: by that the next one tells one that was left, and removes it.
pub(super) struct Home {
    folder: TempDir,
    _lock: File,
}

impl Home {
    /// Makes one, and removes those that supervisors of this user left that were killed.
    ///
    /// # Errors
    /// `Unavailable` where none can be made.
    pub(super) fn make() -> Result<Self> {
        let place = std::env::temp_dir();
        remove_left(&place);
        let make = || loop {
            let folder = tempfile::Builder::new().prefix(HOMES).tempdir_in(&place)?;
            let lock = File::open(folder.path())?;
            lock.lock()?;
            // Before it was locked it could be taken for one that was left.
            if folder.path().exists() {
                return Ok(Self { folder, _lock: lock });
            }
        };
        make().map_err(unwritable)
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new folder for a sandbox.
    ///
    /// # Errors
    /// `Unavailable` where none can be made.
    pub(super) fn room(&self) -> Result<TempDir> {
        tempfile::Builder::new().prefix("sandbox-").tempdir_in(self.path()).map_err(unwritable)
    }
}

/// Removes what supervisors of this user left that were killed.
fn remove_left(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_named = entry.file_name().to_str().is_some_and(|name| name.starts_with(HOMES));
        let is_own = |seen: fs::Metadata| seen.is_dir() && seen.uid() == rustix::process::geteuid().as_raw();
        if !is_named || !entry.metadata().is_ok_and(is_own) {
            continue;
        }
        let lock = File::open(entry.path()).and_then(|folder| folder.try_lock().map(|()| folder).map_err(Into::into));
        // What can't be removed is in nobody's way.
        let _removed = lock.and_then(|_held| fs::remove_dir_all(entry.path())).is_ok();
    }
}

/// The agent's program as a file that can be shown in sandboxes.
///
/// # Errors
/// `Unavailable` where it can't be written.
pub(super) fn write_agent(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("agent");
    let write = || {
        fs::write(&path, crucible_agent::host::AGENT)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555))
    };
    write().map_err(unwritable)?;
    Ok(path)
}

/// A root folder, and what is bound on it.
pub(super) struct Root {
    folder: PathBuf,
    users: Users,
    /// Host paths and where they are inside, parents before children.
    binds: Vec<(String, String)>,
}

impl Root {
    /// Makes the root of a language below a folder. Without a runtime it holds the agent alone.
    ///
    /// # Errors
    /// `Unavailable` where it can't be written, or the language needs something that can't be shown.
    pub(super) fn make(folder: PathBuf, users: Users, runtime: Option<&Runtime>, agent: &Path) -> Result<Self> {
        let mut root = Self { folder, users, binds: Vec::new() };
        let entries = runtime.map(|runtime| runtime.entries.as_slice()).unwrap_or_default();
        for entry in entries {
            let RuntimeEntry::Bind { source, target } = entry else { continue };
            if WRITABLE.iter().any(|folder| target == folder || target.starts_with(&format!("{folder}/"))) {
                return Err(unusable(target));
            }
            root.binds.push((super::runsc::text(source)?, target.clone()));
        }
        root.binds.push((super::runsc::text(agent)?, AGENT.to_owned()));
        // Last, so that nothing is left of one that can't be.
        root.fill(entries).map_err(unwritable)?;
        root.give_to_root();
        Ok(root)
    }

    fn fill(&self, entries: &[RuntimeEntry]) -> io::Result<()> {
        for path in WRITABLE.iter().chain(&["/proc", "/sys", "/dev", "/etc"]).chain(users::folders(self.users)) {
            make_folder(&self.inside(path))?;
        }
        for (path, content) in users::files(self.users, GUEST_ID, HOST_NAME) {
            self.make_parent(&path)?;
            fs::write(self.inside(&path), content)?;
        }
        if self.users == Users::Root {
            // Programs count on it as on /tmp, and /var is there.
            symlink("/tmp", self.inside("/var/tmp"))?;
        }
        for entry in entries {
            match entry {
                RuntimeEntry::Bind { source, target } if source.is_dir() => make_folder(&self.inside(target))?,
                RuntimeEntry::Bind { target, .. } => self.make_file(target)?,
                RuntimeEntry::Symlink { target, points_to } => {
                    self.make_parent(target)?;
                    symlink(points_to, self.inside(target))?;
                }
            }
        }
        self.make_file(AGENT)
    }

    /// Has the root folder belong to root inside, whose programs ask whose it is. It is as read-only as before. Where this process
    /// can't give it away, as an ordinary user or in a namespace without such an id, it is nobody's.
    fn give_to_root(&self) {
        if self.users == Users::Root {
            let _given = std::os::unix::fs::chown(&self.folder, Some(FIRST_ID), Some(FIRST_ID)).is_ok();
        }
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    fn make_parent(&self, path: &str) -> io::Result<()> {
        self.inside(path).parent().map_or(Ok(()), make_folder)
    }

    fn make_file(&self, path: &str) -> io::Result<()> {
        self.make_parent(path)?;
        fs::write(self.inside(path), "")
    }

    /// Writes the bundle of one sandbox into a folder.
    ///
    /// # Errors
    /// `Unavailable` where it can't be written.
    pub(super) fn write_bundle(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_vec(&self.specification()?).map_err(|error| unwritable(io::Error::other(error)))?;
        fs::write(folder.join("config.json"), text).map_err(unwritable)
    }

    fn specification(&self) -> Result<Value> {
        let bind = |(source, target): &(String, String)| json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "ro", "nosuid", "nodev"]});
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0755", "size=64k"]}),
        ];
        mounts.extend(self.binds.iter().map(bind));
        let mut capabilities = AGENT_CAPABILITIES.to_vec();
        capabilities.extend((self.users == Users::Root).then_some(ROOTS_CAPABILITY));
        let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({"type": kind}));
        Ok(json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0},
                "args": [AGENT],
                "env": [],
                "cwd": "/",
                "capabilities": {
                    "bounding": capabilities, "permitted": capabilities, "effective": capabilities,
                    "inheritable": [], "ambient": [],
                },
                "noNewPrivileges": true,
            },
            "root": {"path": super::runsc::text(&self.folder)?, "readonly": true},
            "hostname": HOST_NAME,
            "mounts": mounts,
            "linux": {"namespaces": namespaces},
        }))
    }
}

/// Makes a folder that every guest may look into, with those above it.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

fn unusable(path: &str) -> Error {
    let message = format!(
        "the language needs {path}, which can't be shown in a sandbox: every sandbox has a folder of its own there, which \
         hides it"
    );
    Error::new(ErrorKind::Unavailable, "prepare the sandbox's root", message)
        .with_hint("install the interpreter, or make the virtual environment, in another folder")
}
