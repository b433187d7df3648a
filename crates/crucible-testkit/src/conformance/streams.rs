//! Behaviours of the standard streams.

use super::guest::Guest;
use super::stop::{Checked, Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

pub(super) async fn the_streams_are_separate_and_exact_to_the_byte(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
import os
every = bytes(range(256))
os.write(1, every + b'\\xff\\xfe\\x00\\r\\n')
os.write(2, every[::-1])";
    let ended = guest.run(script, &[]).await?;
    let every: Vec<u8> = (0..=255).collect();
    let out = [every.as_slice(), b"\xff\xfe\x00\r\n"].concat();
    ensure!(ended.stdout == out, "standard output arrived otherwise: {}", ended.story());
    ensure!(ended.stderr.iter().eq(every.iter().rev()), "standard error arrived otherwise: {}", ended.story());
    guest.finish().await
}

pub(super) async fn the_streams_can_be_opened_again_by_name(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "
with open('/dev/stdin') as stream: said = stream.read()
for path in ['/dev/stdout', '/proc/self/fd/2']:
    with open(path, 'w') as stream: stream.write(said)";
    let ended = guest.run_command(guest.command(script, &[]), b"said").await?;
    ensure!(ended.stdout == b"said" && ended.stderr == b"said", "it is otherwise: {}", ended.story());
    guest.finish().await
}

pub(super) async fn a_mebibyte_passes_from_input_to_output(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    // Every block is different, so that a lost, doubled or exchanged one shows.
    let sent: Vec<u8> = (0_u32..1 << 18).flat_map(u32::to_le_bytes).collect();
    let script = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)";
    let ended = guest.run_command(guest.command(script, &[]), &sent).await?;
    ensure!(ended.status == ExitStatus::Exited(0), "the copying guest ended with {:?}", ended.status);
    ensure!(ended.stdout == sent, "of {} bytes {} came back, or not the same", sent.len(), ended.stdout.len());
    guest.finish().await
}

pub(super) async fn standard_input_ends_when_it_is_dropped(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let mut execution = guest.start("import sys; sys.exit(40 + len(sys.stdin.buffer.read()))", &[]).await?;
    execution.stdin.write_all(b"xy").await?;
    execution.stdin.flush().await?;
    drop(execution.stdin);
    match timeout(Duration::from_secs(5), execution.process.wait()).await {
        Ok(status) => ensure!(status? == ExitStatus::Exited(42), "the guest did not read the two bytes"),
        Err(_) => return Err(Stop::Failed("the guest never saw the end of its input".to_owned())),
    }
    guest.finish().await
}

pub(super) async fn input_that_nobody_reads_breaks_without_a_hang(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let mut execution = guest.start("pass", &[]).await?;
    let status = execution.process.wait().await?;
    ensure!(status == ExitStatus::Exited(0), "the guest ended with {status:?}");
    let write = async {
        // A broken pipe is as good as bytes that go nowhere.
        let _ = execution.stdin.write_all(&vec![0; 4 << 20]).await;
    };
    let written = timeout(Duration::from_secs(5), write).await;
    ensure!(written.is_ok(), "writing to a guest that is gone hangs");
    guest.finish().await
}

pub(super) async fn output_comes_while_the_command_runs(subject: &ConformanceSubject) -> Checked {
    let guest = Guest::python(subject).await?;
    let script = "import os, sys; os.write(1, b'?'); sys.exit(len(sys.stdin.readline()))";
    let mut execution = guest.start(script, &[]).await?;
    let mut asked = [0; 1];
    let heard = timeout(Duration::from_secs(5), execution.stdout.read_exact(&mut asked)).await;
    ensure!(heard.is_ok(), "nothing was heard of a running command");
    execution.stdin.write_all(b"ok\n").await?;
    execution.stdin.flush().await?;
    let status = execution.process.wait().await?;
    ensure!(&asked == b"?" && status == ExitStatus::Exited(3), "the dialogue went otherwise: {asked:?}, {status:?}");
    guest.finish().await
}
