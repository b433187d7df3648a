//! Processes as `/proc` tells of them, found by descent and never by name.
//!
//! A process is told from a later one with the same number by the time it started.

use std::collections::BTreeSet;

/// One process at one moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) id: i32,
    /// In clock ticks since the machine started.
    pub(crate) started: u64,
    parent: i32,
    state: char,
    name: String,
}

impl Process {
    /// Whether it has yet to die. A dead one stays listed until its parent asks for it.
    pub(crate) const fn is_running(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    /// The process that has this number now.
    pub(crate) fn read(id: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name may hold anything, brackets too.
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        Some(Self {
            id,
            started: fields.get(19)?.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            state: fields.first()?.chars().next()?,
            name: name.to_owned(),
        })
    }
}

/// All processes of the machine.
fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(Process::read).collect()
}

/// Every process below this one, the dead that nobody asked for yet included.
pub(crate) fn below(ancestor: i32) -> Vec<Process> {
    let all = all();
    let mut known = BTreeSet::from([ancestor]);
    let mut found = Vec::new();
    loop {
        let more: Vec<&Process> =
            all.iter().filter(|process| known.contains(&process.parent) && !known.contains(&process.id)).collect();
        if more.is_empty() {
            return found;
        }
        known.extend(more.iter().map(|process| process.id));
        found.extend(more.into_iter().cloned());
    }
}
