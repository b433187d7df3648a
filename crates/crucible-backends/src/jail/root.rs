//! A sandbox's root folder: what a language needs of the host, and the few things that every sandbox has of its own.

use crate::runtime::{Runtime, RuntimeEntry};
use crate::users;
use crucible_core::{Error, ErrorKind, HostPath, Result, Users};
use crucible_jail::plan::{CgroupMount, GUEST_ID, HOST_NAME, RANGE_PROGRAM, RANGE_WRITABLE, RootEntry, WRITABLE};

/// Folders of every sandbox. What is mounted on them comes later.
const FOLDERS: &[&str] = &["/work", "/tmp", "/proc", "/dev/shm", "/dev/pts"];
/// Devices of every sandbox, with major and minor number.
const DEVICES: &[(&str, (u32, u32))] =
    &[("null", (1, 3)), ("zero", (1, 5)), ("full", (1, 7)), ("random", (1, 8)), ("urandom", (1, 9))];
/// Links of every sandbox.
const LINKS: &[(&str, &str)] = &[
    // Programs count on it as on /tmp; nothing here outlives a sandbox anyway.
    ("/var/tmp", "/tmp"),
    // What tools ask that want to know where they are. It leads nowhere where a language brings no such file.
    ("/etc/os-release", "../usr/lib/os-release"),
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Everything in the root folder, parents before children.
pub(super) fn entries(runtime: &Runtime, users: Users) -> Result<Vec<RootEntry>> {
    let mut entries: Vec<RootEntry> =
        FOLDERS.iter().map(|path| RootEntry::Directory { path: (*path).to_owned() }).collect();
    entries
        .extend(DEVICES.iter().map(|(name, number)| RootEntry::Device { name: (*name).to_owned(), number: *number }));
    entries.extend(LINKS.iter().map(|(path, points_to)| symlink(path, points_to)));
    entries.extend(users::folders(users).iter().map(|path| RootEntry::Directory { path: (*path).to_owned() }));
    entries.extend(
        users::files(users, GUEST_ID, HOST_NAME).into_iter().map(|(path, content)| RootEntry::File { path, content }),
    );
    for entry in &runtime.entries {
        let (path, entry) = match entry {
            RuntimeEntry::Bind { source, target } => {
                let source = source.to_str().ok_or_else(|| unusable(target, "its name isn't UTF-8"))?;
                (target, RootEntry::Bind { source: source.to_owned(), target: target.clone() })
            }
            RuntimeEntry::Symlink { target, points_to } => (target, symlink(target, points_to)),
        };
        if let Some(folder) =
            WRITABLE.iter().find(|folder| path.as_str() == **folder || path.starts_with(&format!("{folder}/")))
        {
            return Err(unusable(path, &format!("every sandbox has a {folder} of its own, which hides it")));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Folders of the host's root that a range doesn't show: it has its own, or they are no matter of programs.
const NOT_IN_A_RANGE: [&str; 11] =
    ["proc", "sys", "dev", "tmp", "run", "work", "canary", "boot", "lost+found", "mnt", "media"];

/// The root of a range: what the host has, read-only, with a device more than a sandbox has and a program.
pub(super) fn entries_of_a_range(program: &HostPath, cgroups: &[CgroupMount]) -> Result<Vec<RootEntry>> {
    let failed = |error| {
        Error::new(ErrorKind::Infrastructure, "prepare the range's root", "the root folder can't be listed")
            .with_source(error)
    };
    let directory = |path: &str| RootEntry::Directory { path: path.to_owned() };
    let mut entries: Vec<_> = FOLDERS.iter().chain(&RANGE_WRITABLE).map(|path| directory(path)).collect();
    entries.dedup();
    let devices = DEVICES.iter().chain(&[("tty", (5, 0))]);
    entries.extend(devices.map(|(name, number)| RootEntry::Device { name: (*name).to_owned(), number: *number }));
    entries.extend(LINKS.iter().map(|(path, points_to)| symlink(path, points_to)));
    entries.push(directory("/sys/fs/cgroup"));
    entries.extend(cgroups.iter().map(|mount| directory(&mount.target)));
    for entry in std::fs::read_dir("/").map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let path = format!("/{name}");
        let kind = entry.file_type().map_err(failed)?;
        if NOT_IN_A_RANGE.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            entries.push(RootEntry::Bind { source: path.clone(), target: path });
        } else if kind.is_symlink()
            && let Some(points_to) = std::fs::read_link(&path).map_err(failed)?.to_str()
        {
            entries.push(symlink(&path, points_to));
        }
    }
    let source = program.as_path().to_str().ok_or_else(|| unusable(RANGE_PROGRAM, "its name isn't UTF-8"))?.to_owned();
    entries.push(RootEntry::Bind { source, target: RANGE_PROGRAM.to_owned() });
    Ok(entries)
}

fn symlink(path: &str, points_to: &str) -> RootEntry {
    RootEntry::Symlink { path: path.to_owned(), points_to: points_to.to_owned() }
}

fn unusable(path: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "prepare the sandbox's root",
        format!("the language needs {path}, which can't be shown in a sandbox: {why}"),
    )
    .with_hint("install the interpreter, or make the virtual environment, in another folder")
}
