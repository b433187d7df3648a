//! Which control groups this machine has, read from its mounts.

use serde::Serialize;
use std::fs;
use std::path::Path;

/// How a machine's control groups are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// One tree for all controllers.
    V2,
    /// One tree for each controller.
    V1,
    /// Trees of both kinds.
    Hybrid,
    /// None that can be seen.
    None,
}

/// The control groups of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ControlGroups {
    pub(super) mode: Mode,
    /// Controllers with a tree of their own.
    pub(super) v1_controllers: Vec<String>,
    /// Controllers in the one tree.
    pub(super) v2_controllers: Vec<String>,
}

/// What may follow `cgroup` among a mount's options; others, such as `rw` and `xattr`, aren't controllers.
const V1_CONTROLLERS: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

impl ControlGroups {
    /// Those of this machine.
    pub(super) fn of_machine() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::of_mounts(&mounts, |folder| fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default())
    }

    fn of_mounts(mounts: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let (mut v1, mut v2, mut one_tree) = (Vec::new(), Vec::new(), false);
        for line in mounts.lines() {
            // `id parent major:minor root FOLDER options... - TYPE source OPTIONS`
            let Some((before, after)) = line.split_once(" - ") else {
                continue;
            };
            let (folder, mut after) = (before.split(' ').nth(4).unwrap_or_default(), after.split(' '));
            match after.next() {
                Some("cgroup2") => {
                    one_tree = true;
                    v2.extend(controllers(Path::new(folder)).split_whitespace().map(str::to_owned));
                }
                Some("cgroup") => {
                    let options = after.nth(1).unwrap_or_default().split(',');
                    v1.extend(options.filter(|option| V1_CONTROLLERS.contains(option)).map(str::to_owned));
                }
                _ => {}
            }
        }
        for controllers in [&mut v1, &mut v2] {
            controllers.sort_unstable();
            controllers.dedup();
        }
        let mode = match (v1.is_empty(), one_tree) {
            (true, true) => Mode::V2,
            (false, true) => Mode::Hybrid,
            (false, false) => Mode::V1,
            (true, false) => Mode::None,
        };
        Self { mode, v1_controllers: v1, v2_controllers: v2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "30 1 0:27 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
                      31 1 0:28 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                      32 1 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
    const V2: &str = "33 1 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_modes_are_told_apart() {
        let read = |mounts: &str| ControlGroups::of_mounts(mounts, |_| "cpu memory pids\n".to_owned());
        assert_eq!(read(V1).mode, Mode::V1);
        assert_eq!(read(V1).v1_controllers, ["cpu", "cpuacct", "memory"]);
        assert_eq!(read(V2).mode, Mode::V2);
        assert_eq!(read(V2).v2_controllers, ["cpu", "memory", "pids"]);
        assert_eq!(read(&format!("{V1}{V2}")).mode, Mode::Hybrid);
        assert_eq!(read("22 1 0:5 / /proc rw - proc proc rw\n\n").mode, Mode::None);
    }
}
