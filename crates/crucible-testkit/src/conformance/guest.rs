//! A sandbox for the behaviours, and short ways to run a program in it and hear all of it.

use super::stop::{Stop, ensure};
use super::suite::ConformanceSubject;
use crucible_core::{
    Command, Execution, ExitStatus, FileContent, GuestPath, Language, Limits, Readiness, Result, Sandbox, SandboxId,
    SandboxRequest,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// More than any probe writes.
const MOST_OUTPUT: u64 = 16 << 20;

/// What became of a command.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Ended {
    /// Standard output as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// All that a failed probe has to say.
    pub(super) fn story(&self) -> String {
        format!("{:?}, stdout {:?}, stderr {:?}", self.status, self.text(), String::from_utf8_lossy(&self.stderr))
    }

    /// A probe that did its work: exit code 0 and something told.
    pub(super) fn told(self) -> Result<String, Stop> {
        ensure!(self.status == ExitStatus::Exited(0) && !self.stdout.is_empty(), "the probe failed: {}", self.story());
        Ok(self.text())
    }
}

/// A sandbox with the way to its interpreter.
pub(super) struct Guest {
    pub(super) sandbox: Box<dyn Sandbox>,
    prefix: Vec<String>,
    /// What every program of the language finds in its environment, for one that waits with that.
    env: BTreeMap<String, String>,
    /// Whether an interpreter is to wait for scripts in files.
    waits: bool,
}

/// A path inside that is known to be good.
pub(super) fn path(text: &str) -> Result<GuestPath> {
    GuestPath::parse(text)
}

/// A name that no other test has.
pub(super) fn unique(name: &str) -> String {
    format!("{name}-{}", SandboxId::generate())
}

pub(super) async fn read_all(content: FileContent) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    content.bytes.take(MOST_OUTPUT).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

async fn hear(reader: Box<dyn AsyncRead + Send + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MOST_OUTPUT).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

impl Guest {
    async fn make(
        subject: &ConformanceSubject,
        language: &Arc<Language>,
        limits: Limits,
        flags: &[&str],
    ) -> Result<Self, Stop> {
        let waits = subject.readiness == Readiness::Interpreter && Arc::ptr_eq(language, &subject.python);
        let request = SandboxRequest {
            id: SandboxId::generate(),
            language: Some(Arc::clone(language)),
            limits,
            policy: subject.policy.clone(),
            readiness: if waits { Readiness::Interpreter } else { Readiness::Bare },
            project: None,
        };
        let sandbox = subject.backend.create(request).await?;
        let Some(interpreter) = sandbox.interpreter() else {
            return Err(Stop::Failed(format!("a sandbox for {} has no interpreter", language.title)));
        };
        let prefix = std::iter::once(interpreter).chain(flags.iter().copied()).map(str::to_owned).collect();
        Ok(Self { sandbox, prefix, env: language.env.clone(), waits })
    }

    /// Another sandbox with the same interpreter.
    pub(super) fn with(&self, sandbox: Box<dyn Sandbox>) -> Self {
        Self { sandbox, prefix: self.prefix.clone(), env: self.env.clone(), waits: self.waits }
    }

    /// A sandbox for Python.
    pub(super) async fn python(subject: &ConformanceSubject) -> Result<Self, Stop> {
        Self::python_with(subject, |_| {}).await
    }

    /// A sandbox for Python with other limits.
    pub(super) async fn python_with(
        subject: &ConformanceSubject,
        change: impl FnOnce(&mut Limits),
    ) -> Result<Self, Stop> {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::make(subject, &subject.python, limits, &["-I", "-S", "-B", "-c"]).await
    }

    /// A sandbox for the shell with other limits.
    pub(super) async fn shell_with(
        subject: &ConformanceSubject,
        change: impl FnOnce(&mut Limits),
    ) -> Result<Self, Stop> {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::make(subject, &subject.shell, limits, &["-c"]).await
    }

    /// The command that runs a script.
    pub(super) fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let script = script.to_owned();
        let arguments = arguments.iter().map(|&argument| argument.to_owned());
        let argv = self.prefix.iter().cloned().chain([script]).chain(arguments).collect();
        Command { argv, ..Command::default() }
    }

    /// Starts a script.
    pub(super) async fn start(&self, script: &str, arguments: &[&str]) -> Result<Execution, Stop> {
        Ok(self.sandbox.exec(self.as_it_comes(self.command(script, arguments)).await?).await?)
    }

    /// A command as it is, or with its script in a file where an interpreter waits that takes programs so.
    async fn as_it_comes(&self, command: Command) -> Result<Command, Stop> {
        // Several may be on their way at once, and each is read only once its interpreter goes on.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let script = command.argv.strip_prefix(self.prefix.as_slice()).and_then(<[String]>::split_first);
        match (script, self.prefix.split_last()) {
            (Some((script, arguments)), Some((_, flags)))
                if self.waits && self.sandbox.readiness() == Readiness::Interpreter =>
            {
                let file = format!("/tmp/conformance-{}.py", NEXT.fetch_add(1, Ordering::Relaxed));
                self.write(&file, script.as_bytes()).await?;
                let argv = flags.iter().cloned().chain([file]).chain(arguments.iter().cloned()).collect();
                let env = self.env.clone().into_iter().chain(command.env).collect();
                Ok(Command { argv, env, ..command })
            }
            _ => Ok(command),
        }
    }

    /// Runs a script to its end without input.
    pub(super) async fn run(&self, script: &str, arguments: &[&str]) -> Result<Ended, Stop> {
        self.run_command(self.command(script, arguments), &[]).await
    }

    /// Runs a command to its end.
    pub(super) async fn run_command(&self, command: Command, input: &[u8]) -> Result<Ended, Stop> {
        let Execution { mut stdin, stdout, stderr, mut process, readiness: _ } =
            self.sandbox.exec(self.as_it_comes(command).await?).await?;
        let feed = async move {
            // A guest may leave its input unread; what it read shows in its output.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
        };
        let ((), stdout, stderr) = tokio::join!(feed, hear(stdout), hear(stderr));
        let status = process.wait().await?;
        Ok(Ended { status, stdout: stdout?, stderr: stderr? })
    }

    /// Puts a file in.
    pub(super) async fn write(&self, name: &str, mut content: &[u8]) -> Result<(), Stop> {
        Ok(self.sandbox.write_file(&path(name)?, &mut content, false).await?)
    }

    /// Reads a file's bytes.
    pub(super) async fn read(&self, name: &str) -> Result<Vec<u8>, Stop> {
        read_all(self.sandbox.read_file(&path(name)?).await?).await
    }

    /// Destroys the sandbox.
    pub(super) async fn finish(self) -> Result<(), Stop> {
        Ok(self.sandbox.destroy().await?)
    }
}
