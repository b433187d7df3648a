//! Sandboxes with root inside, for real: what root can do in its own sandbox, and that it can do nothing to any other, nor to
//! the host, nor in a sandbox that has no root.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

mod support;

use crucible_jail::host::posture::{Aspect, Look, Planned, PlannedMounts, Seen};
use crucible_jail::host::{self, Command, JailError, Launcher, Sandbox, Started};
use crucible_jail::plan::{Ended, FIND_USER, Ids, JailPlan, Privilege, RootEntry, SandboxPlan, Users};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use support::{finish, plan, shell};

const COUNT: u32 = 2000;

/// Where a sandbox's ids come from.
#[derive(Clone, Copy)]
struct Source {
    spare: Option<host::SpareIds>,
    /// As numbered in the launcher's user namespace.
    first: u32,
    /// The same on the host, as a user and as a group.
    on_host: (u32, u32),
}

/// Root has ids to give, and an ordinary user with enough spare ones.
fn source() -> Option<Source> {
    if host::effective_user() == 0 {
        let first = 1_900_100_000;
        return Some(Source { spare: None, first, on_host: (first, first) });
    }
    let spare = host::spare_ids().filter(|((_, users), (_, groups))| *users.min(groups) > 20_000);
    if spare.is_none() {
        eprintln!("skipped: this user has too few spare ids");
    }
    spare.map(|spare| Source { spare: Some(spare), first: 1, on_host: (spare.0.0, spare.1.0) })
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
    // Of the host, below folders that are the sandbox's own.
    for (source, target) in [("/usr/lib", "/root/of-the-host"), ("/usr/bin/env", "/var/lib/of-the-host")] {
        entries.push(RootEntry::Bind { source: source.to_owned(), target: target.to_owned() });
    }
    entries.push(RootEntry::Symlink { path: "/var/tmp".to_owned(), points_to: "/tmp".to_owned() });
    entries
}

async fn launcher(source: Source) -> Launcher {
    let privilege = match source.spare {
        None => Privilege::Root,
        Some(_) => Privilege::Ordinary { spare_ids: true },
    };
    let launcher = Launcher::start(privilege, source.spare).await.unwrap();
    launcher.prepare_root(1, root_entries()).await.unwrap();
    launcher
}

fn ids(first: u32) -> Vec<Ids> {
    vec![(0, first, COUNT), (65_534, first + COUNT, 1)]
}

async fn start(launcher: &Launcher, first: u32) -> Started {
    start_with(launcher, first, None).await
}

async fn start_with(launcher: &Launcher, first: u32, most_processes: Option<u64>) -> Started {
    let plan =
        JailPlan { outside_id: first, users: Users::Root { ids: ids(first), most_processes }, inodes: 1000, ..plan() };
    launcher.start_sandbox(SandboxPlan::Jailed(plan), &[]).await.unwrap()
}

async fn run(sandbox: &Sandbox, user: Option<&str>, script: &str) -> (String, String) {
    let command = Command { user: user.map(str::to_owned), ..shell(script) };
    let (output, error, ended) = finish(sandbox.exec(command).await.unwrap()).await;
    assert!(matches!(ended, Ended::Exited(_)), "{ended:?}");
    (output, error)
}

#[tokio::test]
async fn one_bound_holds_for_all_users_inside_where_no_control_group_has_it() {
    let Some(source) = source() else { return };
    let launcher = launcher(source).await;
    let bounded = start_with(&launcher, source.first, Some(20)).await;
    // Ten of root's, then as many of two others' as there is room for.
    let script = "i=0; while [ $i -lt 10 ]; do sleep 4 >/dev/null 2>&1 & i=$((i+1)); done; echo ten; \
        other='import os, sys; os.setuid(int(sys.argv[1])); os.execvp(\"sleep\", [\"sleep\", \"4\"])'; \
        while [ $i -lt 26 ]; do python3 -c \"$other\" $((1001 + i % 2)) >/dev/null & i=$((i+1)); done; sleep 1; \
        grep -l '^Uid:.*100[12]' /proc/[0-9]*/status | wc -l";
    let (output, error) = run(&bounded.sandbox, None, script).await;
    assert!(output == "ten\n" && error.contains("fork"), "{output} {error}");
    // The launcher is again what it was.
    drop(bounded);
    let free = start(&launcher, source.first).await;
    let (output, error) = run(&free.sandbox, None, script).await;
    assert_eq!(output, "ten\n16\n", "{error}");
}

