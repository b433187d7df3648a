//! Finds the trees of control groups that this process may use, and where in them.

use super::{Missing, Version};
use std::fs;
use std::path::{Path, PathBuf};

/// What to do where no control group is delegated to us.
pub(super) const DELEGATION_HINT: &str = "run as root, or in a delegated scope: systemd-run --user --scope -p Delegate=yes crucible ..., or name one as jail.cgroup_parent";

/// The same for version 1, which isn't made to be delegated.
pub(super) const V1_HINT: &str = "run as root, or use control groups of version 2 (systemd.unified_cgroup_hierarchy=1), which can be delegated to users";

/// What is switched on for the folders below one of version 2.
pub(super) const V2_CONTROLLERS: &str = "+memory +pids +cpu";

/// What a tree can do for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
    CpuAccounting,
}

/// A tree with the folder in which ours can be made.
#[derive(Debug)]
pub(super) struct FoundTree {
    pub(super) version: Version,
    pub(super) controllers: Vec<Controller>,
    pub(super) parent: PathBuf,
    /// Everything that a tree of version 1 has, by which it is mounted again.
    pub(super) mounted_with: Vec<String>,
}

/// A mounted tree, from `/proc/self/mountinfo`.
struct Mount {
    version: Version,
    root: String,
    point: PathBuf,
    options: Vec<String>,
}

/// Finds the trees to use, and says what is missing.
pub(super) fn find(parent: Option<&Path>) -> (Vec<FoundTree>, Option<Missing>) {
    let mounts = mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let memberships = memberships(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
    let mut found: Vec<FoundTree> = Vec::new();
    let mut missing = None;
    for (controller, name) in [
        (Controller::Memory, "memory"),
        (Controller::Pids, "pids"),
        (Controller::Cpu, "cpu"),
        (Controller::CpuAccounting, "cpuacct"),
    ] {
        let Some(mount) = mounts
            .iter()
            .find(|mount| mount.version == Version::V1 && mount.options.iter().any(|option| option == name))
        else {
            continue;
        };
        let parent = own_folder(mount, &memberships, name);
        match found.iter_mut().find(|tree| tree.parent == parent) {
            Some(tree) => tree.controllers.push(controller),
            None => found.push(FoundTree {
                version: Version::V1,
                controllers: vec![controller],
                parent,
                mounted_with: mount.options.iter().filter(|option| is_controller(option)).cloned().collect(),
            }),
        }
    }
    if let Some(mount) = mounts.iter().find(|mount| mount.version == Version::V2) {
        let own = own_folder(mount, &memberships, "");
        let available = fs::read_to_string(mount.point.join("cgroup.controllers")).unwrap_or_default();
        let has_all =
            ["memory", "pids", "cpu"].iter().all(|name| available.split_ascii_whitespace().any(|known| known == *name));
        if has_all && found.is_empty() {
            match parent
                .map_or_else(|| v2_parent(&mount.point, &own), |parent| enable(parent).map(|()| parent.to_owned()))
            {
                Ok(parent) => found.push(FoundTree {
                    version: Version::V2,
                    controllers: vec![Controller::Memory, Controller::Pids, Controller::Cpu, Controller::CpuAccounting],
                    parent,
                    mounted_with: Vec::new(),
                }),
                Err(reason) => missing = Some(Missing { reason, mend: DELEGATION_HINT.to_owned() }),
            }
        } else if cpu_is_counted(&own) {
            // Mixed: the limits are version 1's, but this tree kills and counts processor time better.
            found
                .iter_mut()
                .for_each(|tree| tree.controllers.retain(|controller| *controller != Controller::CpuAccounting));
            found.retain(|tree| !tree.controllers.is_empty());
            found.push(FoundTree {
                version: Version::V2,
                controllers: vec![Controller::CpuAccounting],
                parent: own,
                mounted_with: Vec::new(),
            });
        }
    }
    if found.is_empty() && missing.is_none() {
        missing = Some(Missing {
            reason: "no control groups are mounted".to_owned(),
            mend: "mount cgroup2 on /sys/fs/cgroup".to_owned(),
        });
    }
    (found, missing)
}

/// The groups that a process is in, with the controllers that limit and count there.
pub(super) fn of_process(pid: i32) -> Vec<(Version, Vec<Controller>, PathBuf)> {
    let mounts = mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
    let memberships = memberships(&fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default());
    if memberships.is_empty() {
        return Vec::new();
    }
    let mut found: Vec<(Version, Vec<Controller>, PathBuf)> = Vec::new();
    for (controller, name) in [
        (Controller::Memory, "memory"),
        (Controller::Pids, "pids"),
        (Controller::Cpu, "cpu"),
        (Controller::CpuAccounting, "cpuacct"),
    ] {
        let of_it = |mount: &&Mount| mount.options.iter().any(|option| option == name);
        if let Some(mount) = mounts.iter().filter(|mount| mount.version == Version::V1).find(of_it) {
            let folder = own_folder(mount, &memberships, name);
            match found.iter_mut().find(|(_, _, known)| *known == folder) {
                Some((_, controllers, _)) => controllers.push(controller),
                None => found.push((Version::V1, vec![controller], folder)),
            }
        } else if let Some(mount) = mounts.iter().find(|mount| mount.version == Version::V2) {
            let folder = own_folder(mount, &memberships, "");
            match found.iter_mut().find(|(_, _, known)| *known == folder) {
                Some((_, controllers, _)) => controllers.push(controller),
                None => found.push((Version::V2, vec![controller], folder)),
            }
        }
    }
    found
}

/// Whether a mount option of version 1 names a controller.
fn is_controller(option: &str) -> bool {
    const OTHERS: [&str; 7] = ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods"];
    !OTHERS.contains(&option) && !option.contains('=')
}

/// Whether we may make folders below, which then have `cpu.stat`.
fn cpu_is_counted(own: &Path) -> bool {
    own.join("cgroup.procs").exists() && rustix::fs::access(own, rustix::fs::Access::WRITE_OK).is_ok()
}

fn mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut fields = before.split(' ').skip(3);
            let (root, point) = (fields.next()?.to_owned(), PathBuf::from(fields.next()?));
            let mut fields = after.split(' ');
            let version = match fields.next()? {
                "cgroup" => Version::V1,
                "cgroup2" => Version::V2,
                _ => return None,
            };
            let options = fields.nth(1)?.split(',').map(str::to_owned).collect();
            Some(Mount { version, root, point, options })
        })
        .collect()
}

