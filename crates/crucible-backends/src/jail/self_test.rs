//! The jail tests itself by making a sandbox and trying what must not work.

use super::JailBackend;
use crate::native;
use crate::users;
use crucible_core::{
    Backend, Check, Command, Error, Limits, Policy, Readiness, Sandbox, SandboxId, SandboxRequest, SelfTest,
};
use tokio::io::AsyncReadExt;

/// Says its privileges, then tries to reach what it must not: a file of the host, a raw socket's file, a write to the root.
const SCRIPT: &str = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\\t\\n' '  '; \
    cat \"$CANARY\" 2>/dev/null; (: > /usr/crucible-self-test) 2>/dev/null && echo wrote-to-the-root; true";

pub(super) async fn run(backend: &JailBackend) -> SelfTest {
    let checks = match checks(backend).await {
        Ok(checks) => checks,
        Err(error) => {
            let mend = error.hint().unwrap_or_default().to_owned();
            vec![Check::new("a sandbox can be made and used", false.into(), error.to_string()).with_mend(mend)]
        }
    };
    let checks = checks.into_iter().chain(native::told_of_cold(backend.cold_languages())).collect();
    SelfTest { component: "jail".to_owned(), checks }
}

async fn checks(backend: &JailBackend) -> Result<Vec<Check>, Error> {
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
    let seen = output.trim().to_owned();
    let mut checks = vec![
        Check::new(
            "a command runs in a sandbox",
            (read.is_ok() && status == crucible_core::ExitStatus::Exited(0)).into(),
            format!("{status:?}"),
        ),
        Check::new(
            "it has no capability, no_new_privs and a system call filter",
            (output.contains("CapEff: 0000000000000000")
                && output.contains("NoNewPrivs: 1")
                && output.contains("Seccomp: 2"))
            .into(),
            seen.clone(),
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
    ];
    let posture = sandbox.posture().await?;
    let differing: Vec<_> = posture.differences().map(|fact| format!("{}: {}", fact.name, fact.seen)).collect();
    let hidden: Vec<_> = posture.not_visible().map(|fact| fact.name.as_ref()).collect();
    let seen = match (differing.as_slice(), hidden.as_slice()) {
        ([], []) => format!("{} facts", posture.facts.len()),
        ([], hidden) => {
            let seen = posture.facts.len() - hidden.len();
            format!("{seen} facts; this user can't see {}", hidden.join(", "))
        }
        (differing, _) => differing.join(", "),
    };
    checks.push(Check::new("seen from outside it is confined as planned", posture.is_as_planned().into(), seen));
    sandbox.end_processes().await?;
    checks.push(Check::new("all its processes can be ended", true.into(), "ended"));
    Ok(checks)
}