#[tokio::test]
async fn root_inside_makes_users_and_becomes_them_and_is_nobody_outside() {
    let Some(source) = source() else { return };
    let launcher = launcher(source).await;
    let started = start(&launcher, source.first).await;
    let script = "id -u; echo 'ann:x:1001:1001::/home/ann:/bin/sh' >> /etc/passwd; echo 'ann:x:1001:' >> /etc/group; \
        mkdir /home/ann && chown 1001:1001 /home/ann && stat -c %u:%g /home/ann; stat -c %a /etc/shadow; \
        readlink /var/tmp; touch /x 2>/dev/null; chmod 777 / 2>/dev/null; chown 5 / 2>/dev/null; rmdir /work 2>/dev/null; \
        stat -c %a / /usr; grep -E '^(Cap(Prm|Eff|Bnd)|NoNewPrivs)' /proc/self/status | tr -d '\\t\\n'";
    let (output, error) = run(&started.sandbox, None, script).await;
    let caps = "CapPrm:00000000000000ebCapEff:00000000000000ebCapBnd:00000000000000ebNoNewPrivs:1";
    assert_eq!(output, format!("0\n1001:1001\n600\n/tmp\n755\n755\n{caps}"), "{error}");

    let script = "id -u; id -g; echo $HOME $USER; touch /home/ann/hers; cat /etc/shadow; touch /etc/x; \
        grep -E '^Cap(Prm|Eff)' /proc/self/status | tr -d '\\t\\n'; echo again > /proc/self/fd/1";
    let (output, error) = run(&started.sandbox, Some("ann"), script).await;
    let none = "CapPrm:0000000000000000CapEff:0000000000000000";
    assert_eq!(output, format!("1001\n1001\n/home/ann ann\n{none}again\n"), "{error}");
    assert_eq!(error.matches("Permission denied").count(), 2, "{error}");
    let (output, _) = run(&started.sandbox, Some("guest"), "id -G").await;
    assert_eq!(output, "1000 1500\n");

    // The host's view: the file belongs to the sandbox's own ids. Only root may look there.
    if host::effective_user() == 0 {
        let inside = |path: &str| std::fs::metadata(format!("/proc/{}/root{path}", started.pid)).unwrap();
        let hers = inside("/home/ann/hers");
        assert_eq!((hers.uid(), hers.gid()), (source.on_host.0 + 1001, source.on_host.1 + 1001));
        assert_eq!(inside("/etc/passwd").uid(), source.on_host.0);
    }
}

