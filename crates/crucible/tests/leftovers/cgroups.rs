//! The control groups of one supervisor, in every tree that is mounted.

use std::path::PathBuf;

/// The folders of the supervisor with this process number.
pub(crate) fn folders_of(supervisor: u32) -> Vec<PathBuf> {
    let prefix = format!("crucible-{supervisor}-");
    let mut queue = mounted_trees();
    let mut found = Vec::new();
    while let Some(folder) = queue.pop() {
        // A group may be gone before it is looked at.
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                queue.push(entry.path());
            }
        }
    }
    found
}

fn mounted_trees() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let point = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup").then(|| before.split(' ').nth(4).map(PathBuf::from)).flatten()
    };
    mounts.lines().filter_map(point).collect()
}
