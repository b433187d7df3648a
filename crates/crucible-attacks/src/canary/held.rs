//! What a probe that holds still has got hold of, as `/proc` shows it from outside.

use super::Sight;
use crate::process::HeldProcess;
use crate::scenario::Held;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

pub(super) fn look(what: Option<Held>, inode: Option<&str>, paths: &[String], held: &[HeldProcess]) -> Sight {
    if held.is_empty() {
        return Sight::Unknown("its process wasn't found".to_owned());
    }
    // All that it started count as it does, and one that was reached is enough.
    let mut last = Sight::Unknown("nothing was looked at".to_owned());
    for process in held {
        let seen = match (what, inode) {
            (Some(what), _) => one(what, paths, process),
            (None, inode) => descriptors(process, inode),
        };
        match seen {
            Ok(reached @ Sight::Reached(_)) => return reached,
            Ok(seen) => last = seen,
            // A process that ended meanwhile holds nothing.
            Err(_) if !process.folder().exists() => {}
            Err(why) => return Sight::Unknown(why.to_owned()),
        }
    }
    last
}

/// chown, dac_override, fowner, kill, setgid and setuid.
const OF_ROOT_INSIDE: u64 = 0b1110_1011;

fn one(what: Held, paths: &[String], process: &HeldProcess) -> Looked {
    match what {
        Held::Descriptors => descriptors(process, None),
        Held::Socket => descriptors(process, Some("socket:")),
        Held::UserNamespace => namespace(process, "user"),
        Held::MountNamespace => namespace(process, "mnt"),
        Held::NetworkNamespace => namespace(process, "net"),
        Held::UtsNamespace => namespace(process, "uts"),
        Held::PidNamespace => namespace(process, "pid_for_children"),
        Held::Capabilities => status(process, &["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"], |value| {
            value.bytes().any(|digit| digit != b'0')
        }),
        Held::CapabilitiesBeyondRoots => {
            status(process, &["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"], |value| {
                u64::from_str_radix(value, 16).map_or(true, |set| set & !OF_ROOT_INSIDE != 0)
            })
        }
        Held::NoNewPrivs => status(process, &["NoNewPrivs"], |value| value != "1"),
        Held::Seccomp => status(process, &["Seccomp"], |value| value != "2"),
        Held::UidZero => status(process, &["Uid", "Gid"], |value| value.split_ascii_whitespace().any(|id| id == "0")),
        Held::Groups => groups(process),
        Held::Traced => traced(process),
        Held::RealTime => priority(process),
        Held::DeviceNode => device_node(process),
        Held::Mounts => mounts(process),
        Held::Root => root(process),
        Held::CoreLimit => core_limit(process),
        Held::Devices => devices(process),
        Held::Paths => readable(process, paths),
    }
}

type Looked = Result<Sight, &'static str>;

fn descriptors(process: &HeldProcess, kind: Option<&str>) -> Looked {
    let open = process.descriptors().ok_or("its descriptors can't be seen")?;
    let is_found = |(number, target): &&(u32, String)| match kind {
        Some(kind) => target.starts_with(kind),
        None => *number > 2,
    };
    // A target may be a path that the guest chose, so that only its kind is told.
    match open.iter().find(is_found) {
        Some((number, _)) => Ok(Sight::Reached(format!("descriptor {number} is {}", kind.unwrap_or("open")))),
        None => Ok(Sight::Nothing(format!("{} descriptors are open, and none such", open.len()))),
    }
}

fn namespace(process: &HeldProcess, name: &str) -> Looked {
    let own = process.namespace(name).ok_or("its namespaces can't be seen")?;
    // What is for children is compared with what the parent is in.
    let parents = process.namespace_of_parent(name).ok_or("the namespaces of the sandbox can't be seen")?;
    if own == parents {
        Ok(Sight::Nothing(format!("it is in the sandbox's {name} namespace")))
    } else {
        Ok(Sight::Reached(format!("it is in another {name} namespace than the sandbox")))
    }
}

