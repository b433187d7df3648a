//! Sandboxes with root inside, for real: what root can do in its own sandbox, and that it can do nothing to any other, nor to
//! the host, nor in a sandbox that has no root.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use crucible_jail::host::posture::{Aspect, Look, Planned, Seen};
use crucible_jail::host::{self, Command, JailError, Launcher, Sandbox, Started};
use crucible_jail::plan::{Ended, FIND_USER, Ids, JailPlan, Privilege, RootEntry, SandboxPlan, Users};
use std::os::unix::fs::MetadataExt;
use support::{finish, plan, shell};

const FIRST: u32 = 1_900_100_000;
const COUNT: u32 = 2000;

/// Only root can map a range of ids without the system's helpers.
fn is_root() -> bool {
    let is_root = host::effective_user() == 0;
    let required = std::env::var("CRUCIBLE_REQUIRE").is_ok_and(|required| required.contains("root"));
    assert!(is_root || !required, "this needs root");
    if !is_root {
        eprintln!("skipped: only root can map a range of ids here");
    }
    is_root
}

fn root_entries() -> Vec<RootEntry> {
    let mut entries = support::entries();
    for path in ["/home", "/root", "/var/lib", "/run"] {
        entries.push(RootEntry::Directory { path: path.to_owned() });
    }
    for (path, content) in [
        (
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000::/work:/bin/sh\nfar:x:70000:70000::/:/bin/sh\n",
        ),
        ("/etc/group", "root:x:0:\nguest:x:1000:\nteam:x:1500:guest\n"),
        ("/etc/shadow", "root:*:19000::::::\n"),
    ] {
        entries.push(RootEntry::File { path: path.to_owned(), content: content.as_bytes().to_vec() });
    }
    entries.push(RootEntry::Symlink { path: "/var/tmp".to_owned(), points_to: "/tmp".to_owned() });
    entries
}

async fn launcher() -> Launcher {
    let launcher = Launcher::start(Privilege::Root, None).await.unwrap();
    launcher.prepare_root(1, root_entries()).await.unwrap();
    launcher
}

fn ids(first: u32) -> Vec<Ids> {
    vec![(0, first, COUNT), (65_534, first + COUNT, 1)]
}

async fn start(launcher: &Launcher, first: u32) -> Started {
    let plan = JailPlan { outside_id: first, users: Users::Root { ids: ids(first) }, inodes: 1000, ..plan() };
    launcher.start_sandbox(SandboxPlan::Jailed(plan), &[]).await.unwrap()
}

async fn run(sandbox: &Sandbox, user: Option<&str>, script: &str) -> (String, String) {
    let command = Command { user: user.map(str::to_owned), stream_owner: Some(FIRST), ..shell(script) };
    let (output, error, ended) = finish(sandbox.exec(command).await.unwrap()).await;
    assert!(matches!(ended, Ended::Exited(_)), "{ended:?}");
    (output, error)
}