#[tokio::test]
async fn a_user_who_is_not_there_or_has_ids_of_others_is_an_error() {
    let Some(source) = source() else { return };
    let launcher = launcher(source).await;
    let started = start(&launcher, source.first).await;
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
    let Some(source) = source() else { return };
    let launcher = launcher(source).await;
    let (one, other) = (start(&launcher, source.first).await, start(&launcher, source.first + 10_000).await);
    run(&other.sandbox, None, "echo secret > /root/canary; chmod 644 /root/canary").await;
    let sleeper = other.sandbox.exec(shell("exec sleep 60")).await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("canary"), "outside").unwrap();

    let script = format!(
        "ls /root; cat {canary}; touch /usr/x; chown 1 /usr/bin/env; chmod 777 /usr; chown 0 /dev/null; \
         mknod /tmp/disk b 254 0; mount -t tmpfs none /mnt; unshare -U true; chroot /work /bin/true; hostname other; \
         kill -9 {pid}; kill -9 1; nsenter -t 1 -m true; cat /proc/1/environ /proc/1/mem; ls /proc/1/fd; \
         chown 70000 /tmp; chown {first} /tmp; ls /proc | grep -c '^[0-9]'",
        canary = outside.path().join("canary").display(),
        pid = other.pid,
        first = source.first.max(3000),
    );
    let (output, error) = run(&one.sandbox, None, &script).await;
    assert!(!output.contains("secret") && !output.contains("outside") && !output.contains("canary"), "{output}");
    for step in ["/usr/x", "/usr/bin/env", "'/usr'", "/dev/null", "/tmp/disk", "unshare", "/proc/1/environ", "'/tmp'"] {
        assert!(error.contains(step), "{step}: {error}");
    }
    // Its own init, this shell, and the two of the pipe.
    assert!(output.lines().last().unwrap().parse::<u32>().unwrap() <= 4, "{output}");
    assert!(!one.sandbox.is_dead().unwrap() && !other.sandbox.is_dead().unwrap());
    assert_eq!(std::fs::metadata("/usr/bin/env").unwrap().uid(), 0);
    drop(sleeper);
}

#[tokio::test]
async fn what_is_the_hosts_below_its_own_folders_stays_read_only() {
    let Some(source) = source() else { return };
    let launcher = launcher(source).await;
    let started = start(&launcher, source.first).await;
    let script = "ls /root/of-the-host | head -1 | wc -l; /var/lib/of-the-host echo runs; \
        for file in /root/of-the-host/x /root/of-the-host /var/lib/of-the-host; do \
        touch $file && echo touched; chmod 777 $file && echo changed; chown 5 $file && echo given; \
        rm -rf $file && echo removed; done 2>/dev/null; \
        echo x > /var/lib/own && cat /var/lib/own";
    let (output, error) = run(&started.sandbox, None, script).await;
    // `rm -f` of what isn't there has nothing to complain of.
    assert_eq!(output, "1\nruns\nremoved\nx\n", "{error}");
    let mounts = PlannedMounts::of(&root_entries()).with_roots_folders().with_processes().with_terminals();
    let look = |mounts: PlannedMounts| {
        let facts = Look::new(&started, vec![Planned::Mounts(Arc::new(mounts))], None).look(&[Aspect::Surroundings]);
        facts.into_iter().map(|fact| (fact.name, fact.state)).collect::<Vec<_>>()
    };
    assert_eq!(look(mounts), [("mounts", Seen::AsPlanned)]);
    let of_a_guest = PlannedMounts::of(&root_entries()).with_processes().with_terminals();
    assert_eq!(look(of_a_guest), [("mounts", Seen::Differs)]);
}

#[tokio::test]
async fn one_command_of_a_user_is_ended_with_all_that_came_of_it() {
    let Some(source) = source() else { return };
    let launcher = launcher(source).await;
    let started = start(&launcher, source.first).await;
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
    let Some(source) = source() else { return };
    let launcher = launcher(source).await;
    let guest = source.first + 15_000;
    let ordinary = JailPlan { outside_id: guest, ..plan() };
    let ordinary = launcher.start_sandbox(SandboxPlan::Jailed(ordinary), &[]).await.unwrap();
    let rooted = start(&launcher, source.first).await;
    let shown = |ids: Vec<Ids>, to: u32| {
        ids.into_iter().map(|(inside, first, count)| (inside, first - source.first + to, count)).collect::<Vec<_>>()
    };
    let maps = |ids: Vec<Ids>| Planned::IdMaps {
        users: shown(ids.clone(), source.on_host.0),
        groups: shown(ids, source.on_host.1),
    };
    let of_root =
        || vec![Planned::RootsCapabilities, maps(ids(source.first)), Planned::Filter, Planned::NoNewPrivileges];
    let of_guest = || vec![Planned::NoCapabilities, maps(vec![(1000, guest, 1)]), Planned::Filter];
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
