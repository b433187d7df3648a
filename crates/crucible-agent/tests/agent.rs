//! The agent's program as an ordinary process of this machine, with the client at the other end: commands, streams, signals,
//! files, and its own death.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod started;

use crucible_agent::host::{
    AgentClient, AgentError, AgentLoss, BECOME_USER, Command, Ended, EntryKind, FIND_USER, Placed, ProcessLimit,
    Recipients, Refusal, Running, TerminalSize, What,
};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

struct Agent {
    client: AgentClient,
    process: Child,
    folder: TempDir,
}

async fn agent() -> Agent {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (process, input, output) = started::start();
    let folders = [folder.path().to_str().unwrap()];
    let client = timeout(LONG, AgentClient::connect(output, input, &folders)).await.unwrap().unwrap();
    Agent { client, process, folder }
}

fn command(argv: &[&str]) -> Command {
    Command {
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env: vec!["PATH=/usr/bin:/bin".to_owned()],
        directory: "/".to_owned(),
        ..Command::default()
    }
}

async fn all_of(mut stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    timeout(LONG, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Agent {
    async fn shell(&self, script: &str) -> Running {
        self.client.start(command(&["sh", "-c", script])).await.unwrap()
    }

    /// The end, standard output and standard error of a script without input.
    async fn run(&self, script: &str) -> (Option<Ended>, String, String) {
        let Running { input, out, error, mut ending, .. } = self.shell(script).await;
        drop(input);
        let (out, error) = tokio::join!(all_of(out), all_of(error));
        (timeout(LONG, ending.wait()).await.unwrap(), out, error)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.path().display())
    }
}

#[tokio::test]
async fn a_command_has_its_streams_environment_folder_and_end() {
    let agent = agent().await;
    let script =
        "echo out; echo error >&2; pwd; env | grep -v -e PATH -e PWD -e SHLVL -e _=; ls /proc/self/fd | wc -l; exit 7";
    let mut with = command(&["sh", "-c", script]);
    with.directory = "/usr".to_owned();
    with.env.push("GIVEN=a b".to_owned());
    let Running { out, error, mut ending, .. } = agent.client.start(with).await.unwrap();
    let (out, error) = tokio::join!(all_of(out), all_of(error));
    // Three streams, and the listing's own descriptor.
    assert_eq!((out.as_str(), error.as_str()), ("out\n/usr\nGIVEN=a b\n4\n", "error\n"));
    assert_eq!(ending.wait().await, Some(Ended::Exited(7)));
    assert_eq!(ending.wait().await, Some(Ended::Exited(7)));
    assert_eq!(agent.run("kill -9 $$").await.0, Some(Ended::Signaled(9)));
}

#[tokio::test]
async fn what_cannot_be_started_says_why_and_the_agent_goes_on() {
    let agent = agent().await;
    for (argv, errno) in [("no-such-program-5f1c", 2), ("/no/such/program", 2), ("/etc/passwd", 13)] {
        match agent.client.start(command(&[argv])).await {
            Err(AgentError::NotStarted(failure)) => assert_eq!(failure.errno, errno, "{argv}: {}", failure.step),
            other => assert!(other.is_err(), "{argv} was started"),
        }
    }
    let elsewhere = Command { directory: "/no/such/folder".to_owned(), ..command(&["true"]) };
    assert!(
        matches!(agent.client.start(elsewhere).await, Err(AgentError::NotStarted(failure)) if failure.step.contains("folder"))
    );
    assert_eq!(agent.run("echo still here").await.1, "still here\n");
}

#[tokio::test]
async fn limits_hold_for_a_command_and_not_for_the_next() {
    let agent = agent().await;
    let mut limited = command(&["sh", "-c", "ulimit -n; ulimit -Hc"]);
    limited.limits = vec![(ProcessLimit::OpenFiles, 77), (ProcessLimit::Core, 1)];
    let running = agent.client.start(limited).await.unwrap();
    assert!(all_of(running.out).await.starts_with("77\n"));
    assert_ne!(agent.run("ulimit -n").await.1, "77\n");
}

#[tokio::test]
async fn a_mebibyte_passes_through_unharmed() {
    let agent = agent().await;
    let Running { mut input, out, .. } = agent.shell("cat").await;
    let sent: Vec<u8> = (0_u32..1 << 18).flat_map(u32::to_le_bytes).collect();
    let feeding = async {
        input.write_all(&sent).await.unwrap();
        drop(input);
    };
    let mut got = Vec::new();
    let mut out = out;
    let hearing = out.read_to_end(&mut got);
    let ((), heard) = timeout(LONG, async { tokio::join!(feeding, hearing) }).await.unwrap();
    heard.unwrap();
    assert!(got == sent, "{} bytes came back, or not the same", got.len());
}

#[tokio::test]
async fn a_flood_that_nobody_reads_holds_up_nobody() {
    let agent = agent().await;
    let flood = agent.shell("exec cat /dev/zero").await;
    let stuck = agent.shell("exec sleep 1000").await;
    // Input that nobody takes is kept to its window.
    let (mut input, stuck_control) = (stuck.input, stuck.control);
    let filling = timeout(Duration::from_millis(300), input.write_all(&vec![0; 8 << 20])).await;
    assert!(filling.is_err(), "8 MiB went to a command that reads nothing: {filling:?}, {:?}", agent.client.loss());
    for round in 0..20 {
        assert_eq!(agent.run(&format!("echo {round}")).await.1, format!("{round}\n"));
    }
    // What came of the flood is its window and no more, and its end is told when its reader is gone.
    let Running { out, mut ending, .. } = flood;
    drop(out);
    assert_eq!(timeout(LONG, ending.wait()).await.unwrap(), Some(Ended::Signaled(13)));
    stuck_control.signal(9, Recipients::Group).await.unwrap();
}

#[tokio::test]
async fn input_to_a_command_that_is_gone_breaks() {
    let agent = agent().await;
    let Running { mut input, mut ending, .. } = agent.shell("exit 0").await;
    assert_eq!(ending.wait().await, Some(Ended::Exited(0)));
    let writing = timeout(LONG, input.write_all(&vec![0; 8 << 20])).await;
    assert!(writing.unwrap().is_err());
}

/// Leaves a daemon that has cut every tie but its standard output.
const DAEMON: &str = "setsid sh -c 'setsid sh -c \"while echo beat; do sleep 0.01; done\" & exit 0' & wait; exit 0";

#[tokio::test]
async fn a_tree_is_killed_whole_with_its_daemons_and_nothing_else() {
    let agent = agent().await;
    assert!(agent.client.abilities().marks_commands && agent.client.abilities().sees_processes);
    let (first, second) = (agent.shell(DAEMON).await, agent.shell(DAEMON).await);
    let living = agent.shell("echo ready; while :; do sleep 0.01; done").await;
    let (mut first_out, mut second_out, mut living_out) = (first.out, second.out, living.out);
    for out in [&mut first_out, &mut second_out, &mut living_out] {
        let mut one = [0; 4];
        timeout(LONG, out.read_exact(&mut one)).await.unwrap().unwrap();
    }
    let (mut first_ending, mut second_ending) = (first.ending, second.ending);
    for ending in [&mut first_ending, &mut second_ending] {
        assert_eq!(timeout(LONG, ending.wait()).await.unwrap(), Some(Ended::Exited(0)));
    }
    timeout(LONG, first.control.signal(9, Recipients::Tree)).await.unwrap().unwrap();
    // Nobody holds the first one's output any more, while the second one's daemon goes on.
    all_of(first_out).await;
    let mut many = [0; 500];
    timeout(LONG, second_out.read_exact(&mut many)).await.unwrap().unwrap();
    let mut living_ending = living.ending;
    assert!(timeout(Duration::from_millis(50), living_ending.wait()).await.is_err());
    timeout(LONG, living.control.signal(15, Recipients::Tree)).await.unwrap().unwrap();
    assert_eq!(timeout(LONG, living_ending.wait()).await.unwrap(), Some(Ended::Signaled(15)));
    timeout(LONG, agent.client.end_processes()).await.unwrap().unwrap();
    all_of(second_out).await;
    assert_eq!(agent.client.usage().await.unwrap().processes.map(|_| ()), Some(()));
    assert_eq!(agent.run("echo on").await.1, "on\n");
}

#[tokio::test]
async fn a_process_that_lowers_its_mark_goes_with_the_first_tree_that_is_killed() {
    let agent = agent().await;
    let hiding = "ulimit -H -R 1000 2>/dev/null || ulimit -R 1000 2>/dev/null || exit 3; setsid sh -c 'setsid sh -c \"echo hidden; exec sleep 1000\" & exit 0' & wait; exit 0";
    let mut hidden = agent.client.start(command(&["bash", "-c", hiding])).await.unwrap();
    let mut one = [0; 7];
    timeout(LONG, hidden.out.read_exact(&mut one)).await.unwrap().unwrap();
    assert_eq!(hidden.ending.wait().await, Some(Ended::Exited(0)));
    let other = agent.shell("exec sleep 1000").await;
    timeout(LONG, other.control.signal(9, Recipients::Tree)).await.unwrap().unwrap();
    all_of(hidden.out).await;
}

#[tokio::test]
async fn a_terminal_is_one_and_has_its_size() {
    let agent = agent().await;
    let mut command = command(&[
        "sh",
        "-c",
        "test -t 0 && test -t 1 && test -t 2 && stty size; read line; echo \"<$line>\"; stty size; read line || exit 5",
    ]);
    command.terminal = Some(TerminalSize { rows: 33, columns: 99 });
    let Running { mut input, mut out, mut ending, control, .. } = agent.client.start(command).await.unwrap();
    let mut size = [0; 7];
    timeout(LONG, out.read_exact(&mut size)).await.unwrap().unwrap();
    assert_eq!(&size, b"33 99\r\n");
    control.resize(TerminalSize { rows: 10, columns: 20 }).unwrap();
    input.write_all(b"typed\n").await.unwrap();
    let mut rest = [0; 22];
    timeout(LONG, out.read_exact(&mut rest)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&rest), "typed\r\n<typed>\r\n10 20\r\n".get(..22).unwrap());
    drop(input);
    assert_eq!(timeout(LONG, ending.wait()).await.unwrap(), Some(Ended::Exited(5)));
    all_of(out).await;
}

