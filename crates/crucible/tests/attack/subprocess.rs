//! The suite isn't blind: where nothing is isolated, it says so.

use crate::{attack, is_jail_usable};
use std::collections::BTreeSet;

/// What the subprocess backend can't hold anywhere, as whoever.
const BREACHED: [&str; 38] = [
    "filesystem.host_path",
    "filesystem.parent_path",
    "filesystem.proc_links",
    "filesystem.create_outside",
    "filesystem.hard_link",
    "filesystem.devices",
    "filesystem.mount_paths",
    "filesystem.shared_file_unchanged",
    "kernel.keys",
    "kernel.personality",
    "kernel.userfaultfd",
    "kernel.watch_files",
    "kernel.host_name",
    "kernel.sysctl",
    "leaks.environment",
    "leaks.command_line",
    "leaks.open_file",
    "leaks.machine_files",
    "leaks.host_name",
    "network.loopback",
    "network.loopback_datagram",
    "network.abstract_socket",
    "network.path_socket",
    "network.outside",
    "network.names",
    "network.metadata",
    "privilege.no_new_privs",
    "privilege.seccomp",
    "privilege.memory_program",
    "processes.visible",
    "processes.signal",
    "processes.trace",
    "processes.read_memory",
    "processes.signal_supervisor",
    "residue.files",
    "residue.ipc",
    "resources.forks",
    "resources.disk",
];

#[test]
fn what_isolates_nothing_is_breached() {
    if !is_jail_usable() {
        return;
    }
    let run = attack(&["-b", "subprocess", "--unsafe", "--json"]).output();
    let report = run.json();
    assert_eq!((run.code(), &report["verdict"]), (1, &"breached".into()), "{}", run.stderr());
    let suite = &report["suites"][0];
    assert_eq!(suite["backend"], "subprocess");
    let with = |verdict: &str| -> BTreeSet<&str> {
        let all = suite["properties"].as_array().unwrap().iter();
        all.filter(|property| property["verdict"] == verdict).map(|property| property["id"].as_str().unwrap()).collect()
    };
    let breached = with("breached");
    let missing: Vec<_> = BREACHED.iter().filter(|id| !breached.contains(*id)).collect();
    assert!(missing.is_empty(), "not breached: {missing:?}");
    assert!(breached.len() >= 60, "only {} are breached: {breached:?}", breached.len());
    // It has no layer that could be left off, and so there is no control arm that could prove anything held.
    assert_eq!(with("held"), BTreeSet::new());
    for group in ["filesystem", "kernel", "leaks", "network", "privilege", "processes", "residue", "resources"] {
        assert!(breached.iter().any(|id| id.starts_with(group)), "nothing of {group} is breached");
    }
}

#[test]
fn what_isolates_nothing_is_not_attacked_without_being_admitted() {
    let run = attack(&["-b", "subprocess", "--json"]).output();
    run.expect_failure(77, &["subprocess", "--unsafe"]);
}

#[test]
fn what_serves_in_a_range_does_nothing_anywhere_else() {
    for backend in ["jail", "subprocess"] {
        let run = crate::support::crucible(&["range", backend, "{}"]).output();
        run.expect_failure(77, &["in a range only"]);
    }
}