/// Looks at every thread.
fn status(process: &HeldProcess, keys: &[&str], is_bad: impl Fn(&str) -> bool) -> Looked {
    let threads = process.statuses();
    if threads.is_empty() {
        return Err("its status can't be read");
    }
    for thread in &threads {
        for key in keys {
            let value = thread.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
            let value = value.ok_or("its status lacks a line")?;
            if is_bad(value) {
                return Ok(Sight::Reached(format!("{key} is {:?}", value.chars().take(40).collect::<String>())));
            }
        }
    }
    Ok(Sight::Nothing(format!("{} of {} threads is as it should be", keys.join(", "), threads.len())))
}

/// Looks at every thread. Its own group is no supplementary one, though container daemons name it twice.
fn groups(process: &HeldProcess) -> Looked {
    let threads = process.statuses();
    if threads.is_empty() {
        return Err("its status can't be read");
    }
    let ids = |thread: &str, key: &str| {
        let line = thread.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    for thread in &threads {
        let (Some(own), Some(groups)) = (ids(thread, "Gid"), ids(thread, "Groups")) else {
            return Err("its status lacks a line");
        };
        // Root's group is one that a guest has nothing to do with, whoever names it.
        if let Some(other) = groups.iter().find(|group| *group == "0" || !own.contains(group)) {
            return Ok(Sight::Reached(format!("it is in the group {other:?}")));
        }
    }
    Ok(Sight::Nothing(format!("none of {} threads is in a group beside its own", threads.len())))
}

/// Of the fields after the name: nice value, real-time priority and policy.
fn priority(process: &HeldProcess) -> Looked {
    let stat = process.stat().ok_or("its priority can't be read")?;
    let fields: Vec<i64> = stat.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let (Some(nice), Some(real_time), Some(policy)) = (fields.get(15), fields.get(36), fields.get(37)) else {
        return Err("its priority can't be read");
    };
    if *nice < 0 || *real_time > 0 || matches!(policy, 1 | 2 | 6) {
        Ok(Sight::Reached(format!("nice {nice}, real-time priority {real_time}, policy {policy}")))
    } else {
        Ok(Sight::Nothing(format!("nice {nice}, policy {policy}")))
    }
}

/// Whether one has that user as its effective one.
pub(super) fn effective_user(user: u32, held: &[HeldProcess]) -> Sight {
    let user = user.to_string();
    let is_it = |value: &str| value.split_ascii_whitespace().nth(1) == Some(user.as_str());
    let mut last = Sight::Unknown("its process wasn't found".to_owned());
    for process in held {
        match status(process, &["Uid"], is_it) {
            Ok(Sight::Reached(_)) => return Sight::Reached("a process runs as the program's owner".to_owned()),
            Ok(_) => last = Sight::Nothing("no process runs as the program's owner".to_owned()),
            Err(_) if !process.folder().exists() => {}
            Err(why) => return Sight::Unknown(why.to_owned()),
        }
    }
    last
}

/// Whether the sandbox's init is traced.
fn traced(process: &HeldProcess) -> Looked {
    let status = fs::read_to_string(process.parents_folder().join("status")).map_err(|_| "the init can't be seen")?;
    match status.lines().find_map(|line| line.strip_prefix("TracerPid:")).map(str::trim) {
        Some("0") => Ok(Sight::Nothing("the sandbox's init isn't traced".to_owned())),
        Some(_) => Ok(Sight::Reached("the sandbox's init is traced".to_owned())),
        None => Err("the init's status lacks a line"),
    }
}

fn device_node(process: &HeldProcess) -> Looked {
    let open = process.descriptors().ok_or("its descriptors can't be seen")?;
    for (number, target) in &open {
        let kind = fs::metadata(process.folder().join(format!("fd/{number}"))).map(|seen| seen.file_type());
        let is_device = kind.is_ok_and(|kind| kind.is_char_device() || kind.is_block_device());
        if is_device && !target.starts_with("/dev/") {
            return Ok(Sight::Reached(format!("descriptor {number} is a device that isn't below /dev")));
        }
    }
    Ok(Sight::Nothing("no device is open but those below /dev".to_owned()))
}

/// Folders that a sandbox has a mount on, below which a guest might make another.
const GUEST_FOLDERS: [&str; 3] = ["/work", "/tmp", "/dev/shm"];

fn mounts(process: &HeldProcess) -> Looked {
    let table = fs::read_to_string(process.folder().join("mountinfo")).map_err(|_| "its mounts can't be seen")?;
    let fields = |line: &str| {
        let mut fields = line.split(' ').skip(4);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    let all: Vec<_> = table.lines().filter_map(fields).collect();
    for (point, options) in &all {
        let is_below =
            GUEST_FOLDERS.iter().any(|folder| point.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
        if is_below {
            return Ok(Sight::Reached("something is mounted below a folder of its own".to_owned()));
        }
        if point == "/" && options.split(',').any(|option| option == "rw") {
            return Ok(Sight::Reached("the root folder's mount can be written".to_owned()));
        }
    }
    let open = process.descriptors().ok_or("its descriptors can't be seen")?;
    if open.iter().any(|(_, target)| target == "/") {
        return Ok(Sight::Reached("it has a mount open".to_owned()));
    }
    Ok(Sight::Nothing(format!("{} mounts, as they were", all.len())))
}

fn root(process: &HeldProcess) -> Looked {
    let identity = |folder: std::path::PathBuf| fs::metadata(folder.join("root")).map(|seen| (seen.dev(), seen.ino()));
    let own = identity(process.folder()).map_err(|_| "its root folder can't be seen")?;
    let sandboxes = identity(process.parents_folder()).map_err(|_| "the sandbox's root folder can't be seen")?;
    if own == sandboxes {
        Ok(Sight::Nothing("its root folder is the sandbox's".to_owned()))
    } else {
        Ok(Sight::Reached("its root folder is another than the sandbox's".to_owned()))
    }
}

fn core_limit(process: &HeldProcess) -> Looked {
    let table = fs::read_to_string(process.folder().join("limits")).map_err(|_| "its limits can't be seen")?;
    let line =
        table.lines().find_map(|line| line.strip_prefix("Max core file size")).ok_or("its limits lack a line")?;
    let above = |value: &str| value.parse::<u64>().map_or(true, |bytes| bytes > 1);
    if line.split_ascii_whitespace().take(2).any(above) {
        Ok(Sight::Reached("it may write core files".to_owned()))
    } else {
        Ok(Sight::Nothing("it may write no core file".to_owned()))
    }
}

/// The devices that a sandbox may have: major and minor number.
const EXPECTED_DEVICES: [(u32, u32); 7] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 1), (5, 2)];
/// The major numbers of pseudo-terminals.
const TERMINALS: std::ops::RangeInclusive<u32> = 136..=143;

fn devices(process: &HeldProcess) -> Looked {
    let mut folders = vec![process.root().join("dev")];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|_| "its /dev can't be seen")?.flatten() {
            // Not what the folder says of the entry: something may be mounted on it.
            let seen = entry.metadata().map_err(|_| "its /dev can't be seen")?;
            let kind = seen.file_type();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_char_device() || kind.is_block_device() {
                count += 1;
                let number = (rustix::fs::major(seen.rdev()), rustix::fs::minor(seen.rdev()));
                let is_terminal = TERMINALS.contains(&number.0);
                if kind.is_block_device() || !(is_terminal || EXPECTED_DEVICES.contains(&number)) {
                    return Ok(Sight::Reached("there is a device beyond the expected ones".to_owned()));
                }
            }
        }
    }
    Ok(Sight::Nothing(format!("{count} devices, all expected")))
}

fn readable(process: &HeldProcess, paths: &[String]) -> Looked {
    fs::read_dir(process.root()).map_err(|_| "its root folder can't be seen")?;
    for path in paths {
        let inside = process.root().join(path.trim_start_matches('/'));
        let shows = match fs::symlink_metadata(&inside) {
            Ok(seen) if seen.is_dir() => fs::read_dir(&inside).is_ok_and(|mut entries| entries.next().is_some()),
            Ok(seen) if seen.is_file() => {
                fs::File::open(&inside).is_ok_and(|mut file| file.read(&mut [0]).is_ok_and(|read| read > 0))
            }
            _ => false,
        };
        if shows {
            return Ok(Sight::Reached(format!("{path} shows something")));
        }
    }
    Ok(Sight::Nothing(format!("none of {} paths shows anything", paths.len())))
}
