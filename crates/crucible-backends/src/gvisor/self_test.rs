//! gVisor is tested by making a sandbox and trying what must not work.

use super::GvisorBackend;
use crate::native;
use crate::users;
use crucible_core::{
    Backend, Check, Command, Error, ExitStatus, Limits, Policy, Readiness, Sandbox, SandboxId, SandboxRequest, SelfTest,
};
use tokio::io::AsyncReadExt;

/// Says which kernel it has, then tries to reach what it must not: a file of the host, a write to the root.
const SCRIPT: &str = "cat /proc/version; grep -E '^(CapEff|Seccomp):' /proc/self/status | tr -s '\\t\\n' '  '; \
    cat \"$CANARY\" 2>/dev/null; (: > /usr/crucible-self-test) 2>/dev/null && echo wrote-to-the-root; true";

pub(super) async fn run(backend: &GvisorBackend) -> SelfTest {
    let checks = match checks(backend).await {
        Ok(checks) => checks,
        Err(error) => {
            let mend = error.hint().unwrap_or_default().to_owned();
            vec![Check::new("a sandbox can be made and used", false.into(), error.to_string()).with_mend(mend)]
        }
    };
    let checks = checks.into_iter().chain(native::told_of_cold(backend.cold_languages())).collect();
    SelfTest { component: "gvisor".to_owned(), checks }
}

async fn checks(backend: &GvisorBackend) -> Result<Vec<Check>, Error> {
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: Limits::default(),
        policy: Policy::default(),
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
    let canary = tempfile::Builder::new().prefix("crucible-self-test").tempfile().ok();
    if let Some(canary) = &canary {
        let _written = std::fs::write(canary.path(), "canary").is_ok();
    }
    let path = canary.as_ref().map_or_else(|| "/etc/shadow".to_owned(), |canary| canary.path().display().to_string());
    let command = Command {
        argv: ["sh", "-c", SCRIPT].map(str::to_owned).to_vec(),
        env: [("CANARY".to_owned(), path)].into(),
        ..Command::default()
    };
    let mut execution = sandbox.exec(command).await?;
    drop(execution.stdin);
    let mut output = String::new();
    // Bounded, though our own script wrote it.
    let read = (&mut execution.stdout).take(4096).read_to_string(&mut output).await;
    let status = execution.process.wait().await?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let seen = output.trim().replace('\n', " ");
    let is_own_kernel = output.starts_with("Linux version ") && !output.contains(&release);
    let posture = sandbox.posture().await?;
    let differing: Vec<_> = posture.differences().map(|fact| format!("{}: {}", fact.name, fact.seen)).collect();
    let outside = match differing.as_slice() {
        [] => format!("{} facts", posture.facts.len()),
        differing => differing.join(", "),
    };
    Ok(vec![
        Check::new(
            "a command runs in a sandbox",
            (read.is_ok() && status == ExitStatus::Exited(0)).into(),
            format!("{status:?}"),
        ),
        Check::new("it has a kernel of its own", is_own_kernel.into(), seen.clone()),
        Check::new(
            "it has no capability and a system call filter",
            (output.contains("CapEff: 0000000000000000") && output.contains("Seccomp: 2")).into(),
            seen,
        ),
        Check::new(
            "a file of the host is hidden from it",
            (!output.contains("canary")).into(),
            "the canary wasn't read".to_owned(),
        ),
        Check::new(
            "it can't write outside its own folders",
            (!output.contains("wrote-to-the-root")).into(),
            "refused".to_owned(),
        ),
        Check::new("seen from outside, its kernel is confined as planned", posture.is_as_planned().into(), outside),
    ])
}
