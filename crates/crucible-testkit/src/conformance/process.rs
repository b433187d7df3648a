//! Behaviours of commands: what they are given and how their end is told.

use super::guest::{Guest, path};
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{Command, ErrorKind, ExitStatus};
use std::time::Duration;
use tokio::time::timeout;

pub(super) async fn the_exit_code_passes(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    for code in [0, 1, 42, 255] {
        let ended = guest.run("import sys; sys.exit(int(sys.argv[1]))", &[&code.to_string()]).await?;
        ensure!(ended.status == ExitStatus::Exited(code), "exit code {code} was told as {}", ended.story());
    }
    guest.finish().await
}

pub(super) async fn death_by_signal_is_reported(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    for signal in [9, 15, 11] {
        let script = "import os, sys; os.kill(os.getpid(), int(sys.argv[1]))";
        let ended = guest.run(script, &[&signal.to_string()]).await?;
        ensure!(ended.status == ExitStatus::Signaled(signal), "death by signal {signal} was told as {}", ended.story());
    }
    guest.finish().await
}

pub(super) async fn arguments_pass_exactly(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let given = ["", " a  b ", "line\nbreak\ttab", "ünï→😀", "--flag", "$HOME `id` \"q\" 'q' \\", "*", "\u{1b}[31m"];
    let script = "import os, sys; sys.stdout.buffer.write(b'\\0'.join(os.fsencode(a) for a in sys.argv[1:]))";
    let ended = guest.run(script, &given).await?;
    ensure!(ended.stdout == given.join("\0").as_bytes(), "{given:?} arrived as {}", ended.story());
    guest.finish().await
}

/// What a backend gives every command, under the host's own names.
const GIVEN_BY_BACKENDS: [&str; 14] = [
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "USER", "LOGNAME", "SHELL", "PWD", "TERM", "SHLVL", "_",
    "TZ",
];

pub(super) async fn the_environment_holds_what_was_given_and_nothing_of_the_supervisors(
    subject: &ConformanceSubject,
) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "import os, sys; \
        sys.stdout.buffer.write(b''.join(k + b'=' + v + b'\\0' for k, v in os.environb.items()))";
    let mut command = guest.command(script, &[]);
    command.env.insert("GIVEN".to_owned(), "a=b c\n\"d\" $HOME ü".to_owned());
    let ended = guest.run_command(command, &[]).await?;
    let seen = ended.text();
    let seen: Vec<&str> = seen.split('\0').collect();
    ensure!(seen.contains(&"GIVEN=a=b c\n\"d\" $HOME ü"), "the given variable is missing: {}", ended.story());
    let own: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| !GIVEN_BY_BACKENDS.contains(&name.as_str()))
        .collect();
    if own.is_empty() {
        return Err(Stop::CannotTell("the test itself has no environment that could leak".to_owned()));
    }
    // Their names only: the values may be secrets, and this is printed.
    let leaked: Vec<_> = own
        .iter()
        .filter(|(name, value)| seen.contains(&format!("{name}={value}").as_str()))
        .map(|(name, _)| name)
        .collect();
    ensure!(leaked.is_empty(), "variables of the supervisor are visible: {leaked:?}");
    guest.finish().await
}

pub(super) async fn commands_start_in_the_folder_that_was_asked_for(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.write("here", b"").await?;
    guest.write("below/there", b"").await?;
    let script = "import os, sys; print(os.path.exists(sys.argv[1]))";
    let seen = guest.run(script, &["here"]).await?.told()?;
    ensure!(seen == "True\n", "the work folder is not where a command starts");
    let mut command = guest.command(script, &["there"]);
    command.directory = path("below")?;
    let seen = guest.run_command(command, &[]).await?.told()?;
    ensure!(seen == "True\n", "a command does not start in the folder that was asked for");
    guest.finish().await
}

