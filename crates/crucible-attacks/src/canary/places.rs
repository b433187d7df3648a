//! Things of a range that a guest might change or see: its interface, a setting, a control group, a mount, its name.
//!
//! What is changed for a canary is put back when it is dropped.

use super::Sight;
use crate::process::HeldProcess;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The name that a range has whenever no canary gives it another.
const RANGE_NAME: &str = "crucible-range";

/// A number in a file of `/proc/sys` that isn't to change.
pub(super) struct Number {
    path: &'static str,
    before: String,
    pub(super) other: String,
}

impl Number {
    /// The size of packets on the loopback interface.
    pub(super) fn packet_size() -> io::Result<Self> {
        Self::watch("/proc/sys/net/ipv6/conf/lo/mtu", |size| size.saturating_sub(1000))
    }

    /// How many routers a packet may pass.
    pub(super) fn time_to_live() -> io::Result<Self> {
        Self::watch("/proc/sys/net/ipv4/ip_default_ttl", |hops| hops.saturating_sub(1))
    }

    pub(super) const fn path(&self) -> &str {
        self.path
    }

    fn watch(path: &'static str, other: impl Fn(u64) -> u64) -> io::Result<Self> {
        let before = fs::read_to_string(path)?.trim().to_owned();
        let number = before.parse().map_err(|_| io::Error::other(format!("{path} holds no number")))?;
        Ok(Self { path, before, other: other(number).to_string() })
    }

    pub(super) fn look(&self) -> Sight {
        match fs::read_to_string(self.path) {
            Ok(now) if now.trim() == self.before => Sight::Nothing(format!("{} is still {}", self.path, self.before)),
            Ok(_) => Sight::Reached(format!("{} was changed", self.path)),
            Err(error) => Sight::Unknown(format!("{} can't be read: {}", self.path, error.kind())),
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let _restored = fs::write(self.path, &self.before).is_ok();
    }
}

/// A control group that everybody may move into.
pub(super) struct Group {
    pub(super) path: PathBuf,
}

impl Group {
    pub(super) fn make(nonce: &str) -> io::Result<Self> {
        let trees = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let tree = trees.into_iter().find(|tree| Path::new(tree).join("cgroup.procs").exists());
        let tree = tree.ok_or_else(|| io::Error::other("there are no control groups"))?;
        let group = Self { path: Path::new(tree).join(format!("canary-{nonce}")) };
        fs::create_dir(&group.path)?;
        let everybody = || fs::Permissions::from_mode(0o666);
        for file in ["cgroup.procs", "tasks"].map(|name| group.path.join(name)) {
            if file.exists() {
                fs::set_permissions(file, everybody())?;
            }
        }
        // In version 2 a process is moved by who may write to the group above both: the range's own, which goes with it.
        let _permitted = fs::set_permissions(Path::new(tree).join("cgroup.procs"), everybody()).is_ok();
        Ok(group)
    }

    pub(super) fn look(&self) -> Sight {
        match fs::read_to_string(self.path.join("cgroup.procs")) {
            Ok(members) if members.trim().is_empty() => Sight::Nothing("nobody is in the control group".to_owned()),
            Ok(_) => Sight::Reached("a process has moved into the control group".to_owned()),
            Err(error) => Sight::Unknown(format!("the control group can't be read: {}", error.kind())),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Who is still in it goes with the sandbox; the group then goes with the range.
        let _removed = fs::remove_dir(&self.path).is_ok();
    }
}

/// A random name of the range.
pub(super) struct Name {
    pub(super) name: String,
    before: Vec<u8>,
}

impl Name {
    pub(super) fn give(nonce: &str) -> io::Result<Self> {
        let name = format!("{RANGE_NAME}-{}", nonce.get(..16).unwrap_or(nonce));
        let before = rustix::system::uname().nodename().to_bytes().to_vec();
        rustix::system::sethostname(name.as_bytes())?;
        Ok(Self { name, before })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _restored = rustix::system::sethostname(&self.before).is_ok();
    }
}

/// A program that others run, too, and that nobody may change.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    before: Option<State>,
}

/// What would tell of a change: size, mode, owner, links, and the time of the last change of any of these or the bytes.
type State = (u64, u32, (u32, u32), u64, (i64, i64));

impl Shared {
    /// Watches a file where it is.
    pub(super) fn watch(path: PathBuf) -> Self {
        let before = state(&path);
        Self { path, before }
    }

    /// A copy for everybody to write to.
    pub(super) fn copy(original: &Path, base: &Path, nonce: &str) -> io::Result<Self> {
        let path = super::files::folder(base, nonce, 0o755)?.join("program");
        fs::copy(original, &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        Ok(Self::watch(path))
    }

    pub(super) fn look(&self, held: &[HeldProcess]) -> Sight {
        let (Some(before), Some(now)) = (self.before, state(&self.path)) else {
            return Sight::Unknown("the shared file can't be seen".to_owned());
        };
        if before != now {
            return Sight::Reached("the shared file was changed".to_owned());
        }
        for process in held {
            match process.has_open_for_writing(&self.path) {
                Some(true) => return Sight::Reached("the shared file is open for writing".to_owned()),
                Some(false) => {}
                None => return Sight::Unknown("its descriptors can't be seen".to_owned()),
            }
        }
        Sight::Nothing("the shared file is as it was".to_owned())
    }
}

fn state(path: &Path) -> Option<State> {
    use std::os::unix::fs::MetadataExt;
    let seen = fs::metadata(path).ok()?;
    Some((seen.len(), seen.mode(), (seen.uid(), seen.gid()), seen.nlink(), (seen.ctime(), seen.ctime_nsec())))
}