#[tokio::test]
async fn files_pass_in_pieces_and_links_are_not_followed() {
    let agent = agent().await;
    let content: Vec<u8> = (0_u32..1 << 18).flat_map(u32::to_be_bytes).collect();
    let mut writer = agent.client.create_file(&agent.path("a/b/file"), 0o755).unwrap();
    writer.write(&content).await.unwrap();
    writer.finish().await.unwrap();
    let on_disk = agent.folder.path().join("a/b/file");
    assert!(std::fs::read(&on_disk).unwrap() == content);
    assert_eq!(std::fs::metadata(&on_disk).unwrap().permissions().mode() & 0o777, 0o755);
    let mut reader = agent.client.open_file(&agent.path("a/b/file")).await.unwrap();
    assert_eq!(reader.size(), 1 << 20);
    let mut got = Vec::new();
    timeout(LONG, reader.read_to_end(&mut got)).await.unwrap().unwrap();
    assert!(got == content);
    // A shorter one replaces it whole.
    let writer = agent.client.create_file(&agent.path("a/b/file"), 0o644).unwrap();
    writer.finish().await.unwrap();
    assert!(std::fs::read(&on_disk).unwrap().is_empty());

    symlink("b", agent.folder.path().join("a/link")).unwrap();
    symlink("/etc/passwd", agent.folder.path().join("passwd")).unwrap();
    std::fs::write(agent.folder.path().join("one"), "x").unwrap();
    std::fs::hard_link(agent.folder.path().join("one"), agent.folder.path().join("two")).unwrap();
    for (path, refusal) in [
        (agent.path("passwd"), Refusal::NotRegular),
        (agent.path("a"), Refusal::NotRegular),
        (agent.path("one"), Refusal::SeveralNames),
        (agent.path("a/link/file"), Refusal::Errno(20)),
        (agent.path("missing"), Refusal::Errno(2)),
        (agent.path("../x"), Refusal::Outside),
        ("/etc/passwd".to_owned(), Refusal::Outside),
        (format!("{}x/y", agent.folder.path().display()), Refusal::Outside),
    ] {
        match agent.client.open_file(&path).await {
            Err(AgentError::Refused(seen)) => assert_eq!(seen, refusal, "{path}"),
            other => assert!(other.is_err(), "{path} was opened"),
        }
        if refusal != Refusal::Errno(2) {
            let written = agent.client.create_file(&path, 0o644).unwrap().finish().await;
            assert!(matches!(written, Err(AgentError::Refused(_))), "{path} was written");
        }
    }
    let mut entries = agent.client.list(&agent.path("")).await.unwrap();
    entries.sort_by(|left, right| left.name.cmp(&right.name));
    let kinds: Vec<_> =
        entries.iter().map(|entry| (String::from_utf8_lossy(&entry.name).into_owned(), entry.kind)).collect();
    let expected =
        [("a", EntryKind::Folder), ("one", EntryKind::Other), ("passwd", EntryKind::Other), ("two", EntryKind::Other)];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
    assert!(matches!(agent.client.list(&agent.path("one")).await, Err(AgentError::Refused(Refusal::NotFolder))));
}

