//! What isolation rests on at this node: kernel, processor and its weaknesses, security modules, settings, user.
//!
//! Invariant: the only module that reads the node, and it reads nothing but files below a root folder. Each read is bounded.
//! What can't be read is recorded as unknown, so that a node where it can be read is a different one.

use crucible_core::{Error, ErrorKind, HostPath, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The most that is read of one file.
const MAX_BYTES: u64 = 64 << 10;
/// The most weaknesses that a kernel is believed to list.
const MAX_VULNERABILITIES: usize = 256;

/// What names a processor in `/proc/cpuinfo`, on x86 and on ARM.
const MODEL: [&str; 10] = [
    "vendor_id",
    "cpu family",
    "model",
    "stepping",
    "microcode",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "CPU revision",
];

/// Features of processors that keep kernel and guests apart, or that say that there is a hypervisor below.
const FLAGS: [&str; 33] = [
    "amd_ibpb",
    "amd_ibrs",
    "amd_ssbd",
    "amd_stibp",
    "arch_capabilities",
    "bti",
    "cet_ibt",
    "flush_l1d",
    "hypervisor",
    "ibpb",
    "ibrs",
    "ibrs_enhanced",
    "ibt",
    "la57",
    "lam",
    "md_clear",
    "mte",
    "nx",
    "ospke",
    "paca",
    "pacg",
    "pku",
    "pti",
    "smap",
    "smep",
    "ssbd",
    "ssbs",
    "stibp",
    "svm",
    "umip",
    "user_shstk",
    "virt_ssbd",
    "vmx",
];

/// Kernel settings below `/proc/sys` on which a property of isolation may rest.
const SETTINGS: [&str; 9] = [
    "kernel/core_pattern",
    "kernel/dmesg_restrict",
    "kernel/io_uring_disabled",
    "kernel/kptr_restrict",
    "kernel/perf_event_paranoid",
    "kernel/unprivileged_bpf_disabled",
    "kernel/yama/ptrace_scope",
    "user/max_user_namespaces",
    "vm/unprivileged_userfaultfd",
];

/// What isolation rests on at one node, for one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The kernel.
    pub kernel: Kernel,
    /// The architecture that this program was built for.
    pub architecture: String,
    /// The processor.
    pub processor: Processor,
    /// Weaknesses of the processor that the kernel knows, each with what is done about it; `None` where it can't be read.
    pub vulnerabilities: Option<BTreeMap<String, String>>,
    /// Whether a core's threads may run at once, as the kernel says it; `None` where it can't be read.
    pub simultaneous_multithreading: Option<String>,
    /// The active Linux security modules, in their order; `None` where they can't be read.
    pub security_modules: Option<Vec<String>>,
    /// Settings of the kernel, without those that it doesn't have or show.
    pub settings: BTreeMap<String, String>,
    /// The user.
    pub user: User,
}

/// The kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// As `uname -r` says it.
    pub release: String,
    /// As `uname -v` says it.
    pub version: String,
}

/// The first processor. On a machine of several kinds the others aren't looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processor {
    /// Vendor, model and microcode, by the kernel's names for them.
    pub model: BTreeMap<String, String>,
    /// Features that matter for isolation.
    pub flags: BTreeSet<String>,
}

/// Who runs Crucible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum User {
    /// Root of the machine.
    Root,
    /// Root of a user namespace in which that id is somebody else's outside.
    RootOfNamespace,
    /// Anyone else.
    Ordinary,
}

