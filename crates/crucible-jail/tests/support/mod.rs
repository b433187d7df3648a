//! A launcher and sandboxes to test, with the host's programs in them.

#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test program uses what it needs")]

use crucible_jail::host::{self, Command, Launcher, Running, Sandbox};
use crucible_jail::plan::{Ended, JailPlan, Need, Network, Orphans, Privilege, Reports, RootEntry, SandboxPlan, Users};
use crucible_jail::seccomp::Connections;
use tokio::io::AsyncReadExt;

pub(crate) fn privilege() -> Privilege {
    if host::effective_user() == 0 { Privilege::Root } else { Privilege::Ordinary { spare_ids: false } }
}

/// A root with the host's programs, as far as this machine has them.
pub(crate) fn entries() -> Vec<RootEntry> {
    let mut entries = Vec::new();
    for path in ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache"] {
        match std::fs::symlink_metadata(path) {
            Ok(seen) if seen.is_symlink() => {
                let points_to = std::fs::read_link(path).unwrap().display().to_string();
                entries.push(RootEntry::Symlink { path: path.to_owned(), points_to });
            }
            Ok(_) => entries.push(RootEntry::Bind { source: path.to_owned(), target: path.to_owned() }),
            Err(_) => {}
        }
    }
    for path in ["/work", "/tmp", "/proc", "/dev/shm", "/dev/pts"] {
        entries.push(RootEntry::Directory { path: path.to_owned() });
    }
    for (name, minor) in [("null", 3), ("zero", 5), ("urandom", 9)] {
        entries.push(RootEntry::Device { name: name.to_owned(), number: (1, minor) });
    }
    entries.push(RootEntry::Symlink { path: "/dev/ptmx".to_owned(), points_to: "pts/ptmx".to_owned() });
    entries
}

pub(crate) fn plan() -> JailPlan {
    JailPlan {
        root: 1,
        outside_id: if host::effective_user() == 0 { 1_900_000_000 } else { 0 },
        users: Users::Guest,
        disk_bytes: 8 << 20,
        inodes: 100,
        clone_into_cgroup: false,
        join_cgroups: 0,
        landlock_abi: host::landlock_abi(),
        seccomp: crucible_jail::seccomp::compile(Connections::Refused),
        reports: Reports::Heard,
        proc: Need::Required,
        terminals: Need::Preferred,
        network: Network::Closed,
        without: Vec::new(),
    }
}

pub(crate) async fn launcher() -> Launcher {
    let launcher = Launcher::start(privilege(), None).await.unwrap();
    launcher.prepare_root(1, entries()).await.unwrap();
    launcher
}

pub(crate) async fn sandbox(launcher: &Launcher) -> Sandbox {
    launcher.start_sandbox(SandboxPlan::Jailed(plan()), &[]).await.unwrap().sandbox
}

pub(crate) fn shell(script: &str) -> Command {
    Command {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec!["PATH=/usr/bin:/bin".to_owned()],
        user: None,
        directory: "/work".to_owned(),
        limits: Vec::new(),
        reopens: true,
        terminal: None,
        orphans: Orphans::ToInit,
    }
}

pub(crate) async fn finish(running: Running) -> (String, String, Ended) {
    let Running { stdin, mut stdout, mut stderr, ended, .. } = running;
    drop(stdin);
    let (mut output, mut error) = (String::new(), String::new());
    stdout.read_to_string(&mut output).await.unwrap();
    stderr.read_to_string(&mut error).await.unwrap();
    (output, error, ended.await.unwrap())
}