#[tokio::test]
async fn many_entries_are_listed_in_parts() {
    let agent = agent().await;
    for number in 0..3000 {
        std::fs::write(agent.folder.path().join(format!("{number:0>80}")), "").unwrap();
    }
    assert_eq!(timeout(LONG, agent.client.list(&agent.path(""))).await.unwrap().unwrap().len(), 3000);
}

#[tokio::test]
async fn the_death_of_the_agent_ends_everything_that_waits() {
    let mut agent = agent().await;
    let running = agent.shell("echo ready; exec sleep 1000").await;
    let (mut out, mut ending) = (running.out, running.ending);
    let mut ready = [0; 6];
    timeout(LONG, out.read_exact(&mut ready)).await.unwrap().unwrap();
    assert_eq!(agent.client.loss(), None);
    let sleeper = agent.run("echo $PPID").await.1;
    assert_eq!(sleeper.trim().parse::<u32>().ok(), agent.process.id());
    // The sleeper is killed first: nobody else could, once its agent is gone.
    agent.client.end_processes().await.unwrap();
    agent.process.start_kill().unwrap();
    timeout(LONG, agent.client.until_lost()).await.unwrap();
    assert_eq!(agent.client.loss(), Some(AgentLoss::Ended));
    assert_eq!(ending.wait().await, Some(Ended::Signaled(9)));
    all_of(out).await;
    assert!(matches!(agent.client.start(command(&["true"])).await, Err(AgentError::Lost(AgentLoss::Ended))));
    assert!(matches!(agent.client.usage().await, Err(AgentError::Lost(_))));
}