impl Node {
    /// Reads the node whose files are below `root`: `/`, but for tests.
    ///
    /// # Errors
    /// `Unavailable` where the kernel or the user can't be told.
    pub fn read(root: &HostPath) -> Result<Self> {
        let root = root.as_path();
        let required = |path: &str| {
            read_line(&root.join(path)).map_err(|error| {
                Error::new(ErrorKind::Unavailable, "read the node", format!("can't read /{path}")).with_source(error)
            })
        };
        Ok(Self {
            kernel: Kernel {
                release: required("proc/sys/kernel/osrelease")?,
                version: required("proc/sys/kernel/version")?,
            },
            architecture: std::env::consts::ARCH.to_owned(),
            processor: processor(&read_first_block(&root.join("proc/cpuinfo")).unwrap_or_default()),
            vulnerabilities: vulnerabilities(&root.join("sys/devices/system/cpu/vulnerabilities")),
            simultaneous_multithreading: read_line(&root.join("sys/devices/system/cpu/smt/control")).ok(),
            security_modules: read_line(&root.join("sys/kernel/security/lsm"))
                .ok()
                .map(|line| line.split(',').map(str::to_owned).collect()),
            settings: SETTINGS
                .into_iter()
                .filter_map(|name| {
                    let value = read_line(&root.join("proc/sys").join(name)).ok()?;
                    Some((name.replace('/', "."), value))
                })
                .collect(),
            user: user(root)?,
        })
    }
}

fn processor(first: &str) -> Processor {
    let mut processor = Processor::default();
    for line in first.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim(), value.trim());
        if MODEL.contains(&name) {
            processor.model.insert(name.to_owned(), value.to_owned());
        } else if name == "flags" || name == "Features" {
            let known = value.split_ascii_whitespace().filter(|flag| FLAGS.contains(flag));
            processor.flags = known.map(str::to_owned).collect();
        }
    }
    processor
}

fn vulnerabilities(folder: &Path) -> Option<BTreeMap<String, String>> {
    let names = std::fs::read_dir(folder).ok()?.take(MAX_VULNERABILITIES);
    let read = |entry: io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let state = read_line(&entry.path()).unwrap_or_else(|_| "unreadable".to_owned());
        Some((entry.file_name().to_string_lossy().into_owned(), state))
    };
    Some(names.filter_map(read).collect())
}

fn user(root: &Path) -> Result<User> {
    let unknown =
        |why: &str| Error::new(ErrorKind::Unavailable, "read the node", format!("can't tell the user: {why}"));
    let status = read(&root.join("proc/self/status"))
        .map_err(|error| unknown("/proc/self/status can't be read").with_source(error))?;
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let effective = ids.and_then(|ids| ids.split_ascii_whitespace().nth(1));
    match effective {
        Some("0") => {}
        Some(_) => return Ok(User::Ordinary),
        None => return Err(unknown("/proc/self/status doesn't say")),
    }
    // Without user namespaces in the kernel there is no map, and root is root.
    let map = read(&root.join("proc/self/uid_map")).unwrap_or_default();
    let is_mapped = map.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.next() == Some("0") && fields.next().is_some_and(|outside| outside != "0")
    });
    Ok(if is_mapped { User::RootOfNamespace } else { User::Root })
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_line(path: &Path) -> io::Result<String> {
    read(path).map(|text| text.trim().to_owned())
}