pub(super) async fn a_missing_program_is_not_found_and_the_sandbox_lives(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    for program in ["no-such-program-5f1c", "/no/such/program-5f1c", "./no-such-program-5f1c"] {
        let command = Command { argv: vec![program.to_owned()], ..guest.command("", &[]) };
        match guest.sandbox.exec(command).await {
            Ok(_) => return Err(Stop::Failed(format!("{program} was started, and there is no such thing"))),
            Err(error) => ensure!(error.kind() == ErrorKind::NotFound, "{program} gave {:?}: {error}", error.kind()),
        }
    }
    let ended = guest.run("print('alive')", &[]).await?;
    ensure!(ended.stdout == b"alive\n", "the sandbox did not live on: {}", ended.story());
    guest.finish().await
}

pub(super) async fn any_command_of_the_guests_file_system_can_be_run(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::shell_with(subject, |_| {}).await?;
    let script = b"#!/bin/sh\necho \"ran with $1\"\n";
    guest.sandbox.write_file(&path("own")?, &mut &script[..], true).await?;
    let argv = vec!["./own".to_owned(), "x y".to_owned()];
    let ended = guest.run_command(Command { argv, ..guest.command("", &[]) }, &[]).await?;
    ensure!(ended.stdout == b"ran with x y\n", "an executable that was put in did not run: {}", ended.story());
    guest.finish().await
}

pub(super) async fn several_commands_share_the_files(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    guest.run("open('note', 'w').write('from the first')", &[]).await?;
    let seen = guest.run("print(open('note').read(), end='')", &[]).await?.told()?;
    ensure!(seen == "from the first", "the second command read {seen:?}");
    guest.finish().await
}

pub(super) async fn two_commands_run_at_the_same_time(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os, sys, time
open(sys.argv[1], 'w').close()
until = time.monotonic() + 10
while not os.path.exists(sys.argv[2]):
    if time.monotonic() > until: sys.exit('the other never came')
    time.sleep(0.005)
print('met')";
    let (first, second) = tokio::join!(guest.run(script, &["a", "b"]), guest.run(script, &["b", "a"]));
    for ended in [first?, second?] {
        ensure!(ended.stdout == b"met\n", "two commands did not run at the same time: {}", ended.story());
    }
    guest.finish().await
}

pub(super) async fn waiting_can_be_given_up_and_taken_up_again(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let mut execution = guest.start("import sys; sys.stdin.read(); sys.exit(7)", &[]).await?;
    let early = timeout(Duration::from_millis(20), execution.process.wait()).await;
    ensure!(early.is_err(), "the command ended before its input did: {early:?}");
    drop(execution.stdin);
    let status = execution.process.wait().await?;
    ensure!(status == ExitStatus::Exited(7), "after waiting was given up once, the end was told as {status:?}");
    guest.finish().await
}

pub(super) async fn the_programs_exit_does_not_wait_for_its_children(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os, time
if os.fork() == 0:
    time.sleep(20)
os._exit(6)";
    let mut execution = guest.start(script, &[]).await?;
    let status = timeout(Duration::from_secs(5), execution.process.wait()).await;
    match status {
        Ok(status) => ensure!(status? == ExitStatus::Exited(6), "the program's own end was lost"),
        Err(_) => return Err(Stop::Failed("the end of the program was told only after its child's".to_owned())),
    }
    guest.finish().await
}

pub(super) async fn the_shell_makes_pipelines(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::shell_with(subject, |_| {}).await?;
    let script = "printf 'a\\nb\\n' | while read -r line; do echo \"<$line>\"; done; exit 3";
    let ended = guest.run(script, &[]).await?;
    let right = ended.status == ExitStatus::Exited(3) && ended.stdout == b"<a>\n<b>\n";
    ensure!(right, "a pipeline came out as {}", ended.story());
    guest.finish().await
}

pub(super) async fn no_descriptor_but_the_standard_streams_is_open(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os
for number in range(1024):
    try: print(number, os.fstat(number).st_mode)
    except OSError: pass";
    let seen = guest.run(script, &[]).await?.told()?;
    let numbers: Vec<&str> = seen.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(numbers == ["0", "1", "2"], "open at the start (number, mode): {}", seen.replace('\n', ", "));
    guest.finish().await
}