/// Controllers and path of each line of `/proc/self/cgroup`; version 2 has no controllers there.
fn memberships(table: &str) -> Vec<(Vec<String>, String)> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let controllers = fields.next()?.split(',').map(str::to_owned).collect();
            Some((controllers, fields.next()?.to_owned()))
        })
        .collect()
}

/// The folder of the group that this process is in.
fn own_folder(mount: &Mount, memberships: &[(Vec<String>, String)], controller: &str) -> PathBuf {
    let path = memberships
        .iter()
        .find(|(controllers, _)| controllers.iter().any(|known| known == controller))
        .map_or("/", |(_, path)| path);
    // In a container the mount shows only a part of the tree.
    let below = path.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or("");
    mount.point.join(below.trim_start_matches('/'))
}

/// A folder of version 2 in which groups with limits can be made: our own, if nobody else is in it, else one above.
fn v2_parent(top: &Path, own: &Path) -> Result<PathBuf, String> {
    let first = match enable(own) {
        Ok(()) => return Ok(own.to_owned()),
        Err(reason) => reason,
    };
    // A group with processes can't have limited groups below it. If we are alone in it, we can move out of the way.
    if own != top && alone_in(own) {
        let leaf = own.join("crucible.supervisor");
        let moved = fs::create_dir(&leaf).or_else(|error| if leaf.exists() { Ok(()) } else { Err(error) });
        if moved.and_then(|()| fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())).is_ok()
            && enable(own).is_ok()
        {
            return Ok(own.to_owned());
        }
    }
    // One above, in which no processes are: where a whole subtree is delegated to us, or we are root.
    for above in own.ancestors().skip(1).take_while(|above| above.starts_with(top)) {
        if enable(above).is_ok() {
            return Ok(above.to_owned());
        }
    }
    Err(format!("no control group is delegated to this user ({first})"))
}

fn alone_in(folder: &Path) -> bool {
    let own = std::process::id().to_string();
    fs::read_to_string(folder.join("cgroup.procs"))
        .is_ok_and(|members| members.split_ascii_whitespace().eq([own.as_str()]))
}

/// Switches the controllers on for the folders below, if they aren't yet.
fn enable(folder: &Path) -> Result<(), String> {
    let control = folder.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control).map_err(|error| format!("{}: {error}", folder.display()))?;
    let has = |name: &str| enabled.split_ascii_whitespace().any(|known| known == name);
    if !(has("memory") && has("pids") && has("cpu")) {
        fs::write(&control, V2_CONTROLLERS).map_err(|error| format!("{}: {error}", control.display()))?;
    }
    // Being enabled isn't being ours: a process may be put below only by who may move it out of where both are.
    for path in [folder.to_owned(), folder.join("cgroup.procs")] {
        rustix::fs::access(&path, rustix::fs::Access::WRITE_OK)
            .map_err(|errno| format!("{}: {errno}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "1 2 0:25 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        1 2 0:26 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        1 2 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n1 2 0:1 / / rw - ext4 /dev/vda rw\nrubbish\n";

    #[test]
    fn trees_are_found_in_mountinfo() {
        let found = mounts(MIXED);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].options, ["rw", "cpu", "cpuacct"]);
        assert_eq!(found[2].version, Version::V2);
    }

    #[test]
    fn the_own_folder_is_found_also_where_a_container_shows_a_part() {
        let found = mounts(MIXED);
        let members = memberships("8:memory:/docker/abc/sub\n3:cpu,cpuacct:/x\n0::/y.scope\nrubbish");
        assert_eq!(own_folder(&found[1], &members, "memory"), Path::new("/sys/fs/cgroup/memory/sub"));
        assert_eq!(own_folder(&found[0], &members, "cpu"), Path::new("/sys/fs/cgroup/cpu,cpuacct/x"));
        assert_eq!(own_folder(&found[2], &members, ""), Path::new("/sys/fs/cgroup/unified/y.scope"));
    }
}
