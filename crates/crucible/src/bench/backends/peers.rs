//! The tools that a person would use without Crucible: the command lines of Docker and of gVisor.
//!
//! Invariant: what is started here is ended here, by its own name, when it is dropped.

use super::report::Kind;
use super::{CODE, FLAGS, Languages, OUTPUT, failed};
use crucible::config::Configuration;
use crucible_core::{EvaluationId, Result};
use std::process::{Command, Stdio};

/// What holds a sandbox open that has no other program.
const WAIT: &str = "import time; time.sleep(100000)";

/// One way to do the same without Crucible.
pub(super) struct Peer {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) command: Vec<String>,
    pub(super) output: &'static [u8],
}

/// The ways that there are here.
#[derive(Default)]
pub(super) struct Peers {
    all: Vec<Peer>,
    /// Commands that end what was started for them.
    endings: Vec<Vec<String>>,
    folder: Option<tempfile::TempDir>,
}

impl Drop for Peers {
    fn drop(&mut self) {
        for command in &self.endings {
            let _ended = quietly(command).is_some();
        }
        self.folder.take();
    }
}

impl Peers {
    pub(super) fn all(&self) -> &[Peer] {
        &self.all
    }

    /// Finds them. What isn't here is told in `left_out`.
    pub(super) fn find(
        configuration: &Configuration,
        languages: &Languages,
        interpreter: &dyn Fn(&str) -> Option<String>,
        left_out: &mut Vec<(String, String)>,
    ) -> Self {
        let mut peers = Self::default();
        if let Err(why) = peers.docker(configuration, languages, interpreter("docker")) {
            left_out.push(("docker run, docker exec".to_owned(), why));
        }
        let host = interpreter("gvisor").or_else(|| interpreter("jail"));
        if let Err(why) = peers.gvisor(host) {
            left_out.push(("runsc do, runsc exec".to_owned(), why));
        }
        peers
    }

    fn add(&mut self, kind: Kind, name: &'static str, command: Vec<String>) {
        let output = if kind == Kind::Again { b"" } else { OUTPUT };
        self.all.push(Peer { kind, name, command, output });
    }

    fn docker(
        &mut self,
        configuration: &Configuration,
        languages: &Languages,
        interpreter: Option<String>,
    ) -> Result<(), String> {
        let interpreter = interpreter.ok_or("the docker backend isn't measured either")?;
        let mut docker = words(&["docker"]);
        docker.extend(configuration.docker_host().into_iter().flat_map(|host| ["-H".to_owned(), host]));
        let with = |more: &[&str]| docker.iter().cloned().chain(words(more)).collect::<Vec<_>>();
        let name = format!("crucible-bench-{}", EvaluationId::generate());
        let (image, image_of_programs) = (languages.python.image.as_str(), languages.shell.image.as_str());
        let mut cold = vec!["run", "--rm", "--network", "none"];
        // The same runtime as the backend's.
        let runtime = configuration.docker_runtime();
        if let Some(runtime) = &runtime {
            cold.extend(["--runtime", runtime]);
        }
        let (mut open, mut ready) = (cold.clone(), cold.clone());
        let program = [interpreter.as_str(), FLAGS[0], FLAGS[1], "-c", CODE];
        cold.push(image);
        cold.extend(program);
        open.extend(["-d", "--name", &name, image_of_programs, "sleep", "100000"]);
        let python = format!("{name}-python");
        ready.extend(["-d", "--name", &python, image, &interpreter, "-c", WAIT]);
        quietly(&with(&open)).ok_or("there is no docker command here that could make a container")?;
        self.endings.push(with(&["rm", "-f", &name]));
        self.add(Kind::Cold, "docker run --rm", with(&cold));
        self.add(Kind::Sustained, "docker run --rm", with(&cold));
        if quietly(&with(&ready)).is_some() {
            self.endings.push(with(&["rm", "-f", &python]));
            let exec: Vec<_> = ["exec", &python].into_iter().chain(program).collect();
            self.add(Kind::Warm, "docker exec", with(&exec));
        }
        let exec = with(&["exec", &name, "true"]);
        // An image may have no such program.
        if quietly(&exec).is_some() {
            self.add(Kind::Again, "docker exec", exec);
        }
        Ok(())
    }

    fn gvisor(&mut self, interpreter: Option<String>) -> Result<(), String> {
        let interpreter = interpreter.ok_or("no interpreter of this machine is known")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let root = folder.path().join("state").display().to_string();
        // A platform is named, because its own choice may not work on this machine.
        let base = ["runsc", "--root", &root, "--network=none", "--platform=systrap"];
        let with = |more: &[&str]| words(&base).into_iter().chain(words(more)).collect::<Vec<_>>();
        let bundle = folder.path().join("bundle");
        let text = serde_json::json!({
            "ociVersion": "1.0.0",
            "process": {
                "args": [interpreter, "-c", WAIT],
                "cwd": "/",
                "env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
                "user": { "uid": 0, "gid": 0 },
            },
            "root": { "path": "/", "readonly": true },
            "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "network" }] },
        });
        std::fs::create_dir(&bundle)
            .and_then(|()| std::fs::write(bundle.join("config.json"), text.to_string()))
            .map_err(|error| error.to_string())?;
        let cold = with(&["do", &interpreter, FLAGS[0], FLAGS[1], "-c", CODE]);
        if !is(&cold, OUTPUT) {
            return Err("runsc isn't here, or can't run with the platform systrap".to_owned());
        }
        self.add(Kind::Cold, "runsc do", cold.clone());
        self.add(Kind::Sustained, "runsc do", cold);
        let name = format!("crucible-bench-{}", EvaluationId::generate());
        let bundle = bundle.display().to_string();
        self.folder = Some(folder);
        quietly(&with(&["run", "--detach", "--bundle", &bundle, &name]))
            .ok_or("runsc could not open a sandbox for runsc exec")?;
        self.endings.push(with(&["delete", "--force", &name]));
        self.add(Kind::Again, "runsc exec", with(&["exec", &name, "/bin/true"]));
        self.add(Kind::Warm, "runsc exec", with(&["exec", &name, &interpreter, FLAGS[0], FLAGS[1], "-c", CODE]));
        Ok(())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether a command succeeds, without a word.
fn quietly(command: &[String]) -> Option<()> {
    let (program, arguments) = command.split_first()?;
    let status =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success()).then_some(())
}

/// Whether a command prints this.
fn is(command: &[String], output: &[u8]) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    done.is_ok_and(|done| done.status.success() && done.stdout == output)
}

/// Runs a tool once.
pub(super) async fn run(command: &[String], output: &[u8]) -> Result<()> {
    let (program, arguments) = command.split_first().ok_or_else(|| failed("measure", "there is no command"))?;
    let mut process = tokio::process::Command::new(program);
    let done = process
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|source| failed("measure", &format!("{program} can't be started")).with_source(source))?;
    if done.status.success() && done.stdout == output {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).lines().next().unwrap_or_default().to_owned();
    Err(failed("measure", &format!("{program} didn't do it: {} {said}", done.status)))
}
