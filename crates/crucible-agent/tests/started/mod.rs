//! The agent's program as an ordinary process of this machine, for the tests that talk to it.

use std::process::Stdio;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Starts it. It is killed when the process is dropped.
pub(crate) fn start() -> (Child, ChildStdin, ChildStdout) {
    let mut process = Command::new(env!("CRUCIBLE_AGENT"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
    (process, input, output)
}
