//! The mounts of a sandbox, beside those that its root was planned with: each at a planned place, read-only unless it is the
//! sandbox's own, and none besides.

use super::{Facts, Seen, shown};
use crate::plan::{ROOTS_FOLDERS, RootEntry, WRITABLE};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// How many links are followed in a planned path before it is taken as it stands.
const MOST_LINKS: u32 = 40;

/// Where a sandbox's mounts are planned to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlannedMounts {
    /// Files and folders of the host, and devices.
    places: BTreeSet<String>,
    /// The folders that root inside has besides.
    roots: &'static [(&'static str, &'static str, u32)],
    /// Whether `/proc` is there.
    kernel: Vec<KernelMount>,
}

/// A file system of the kernel's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KernelMount {
    Processes,
    Terminals,
}

impl KernelMount {
    const fn describe(self) -> (&'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Processes => ("/proc", "proc", &["nosuid", "nodev", "noexec"]),
            Self::Terminals => ("/dev/pts", "devpts", &["nosuid", "noexec"]),
        }
    }
}

impl PlannedMounts {
    /// The mounts of a root with these entries.
    #[must_use]
    pub fn of(entries: &[RootEntry]) -> Self {
        let links: BTreeMap<&str, &str> = entries
            .iter()
            .filter_map(|entry| match entry {
                RootEntry::Symlink { path, points_to } => Some((path.as_str(), points_to.as_str())),
                _ => None,
            })
            .collect();
        let mut places = BTreeSet::new();
        for entry in entries {
            let place = match entry {
                RootEntry::Bind { target, .. } => target.clone(),
                RootEntry::Device { name, .. } => format!("/dev/{name}"),
                RootEntry::Directory { .. } | RootEntry::Symlink { .. } | RootEntry::File { .. } => continue,
            };
            places.insert(resolved(&place, &links));
        }
        Self { places, roots: &[], kernel: Vec::new() }
    }

    /// The same with the folders that root inside can write to.
    #[must_use]
    pub fn with_roots_folders(mut self) -> Self {
        self.roots = ROOTS_FOLDERS;
        self
    }

    /// The same with `/proc`.
    #[must_use]
    pub fn with_processes(mut self) -> Self {
        self.kernel.push(KernelMount::Processes);
        self
    }

    /// The same with pseudo-terminals.
    #[must_use]
    pub fn with_terminals(mut self) -> Self {
        self.kernel.push(KernelMount::Terminals);
        self
    }

    /// Whether a path is a planned place, or below one: what the host has mounted there comes along.
    fn has(&self, path: &str) -> bool {
        self.places.contains(path)
            || path.match_indices('/').any(|(end, _)| path.get(..end).is_some_and(|above| self.places.contains(above)))
    }
}

/// Follows the root's own links, as the launcher does when it fills the root.
fn resolved(path: &str, links: &BTreeMap<&str, &str>) -> String {
    let mut rest: Vec<&str> = path.split('/').rev().collect();
    let (mut done, mut followed) = (String::new(), 0);
    while let Some(part) = rest.pop() {
        match part {
            "" | "." => {}
            ".." => done.truncate(done.rfind('/').unwrap_or(0)),
            part => {
                let here = done.len();
                done.push('/');
                done.push_str(part);
                if let Some(points_to) = links.get(done.as_str()).copied()
                    && followed < MOST_LINKS
                {
                    followed += 1;
                    done.truncate(if points_to.starts_with('/') { 0 } else { here });
                    rest.extend(points_to.split('/').rev());
                }
            }
        }
    }
    done
}

/// One line of `/proc/PID/mountinfo`.
struct Mount<'a> {
    device: &'a str,
    place: Cow<'a, str>,
    options: &'a str,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let (device, place, options) = (fields.nth(2)?, fields.nth(1)?, fields.next()?);
        let kind = fields.skip_while(|field| *field != "-").nth(1)?;
        Some(Self { device, place: unescaped(place), options, kind })
    }

    fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|known| known == option)
    }
}

/// A path as the kernel writes it there: white space and backslashes as three octal digits.
fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Compares the mounts with the plan. `device` is that of the sandbox's own file system.
pub(super) fn look(table: Option<&[u8]>, planned: &PlannedMounts, device: u64, facts: &mut Facts) {
    let Some(table) = table.map(String::from_utf8_lossy) else {
        return facts.hidden("mounts");
    };
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    match compare(&table, planned, &device) {
        Ok(count) => facts.add("mounts", format!("{count}, as planned"), Seen::AsPlanned),
        Err(difference) => facts.add("mounts", shown(&difference), Seen::Differs),
    }
}

