//! A sandbox seen from outside, for real: as planned where the plan is the sandbox's, otherwise where it isn't.

#![expect(clippy::unwrap_used, reason = "tests")]

use crucible_jail::host::posture::{
    Aspect, Fact, Look, Namespace, Planned, PlannedGroups, PlannedMounts, PlannedRules, Seen,
};
use crucible_jail::host::{self, Launcher, Started};
use crucible_jail::plan::{JailPlan, Need, Network, Privilege, RootEntry, SandboxPlan, Users};
use std::sync::Arc;

const ALL: &[Aspect] = &[Aspect::Privileges, Aspect::Reach, Aspect::Surroundings];
const GUEST: u32 = 1_900_000_000;

fn is_root() -> bool {
    host::effective_user() == 0
}

fn entries() -> Vec<RootEntry> {
    let mut entries = vec![RootEntry::Bind { source: "/usr".to_owned(), target: "/usr".to_owned() }];
    for path in ["/work", "/tmp", "/proc", "/dev/shm", "/dev/pts"] {
        entries.push(RootEntry::Directory { path: path.to_owned() });
    }
    entries.push(RootEntry::Device { name: "null".to_owned(), number: (1, 3) });
    entries
}

async fn launcher() -> Launcher {
    let privilege = if is_root() { Privilege::Root } else { Privilege::Ordinary { spare_ids: false } };
    let launcher = Launcher::start(privilege, None).await.unwrap();
    launcher.prepare_root(1, entries()).await.unwrap();
    launcher
}

async fn sandbox(launcher: &Launcher) -> Started {
    let plan = JailPlan {
        root: 1,
        outside_id: if is_root() { GUEST } else { 0 },
        users: Users::Guest,
        disk_bytes: 8 << 20,
        inodes: 100,
        clone_into_cgroup: false,
        join_cgroups: 0,
        landlock_abi: host::landlock_abi(),
        seccomp: crucible_jail::seccomp::compile(crucible_jail::seccomp::Connections::Refused),
        reports: crucible_jail::plan::Reports::Heard,
        proc: Need::Preferred,
        terminals: Need::Preferred,
        network: Network::Closed,
        without: Vec::new(),
    };
    launcher.start_sandbox(SandboxPlan::Jailed(plan), &[]).await.unwrap()
}

fn rules() -> PlannedRules {
    if host::landlock_abi() > 0 { PlannedRules::Held } else { PlannedRules::None }
}

fn mounts(started: &Started) -> PlannedMounts {
    let lacks = |what: &str| started.sandbox.without().iter().any(|failure| failure.step.contains(what));
    let mut mounts = PlannedMounts::of(&entries());
    if !lacks("/proc") {
        mounts = mounts.with_processes();
    }
    if !lacks("/dev/pts") {
        mounts = mounts.with_terminals();
    }
    mounts
}

fn ids() -> Vec<Planned> {
    if is_root() {
        vec![Planned::Ids { user: GUEST, group: GUEST }, Planned::Groups(PlannedGroups::None)]
    } else {
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        vec![Planned::Ids { user, group }, Planned::Groups(PlannedGroups::Kept)]
    }
}

fn states(facts: &[Fact], state: Seen) -> Vec<&'static str> {
    facts.iter().filter(|fact| fact.state == state).map(|fact| fact.name).collect()
}