/// The text up to the first empty line: the rest has the other processors, and asking each for its clock takes long.
fn read_first_block(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    while bytes.len() < 16 << 10 && !bytes.windows(2).any(|pair| pair == b"\n\n") {
        match file.read(&mut part)? {
            0 => break,
            read => bytes.extend(part.iter().take(read)),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.split("\n\n").next().unwrap_or_default().to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A node in a folder: what its files hold can be chosen.
    pub(crate) fn made_up(root: &Path, files: &[(&str, &str)]) {
        let usual = [
            ("proc/sys/kernel/osrelease", "6.1.0-18\n"),
            ("proc/sys/kernel/version", "#1 SMP Debian 6.1.76-1\n"),
            ("proc/self/status", "Name:\tx\nUid:\t1000\t1000\t1000\t1000\n"),
            ("proc/self/uid_map", "         0          0 4294967295\n"),
            (
                "proc/cpuinfo",
                "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: X\nflags\t\t: fpu smep nx\n\nprocessor\t: 1\nvendor_id\t: Other\n",
            ),
            ("sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: Clear CPU buffers\n"),
            ("sys/kernel/security/lsm", "lockdown,capability,landlock"),
            ("proc/sys/kernel/dmesg_restrict", "1\n"),
        ];
        for (path, content) in usual.iter().chain(files) {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
    }

    fn read_made_up(files: &[(&str, &str)]) -> Node {
        let root = tempfile::tempdir().unwrap();
        made_up(root.path(), files);
        Node::read(&HostPath::new(root.path())).unwrap()
    }

    #[test]
    fn everything_that_isolation_rests_on_is_read() {
        let node = read_made_up(&[]);
        assert_eq!(node.kernel.release, "6.1.0-18");
        assert_eq!(node.kernel.version, "#1 SMP Debian 6.1.76-1");
        assert_eq!(node.processor.model["vendor_id"], "GenuineIntel");
        assert_eq!(node.processor.flags, ["nx", "smep"].map(str::to_owned).into());
        assert_eq!(node.vulnerabilities.as_ref().unwrap()["mds"], "Mitigation: Clear CPU buffers");
        assert_eq!(node.security_modules.as_ref().unwrap(), &["lockdown", "capability", "landlock"]);
        assert_eq!(node.settings["kernel.dmesg_restrict"], "1");
        assert_eq!((node.user, node.simultaneous_multithreading), (User::Ordinary, None));
    }

    #[test]
    fn a_change_of_anything_gives_another_node() {
        let usual = read_made_up(&[]);
        for change in [
            ("proc/sys/kernel/osrelease", "6.1.0-19\n"),
            ("proc/sys/kernel/version", "#2 SMP\n"),
            ("proc/self/status", "Uid:\t1000\t0\t0\t0\n"),
            ("proc/cpuinfo", "vendor_id\t: GenuineIntel\nmicrocode\t: 0x2\nflags\t\t: fpu smep nx\n"),
            ("proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu nx\n"),
            ("sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable\n"),
            ("sys/devices/system/cpu/vulnerabilities/new", "Vulnerable\n"),
            ("sys/devices/system/cpu/smt/control", "on\n"),
            ("sys/kernel/security/lsm", "capability"),
            ("proc/sys/kernel/dmesg_restrict", "0\n"),
            ("proc/sys/kernel/core_pattern", "|/bin/x\n"),
        ] {
            assert_ne!(read_made_up(&[change]), usual, "{change:?}");
        }
        // What has no bearing on isolation, and changes from one moment to the next, doesn't.
        let clock = "vendor_id\t: GenuineIntel\ncpu MHz\t: 1.5\nflags\t\t: nx fpu smep\n";
        assert_eq!(read_made_up(&[("proc/cpuinfo", clock)]), usual);
    }

    #[test]
    fn root_of_a_namespace_is_told_from_root() {
        let root = ("proc/self/status", "Uid:\t0\t0\t0\t0\n");
        assert_eq!(read_made_up(&[root]).user, User::Root);
        let mapped = ("proc/self/uid_map", "0 100000 65536\n");
        assert_eq!(read_made_up(&[root, mapped]).user, User::RootOfNamespace);
    }

    #[test]
    fn a_node_that_shows_no_kernel_is_an_error_and_less_is_unknown() {
        let root = tempfile::tempdir().unwrap();
        let error = Node::read(&HostPath::new(root.path())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        made_up(root.path(), &[]);
        std::fs::remove_dir_all(root.path().join("sys")).unwrap();
        let node = Node::read(&HostPath::new(root.path())).unwrap();
        assert_eq!((node.vulnerabilities, node.security_modules), (None, None));
    }

    #[test]
    fn this_node_can_be_read_and_is_the_same_twice() {
        let root = HostPath::new("/");
        let node = Node::read(&root).unwrap();
        assert!(!node.kernel.release.is_empty() && !node.kernel.version.is_empty());
        assert_eq!(Node::read(&root).unwrap(), node);
    }
}
