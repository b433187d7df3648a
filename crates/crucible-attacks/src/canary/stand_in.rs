//! A process of the suite's own that stands in for a supervisor or for anybody else's program.

use super::{Sight, files};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// Waits for the end of its input, with a file open as descriptor 9. Dies of most signals.
const SCRIPT: &str = "exec 9<\"$1\"; echo ready; read -r line";

pub(super) struct StandIn {
    child: Child,
    pid: u32,
    /// It ends when this is closed.
    _leash: Option<ChildStdin>,
    /// What it is called.
    pub(super) name: String,
    pub(super) environment_secret: String,
    pub(super) line_secret: String,
    pub(super) file_secret: String,
}

/// A program that has no capability even as root, so that only the sandbox stands between it and a guest of its own user.
fn without_capabilities(program: &Path) -> Command {
    const SETPRIV: &str = "/usr/bin/setpriv";
    if !rustix::process::geteuid().is_root() || !Path::new(SETPRIV).exists() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--inh-caps", "-all", "--bounding-set", "-all", "--"]).arg(program);
    command
}

impl StandIn {
    pub(super) async fn start(base: &Path, nonce: &str) -> io::Result<Self> {
        let readable = files::folder(base, nonce, 0o755)?.join("open");
        let (environment_secret, line_secret, file_secret) = (crate::nonce()?, crate::nonce()?, crate::nonce()?);
        std::fs::write(&readable, &file_secret)?;
        // What a process is called is the last part of the path that it was started by.
        let name = crate::nonce()?.split_off(18);
        let program = readable.with_file_name(&name);
        std::os::unix::fs::symlink("/bin/sh", &program)?;
        let mut child = without_capabilities(&program)
            .args(["-c", SCRIPT, &line_secret])
            .arg(&readable)
            .env_clear()
            .env("STAND_IN_SECRET", &environment_secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let lost = || io::Error::other("the stand-in didn't start");
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or_else(lost)?).read_line(&mut line).await?;
        if line.trim() != "ready" {
            return Err(lost());
        }
        // Only the open descriptor leads to it now.
        std::fs::remove_file(&readable)?;
        std::fs::remove_file(&program)?;
        let pid = child.id().ok_or_else(lost)?;
        let leash = child.stdin.take();
        Ok(Self { child, pid, _leash: leash, name, environment_secret, line_secret, file_secret })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether anybody has done anything to it.
    pub(super) fn look(&mut self) -> Sight {
        match self.child.try_wait() {
            Ok(Some(status)) => {
                return Sight::Reached(match status.signal() {
                    Some(signal) => format!("the stand-in was ended by signal {signal}"),
                    None => "the stand-in ended".to_owned(),
                });
            }
            Ok(None) => {}
            Err(error) => return Sight::Unknown(format!("the stand-in can't be looked at: {}", error.kind())),
        }
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", self.pid)) else {
            return Sight::Unknown("the stand-in can't be looked at".to_owned());
        };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim);
        match (field("State:").chars().next(), field("TracerPid:")) {
            (Some('T' | 't'), _) => Sight::Reached("the stand-in was stopped".to_owned()),
            (_, "0") => Sight::Nothing("nothing was done to the stand-in".to_owned()),
            _ => Sight::Reached("the stand-in is traced".to_owned()),
        }
    }
}