#[tokio::test]
async fn root_inside_makes_users_and_becomes_them_and_is_nobody_outside() {
    if !is_root() {
        return;
    }
    let launcher = launcher().await;
    let started = start(&launcher, FIRST).await;
    let script = "id -u; echo 'ann:x:1001:1001::/home/ann:/bin/sh' >> /etc/passwd; echo 'ann:x:1001:' >> /etc/group; \
        mkdir /home/ann && chown 1001:1001 /home/ann && stat -c %u:%g /home/ann; stat -c %a /etc/shadow; \
        readlink /var/tmp; grep -E '^(Cap(Prm|Eff|Bnd)|NoNewPrivs)' /proc/self/status | tr -d '\\t\\n'";
    let (output, error) = run(&started.sandbox, None, script).await;
    let caps = "CapPrm:00000000000000ebCapEff:00000000000000ebCapBnd:00000000000000ebNoNewPrivs:1";
    assert_eq!(output, format!("0\n1001:1001\n600\n/tmp\n{caps}"), "{error}");

    let script = "id -u; id -g; echo $HOME $USER; touch /home/ann/hers; cat /etc/shadow; touch /etc/x; \
        grep -E '^Cap(Prm|Eff)' /proc/self/status | tr -d '\\t\\n'; echo again > /proc/self/fd/1";
    let (output, error) = run(&started.sandbox, Some("ann"), script).await;
    let none = "CapPrm:0000000000000000CapEff:0000000000000000";
    assert_eq!(output, format!("1001\n1001\n/home/ann ann\n{none}again\n"), "{error}");
    assert_eq!(error.matches("Permission denied").count(), 2, "{error}");
    let (output, _) = run(&started.sandbox, Some("guest"), "id -G").await;
    assert_eq!(output, "1000 1500\n");

    // The host's view: the file belongs to the sandbox's own ids, and so does the process that made it.
    let seen = std::fs::metadata(format!("/proc/{}/root/home/ann/hers", started.pid)).unwrap();
    assert_eq!((seen.uid(), seen.gid()), (FIRST + 1001, FIRST + 1001));
    let init = std::fs::metadata(format!("/proc/{}/root/etc/passwd", started.pid)).unwrap();
    assert_eq!(init.uid(), FIRST);
}

#[tokio::test]
async fn a_user_who_is_not_there_or_has_ids_of_others_is_an_error() {
    if !is_root() {
        return;
    }
    let launcher = launcher().await;
    let started = start(&launcher, FIRST).await;
    let failed = async |user: &str| {
        let command = Command { user: Some(user.to_owned()), ..shell("id") };
        match started.sandbox.exec(command).await {
            Err(JailError::NotStarted { step, errno }) => (step, errno),
            _ => panic!("{user} was found"),
        }
    };
    assert_eq!(failed("nobody-at-all").await, (FIND_USER.to_owned(), libc::ENOENT));
    // No id outside the sandbox's own can be had, whatever the tables say.
    assert_eq!(failed("far").await.1, libc::EINVAL);
    run(&started.sandbox, None, "rm /etc/passwd; mkfifo /etc/passwd").await;
    assert_eq!(failed("root").await, (FIND_USER.to_owned(), libc::ENOENT));
}

#[tokio::test]
async fn root_inside_reaches_neither_the_host_nor_another_sandbox() {
    if !is_root() {
        return;
    }
    let launcher = launcher().await;
    let (one, other) = (start(&launcher, FIRST).await, start(&launcher, FIRST + 10_000).await);
    run(&other.sandbox, None, "echo secret > /root/canary; chmod 644 /root/canary").await;
    let sleeper = other.sandbox.exec(shell("exec sleep 60")).await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("canary"), "outside").unwrap();

    let script = format!(
        "ls /root; cat {canary}; touch /usr/x; chown 1 /usr/bin/env; chmod 777 /usr; chown 0 /dev/null; \
         mknod /tmp/disk b 254 0; mount -t tmpfs none /mnt; unshare -U true; chroot /work /bin/true; hostname other; \
         kill -9 {pid}; kill -9 1; nsenter -t 1 -m true; cat /proc/1/environ /proc/1/mem; ls /proc/1/fd; \
         chown 70000 /tmp; chown {FIRST} /tmp; ls /proc | grep -c '^[0-9]'",
        canary = outside.path().join("canary").display(),
        pid = other.pid,
    );
    let (output, error) = run(&one.sandbox, None, &script).await;
    assert!(!output.contains("secret") && !output.contains("outside") && !output.contains("canary"), "{output}");
    for step in ["/usr/x", "/usr/bin/env", "'/usr'", "/dev/null", "/tmp/disk", "unshare", "/proc/1/environ", "'/tmp'"] {
        assert!(error.contains(step), "{step}: {error}");
    }
    // Its own init, this shell, and the two of the pipe.
    assert!(output.trim().parse::<u32>().unwrap() <= 4, "{output}");
    assert!(!one.sandbox.is_dead().unwrap() && !other.sandbox.is_dead().unwrap());
    assert_eq!(std::fs::metadata("/usr/bin/env").unwrap().uid(), 0);
    drop(sleeper);
}