#[tokio::test]
async fn a_sandbox_is_as_planned_and_what_cannot_be_seen_is_not_claimed() {
    let launcher = launcher().await;
    // The first is listed descriptor by descriptor, the second one counted.
    for _ in 0..2 {
        let started = sandbox(&launcher).await;
        let mut planned = ids();
        planned.extend([Planned::NoCapabilities, Planned::NoNewPrivileges, Planned::Filter]);
        planned.extend([Namespace::User, Namespace::Mount, Namespace::Process].map(Planned::Namespace));
        planned.extend([Namespace::Network, Namespace::Ipc, Namespace::HostName].map(Planned::Namespace));
        planned.extend([Planned::Namespace(Namespace::Cgroup), Planned::Descriptors(rules())]);
        planned.push(Planned::Mounts(Arc::new(mounts(&started))));
        let facts = Look::new(&started, planned, None).look(ALL);
        assert_eq!(states(&facts, Seen::Differs), [""; 0], "{facts:?}");
        assert!(facts.len() >= 20 && !started.sandbox.is_dead().unwrap(), "{facts:?}");
        if is_root() {
            assert_eq!(states(&facts, Seen::NotVisible), [""; 0]);
        }
        for always in ["capabilities.effective", "no_new_privs", "seccomp", "user", "tracer", "namespace.pid", "mounts"]
        {
            assert!(states(&facts, Seen::AsPlanned).contains(&always), "{always}: {facts:?}");
        }
    }
}

#[tokio::test]
async fn a_process_that_is_roots_on_the_host_is_told_from_one_that_is_nobodys() {
    let launcher = launcher().await;
    let started = sandbox(&launcher).await;
    let look = |pid| Look::of_process(pid, vec![Planned::NobodysRoot], None).look(&[Aspect::Privileges]);
    let of_guest = look(started.pid);
    assert_eq!(states(&of_guest, Seen::Differs), [""; 0], "{of_guest:?}");
    assert!(states(&of_guest, Seen::AsPlanned).contains(&"user"), "{of_guest:?}");
    let own = look(i32::try_from(std::process::id()).unwrap());
    let expected = if is_root() { Seen::Differs } else { Seen::AsPlanned };
    assert!(states(&own, expected).contains(&"user"), "{own:?}");
}

#[tokio::test]
async fn whatever_is_otherwise_than_planned_is_noticed() {
    let launcher = launcher().await;
    let started = sandbox(&launcher).await;
    let others_root = PlannedMounts::of(&[]).with_processes().with_terminals();
    let other_rules = match rules() {
        PlannedRules::Held => PlannedRules::None,
        PlannedRules::None => PlannedRules::Held,
    };
    for (planned, name) in [
        (Planned::Ids { user: 12_345, group: 12_345 }, "user"),
        (Planned::Mounts(Arc::new(others_root)), "mounts"),
        (Planned::Descriptors(other_rules), "descriptors"),
    ] {
        let facts = Look::new(&started, vec![planned], None).look(ALL);
        let expected = if name == "descriptors" && !is_root() { Seen::NotVisible } else { Seen::Differs };
        assert!(states(&facts, expected).contains(&name), "{name}: {facts:?}");
    }
}

#[tokio::test]
async fn an_ordinary_process_is_nothing_like_a_sandbox() {
    let launcher = Launcher::start(Privilege::Bare, None).await.unwrap();
    let folder = std::env::temp_dir();
    let plan = SandboxPlan::Bare { directory: folder.to_str().unwrap().to_owned() };
    let bare = launcher.start_sandbox(plan, &[]).await.unwrap();
    let mut planned = vec![Planned::NoNewPrivileges, Planned::Filter, Planned::Mounts(Arc::default())];
    planned.extend([Namespace::Process, Namespace::Cgroup].map(Planned::Namespace));
    let facts = Look::new(&bare, planned, None).look(ALL);
    for name in ["no_new_privs", "seccomp", "seccomp.filters", "mounts", "namespace.pid"] {
        assert!(states(&facts, Seen::Differs).contains(&name), "{name}: {facts:?}");
    }
    assert!(!states(&facts, Seen::AsPlanned).contains(&"namespace.cgroup"));
}

#[tokio::test]
async fn a_sandbox_that_is_gone_says_so_and_the_end_of_its_launcher_is_told_apart() {
    let launcher = launcher().await;
    let started = sandbox(&launcher).await;
    started.sandbox.kill();
    started.sandbox.wait_until_dead().await.unwrap();
    assert!(started.sandbox.is_dead().unwrap() && !started.launcher_has_ended());
    let other = sandbox(&launcher).await;
    drop(launcher);
    other.sandbox.wait_until_dead().await.unwrap();
    assert!(other.launcher_has_ended());
}