/// The number of mounts, or the first difference.
fn compare(table: &str, planned: &PlannedMounts, device: &str) -> Result<usize, String> {
    let kernel = |place: &str| planned.kernel.iter().map(|kind| kind.describe()).find(|(at, ..)| *at == place);
    let folder = |place: &str| {
        let all = WRITABLE.iter().chain(planned.roots.iter().map(|(path, ..)| path));
        all.copied().find(|writable| *writable == place)
    };
    let own = 1 + WRITABLE.len() + planned.roots.len() + planned.kernel.len();
    let (mut count, mut found) = (0, BTreeSet::new());
    for line in table.lines() {
        let mount = Mount::parse(line).ok_or("a line can't be read")?;
        let place = mount.place.as_ref();
        count += 1;
        let is_right = if place == "/" {
            // Attached once, and nothing over it.
            found.insert("/") && mount.kind == "tmpfs" && mount.device != device && mount.has("ro")
        } else if let Some(writable) = folder(place) {
            found.insert(writable);
            mount.device == device && mount.has("nosuid") && mount.has("nodev")
        } else if let Some((at, kind, options)) = kernel(place) {
            found.insert(at) && mount.kind == kind && options.iter().all(|option| mount.has(option))
        } else if planned.has(place) {
            mount.has("ro") && mount.has("nosuid")
        } else {
            return Err(format!("not planned: {place}"));
        };
        if !is_right {
            return Err(format!("{place} is {} {}", mount.kind, mount.options));
        }
    }
    if found.len() == own { Ok(count) } else { Err(format!("{} of {own} of its own", found.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &str = "\
82 100 0:41 / / ro,nosuid,nodev,noexec,noatime - tmpfs none rw,size=1024k
83 82 0:6 /null /dev/null ro,nosuid,noexec,relatime - devtmpfs devtmpfs rw
93 82 254:0 /opt/a\\040b /usr/lib/a\\040b ro,nosuid,nodev,relatime - ext4 /dev/vda rw
94 93 254:1 / /usr/lib/a\\040b/below ro,nosuid,nodev,relatime shared:3 - ext4 /dev/vdb rw
99 82 0:42 / /tmp rw,nosuid,nodev,noatime - tmpfs none rw
104 82 0:42 /work /work rw,nosuid,nodev,noatime,nosymfollow - tmpfs none rw
105 99 0:42 /tmp /tmp rw,nosuid,nodev,noatime - tmpfs none rw
106 82 0:42 /shm /dev/shm rw,nosuid,nodev,noexec,noatime - tmpfs none rw
107 82 0:44 / /proc rw,nosuid,nodev,noexec,relatime - proc none rw,hidepid=invisible
";

    fn planned() -> PlannedMounts {
        let text = str::to_owned;
        PlannedMounts::of(&[
            RootEntry::Symlink { path: text("/lib"), points_to: text("usr/lib") },
            RootEntry::Device { name: text("null"), number: (1, 3) },
            RootEntry::Bind { source: text("/opt/a b"), target: text("/lib/a b") },
        ])
        .with_processes()
    }

    #[test]
    fn planned_mounts_are_found_behind_links_and_with_what_is_below_them() {
        assert_eq!(compare(TABLE, &planned(), "0:42"), Ok(9));
    }

    #[test]
    fn every_other_mount_is_a_difference() {
        for (from, to) in [
            ("/dev/null ro", "/dev/null rw"),
            ("/dev/null ro", "/dev/sda ro"),
            ("/usr/lib/a\\040b/below ro", "/usr/lib/a\\040b/below rw"),
            ("/usr/lib/a\\040b/below", "/usr/lib/a\\040bc"),
            ("0:42 /work", "0:43 /work"),
            (" / / ro", " / / rw"),
            (" / / ro", " / /home ro"),
            ("0:41 / /", "0:42 / /"),
            ("- proc none", "- sysfs none"),
            ("/work rw,nosuid", "/work rw"),
            ("107 82 0:44 / /proc", "107 82 0:44 / /dev/pts"),
            ("107 82", "108"),
        ] {
            assert!(TABLE.contains(from), "{from}");
            assert!(compare(&TABLE.replacen(from, to, 1), &planned(), "0:42").is_err(), "{to}");
        }
        let without_work: String = TABLE.lines().filter(|line| !line.contains("/work")).collect::<Vec<_>>().join("\n");
        assert_eq!(compare(&without_work, &planned(), "0:42"), Err("4 of 5 of its own".to_owned()));
        let roots = format!("{TABLE}108 82 0:42 /etc /etc rw,nosuid,nodev,noatime - tmpfs none rw\n");
        assert_eq!(compare(&roots, &planned(), "0:42"), Err("not planned: /etc".to_owned()));
        assert_eq!(compare(&roots, &planned().with_roots_folders(), "0:42"), Err("6 of 10 of its own".to_owned()));
        let twice = format!("{TABLE}110 82 0:50 / / ro,nosuid - tmpfs none rw\n");
        assert!(compare(&twice, &planned(), "0:42").is_err());
    }

    #[test]
    fn links_in_a_planned_path_are_followed_inside_the_root() {
        let links = BTreeMap::from([("/a", "b/c"), ("/b/c/d", "/e"), ("/loop", "loop"), ("/up", "../../x")]);
        for (path, expected) in
            [("/a/d/f", "/e/f"), ("/a", "/b/c"), ("/up/y", "/x/y"), ("/q/../r", "/r"), ("/loop/z", "/loop/z")]
        {
            assert_eq!(resolved(path, &links), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[ -~\\n\\\\]{0,200}") {
            let _compared = compare(&text, &planned(), "0:42");
            let _path = unescaped(&text);
        }

        #[test]
        fn what_the_kernel_escaped_comes_back(path in "[a-z \\t\\n\\\\é]{1,20}") {
            let escaped: String = path.bytes().fold(String::new(), |mut text, byte| {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => text.push_str(&format!("\\{byte:03o}")),
                    byte if byte.is_ascii() => text.push(char::from(byte)),
                    byte => text.push_str(&format!("\\{byte:03o}")),
                }
                text
            });
            prop_assert_eq!(unescaped(&escaped), path);
        }
    }
}