#[tokio::test]
async fn one_command_of_a_user_is_ended_with_all_that_came_of_it() {
    if !is_root() {
        return;
    }
    let launcher = launcher().await;
    let started = start(&launcher, FIRST).await;
    let live = |user: &str, script: &str| Command {
        user: Some(user.to_owned()),
        orphans: crucible_jail::plan::Orphans::ToCommand,
        ..shell(script)
    };
    let script = "setsid sleep 61 & sleep 62 & wait";
    let running = started.sandbox.exec(live("guest", script)).await.unwrap();
    let other = started.sandbox.exec(live("guest", "exec sleep 63")).await.unwrap();
    running.control.end_tree().await.unwrap();
    assert!(matches!(running.ended.await.unwrap(), Ended::Signaled(9)));
    let (left, error) = run(&started.sandbox, None, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").await;
    assert!(left.contains("sleep 63") && !left.contains("sleep 61") && !left.contains("sleep 62"), "{left} {error}");
    drop(other);
}

#[tokio::test]
async fn an_ordinary_guest_is_refused_what_root_inside_may() {
    let launcher = support::launcher().await;
    let sandbox = support::sandbox(&launcher).await;
    let script = "import os\n\
        for what, arguments in [(os.setuid, (0,)), (os.setgid, (0,)), (os.setgroups, ([0],)), (os.setresuid, (0, 0, 0)), \
        (os.setresgid, (5, 5, 5)), (os.setreuid, (1, 1)), (os.chown, ('/work', 0, 0)), (os.chown, ('/work', 1, -1))]:\n\
        \x20 try:\n    what(*arguments); print('done', what.__name__)\n\x20 except OSError: pass\n";
    let command = Command { argv: ["python3", "-c", script].map(str::to_owned).to_vec(), ..shell("") };
    let (output, error, ended) = finish(sandbox.exec(command).await.unwrap()).await;
    assert_eq!((output.as_str(), error.as_str(), ended), ("", "", Ended::Exited(0)));
    // There is nobody else to become.
    let command = Command { user: Some("root".to_owned()), ..shell("id") };
    assert!(matches!(sandbox.exec(command).await, Err(JailError::NotStarted { .. })));
}

#[tokio::test]
async fn seen_from_outside_root_inside_is_as_planned_and_nothing_else_is() {
    if !is_root() {
        return;
    }
    let launcher = launcher().await;
    let (rooted, ordinary) =
        (start(&launcher, FIRST).await, launcher.start_sandbox(SandboxPlan::Jailed(plan()), &[]).await.unwrap());
    let maps = |ids: Vec<Ids>| Planned::IdMaps { users: ids.clone(), groups: ids };
    let of_root = || vec![Planned::RootsCapabilities, maps(ids(FIRST)), Planned::Filter, Planned::NoNewPrivileges];
    let of_guest = || vec![Planned::NoCapabilities, maps(vec![(1000, plan().outside_id, 1)]), Planned::Filter];
    let differing = |started: &Started, planned: Vec<Planned>| {
        let facts = Look::new(started, planned, None).look(&[Aspect::Privileges, Aspect::Reach]);
        let differing = facts.into_iter().filter(|fact| fact.state != Seen::AsPlanned);
        differing.map(|fact| fact.name).collect::<Vec<_>>()
    };
    let others = ["capabilities.permitted", "capabilities.effective", "capabilities.bounding", "uid_map", "gid_map"];
    assert_eq!(differing(&rooted, of_root()), [""; 0]);
    assert_eq!(differing(&ordinary, of_guest()), [""; 0]);
    assert_eq!(differing(&rooted, of_guest()), others);
    assert_eq!(differing(&ordinary, of_root()), others);
}
