//! The backend tests itself by making a container and trying what must not work.

use super::DockerBackend;
use crate::native;
use crate::users;
use crucible_core::{
    Backend, Check, Command, Component, Error, ErrorKind, ExitStatus, Limits, Policy, Readiness, Sandbox, SandboxId,
    SandboxRequest, SelfTest,
};
use tokio::io::AsyncReadExt;

/// The most that is read of what a command prints.
const MOST_OUTPUT: u64 = 4096;

pub(super) async fn run(backend: &DockerBackend) -> SelfTest {
    let checks = match checks(backend).await {
        Ok(checks) => checks,
        // Without an image there is nothing to make a container of, and nothing wrong with the backend.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mend = error.hint().unwrap_or_default().to_owned();
            vec![Check::skipped("a sandbox can be made and used", error.to_string()).with_mend(mend)]
        }
        Err(error) => {
            let mend = error.hint().unwrap_or_default().to_owned();
            vec![Check::new("a sandbox can be made and used", false.into(), error.to_string()).with_mend(mend)]
        }
    };
    let checks = checks.into_iter().chain(native::told_of_cold(backend.cold_languages())).collect();
    SelfTest { component: backend.name().to_owned(), checks }
}

async fn checks(backend: &DockerBackend) -> Result<Vec<Check>, Error> {
    let language = backend.first_language_with_an_image().await?;
    let policy = Policy { require: [].into(), ..Policy::default() };
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: Some(language),
        limits: Limits::default(),
        policy,
        readiness: Readiness::Bare,
        project: None,
    };
    let sandbox = backend.create(request).await?;
    let result = look(sandbox.as_ref()).await;
    let destroyed = sandbox.destroy().await;
    let mut checks = result?;
    checks.push(Check::new(
        "a sandbox leaves nothing behind",
        destroyed.is_ok().into(),
        destroyed.map_or_else(|error| error.to_string(), |()| "removed".to_owned()),
    ));
    checks.push(users::check_root_inside(backend).await?);
    Ok(checks)
}

async fn look(sandbox: &dyn Sandbox) -> Result<Vec<Check>, Error> {
    let interpreter = sandbox.interpreter().unwrap_or_default().to_owned();
    let command = Command { argv: vec![interpreter, "--version".to_owned()], ..Command::default() };
    let mut execution = sandbox.exec(command).await?;
    drop(execution.stdin);
    let mut output = String::new();
    // Bounded, though our own command wrote it.
    let read = (&mut execution.stdout).take(MOST_OUTPUT).read_to_string(&mut output).await;
    let status = execution.process.wait().await?;
    let seen = output.lines().next().unwrap_or_default().to_owned();
    let has_run = read.is_ok() && status == ExitStatus::Exited(0);
    let mut checks = vec![Check::new("a command runs in a sandbox", has_run.into(), seen)];
    let posture = sandbox.posture().await?;
    let differing: Vec<_> = posture.differences().map(|fact| format!("{}: {}", fact.name, fact.seen)).collect();
    let hidden: Vec<_> = posture.not_visible().map(|fact| fact.name.as_ref()).collect();
    let seen = match (differing.as_slice(), hidden.as_slice()) {
        ([], []) => format!("{} facts", posture.facts.len()),
        ([], hidden) => format!("this user can't see {}", hidden.join(", ")),
        (differing, _) => differing.join(", "),
    };
    checks.push(Check::new("seen from outside it is confined as planned", posture.is_as_planned().into(), seen));
    sandbox.end_processes().await?;
    checks.push(Check::new("all its processes can be ended", true.into(), "ended"));
    Ok(checks)
}