#[tokio::test]
async fn the_agent_kills_everything_and_ends_when_the_line_is_cut() {
    let mut agent = agent().await;
    let Running { mut out, .. } = agent.shell("echo $$; exec sleep 1000").await;
    let mut number = [0; 3];
    timeout(LONG, out.read_exact(&mut number)).await.unwrap().unwrap();
    let mut process = agent.process;
    drop(agent.client);
    assert!(timeout(LONG, process.wait()).await.unwrap().unwrap().success());
    agent.folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
}

#[tokio::test]
async fn what_a_guest_of_the_same_user_may_do_to_the_agent_is_not_to_look_into_it() {
    let agent = agent().await;
    let (_, said, _) = agent
        .run("cat /proc/$PPID/environ >/dev/null && echo environment; ls /proc/$PPID/fd && echo files; true")
        .await;
    // Root may do everything here: elsewhere the kernel refuses both.
    let is_root = agent.run("id -u").await.1 == "0\n";
    assert!(is_root || said.is_empty(), "{said}");
}

#[tokio::test]
async fn a_command_is_a_users_by_the_tables_and_one_that_nobody_knows_is_told() {
    let agent = agent().await;
    let of =
        |user: &str| Command { user: Some(user.to_owned()), ..command(&["sh", "-c", "id -u; id -un; echo $USER"]) };
    for user in ["no-such-user-5f1c", "", "4294967295", "root:x", "../root"] {
        match agent.client.start(of(user)).await {
            Err(AgentError::NotStarted(failure)) => assert_eq!((failure.step.as_str(), failure.errno), (FIND_USER, 2)),
            other => assert!(other.is_err(), "{user:?} was found"),
        }
    }
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    match agent.client.start(of("nobody")).await {
        // Only root becomes somebody else.
        Err(AgentError::NotStarted(failure)) => assert!(!is_root && failure.step == BECOME_USER, "{}", failure.step),
        Err(error) => panic!("{error}"),
        Ok(Running { out, .. }) => assert_eq!((all_of(out).await.as_str(), is_root), ("65534\nnobody\nnobody\n", true)),
    }
    assert_eq!(agent.run("echo still here").await.1, "still here\n");
}

#[tokio::test]
async fn things_are_put_in_place_whole_and_never_over_what_is_there() {
    let agent = agent().await;
    let content: Vec<u8> = (0_u32..200_000).flat_map(u32::to_le_bytes).collect();
    let (folder, file, link) = (agent.path("below"), agent.path("below/file"), agent.path("link"));
    let own = std::fs::metadata(agent.folder.path()).unwrap();
    let put = |path, mode, what| Placed { path, mode, owner: (own.uid(), own.gid()), what };
    let all = [
        put(&folder, 0o750, What::Folder),
        put(&file, 0o640, What::File(&content)),
        put(&link, 0o777, What::Link("/no/such/place")),
    ];
    agent.client.put(all.into_iter()).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), content);
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&folder), mode(&file)), (0o750, 0o640));
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("/no/such/place"));
    // A folder may be there already.
    agent.client.put([put(&folder, 0o700, What::Folder)].into_iter()).await.unwrap();
    for (path, what) in [(&file, What::File(b"other")), (&link, What::File(b"other")), (&link, What::Link("/etc"))] {
        match agent.client.put([put(path, 0o600, what)].into_iter()).await {
            Err(AgentError::Refused(Refusal::Errno(17))) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
    assert_eq!(std::fs::read(&file).unwrap(), content);
}
