//! Which platform gVisor's kernel runs on: found by making a sandbox on it, within a time bound, since one that hangs must
//! never be chosen. The answer is remembered for a program and a machine.

use super::GvisorConfig;
use super::bundle::{Home, Root};
use super::runsc::{self, RunBy, Runsc};
use super::sandbox;
use crate::runtime::{Cache, Stamp};
use crucible_core::{Error, ErrorKind, NetworkKind, Result, SandboxId, Users};
use crucible_jail::host::{Launcher, kernel_release};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// The platforms that need no device, the one that gVisor's makers prefer first.
const CANDIDATES: [&str; 2] = ["systrap", "ptrace"];
/// How long a sandbox may take that is made to see whether a platform works.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was found out about a program on a machine.
#[derive(Serialize, Deserialize)]
struct Remembered {
    version: String,
    digest: String,
    platform: String,
}

/// Finds out how `program` makes sandboxes here.
///
/// # Errors
/// `Unavailable` where it makes none on any platform, with what was wrong with each.
pub(super) async fn choose(
    launcher: &Launcher,
    config: &GvisorConfig,
    program: &Path,
    home: &Home,
    agent: &Path,
) -> Result<Runsc> {
    let owner = RunBy::this_process();
    let runsc = |Remembered { version, digest, platform }| {
        Ok(Runsc { program: runsc::text(program)?, version, digest, platform, owner })
    };
    let folder = runsc::folder_of(config.cache.as_ref());
    let key = key(config, program);
    if let Some(remembered) = folder.zip(key.as_ref()).and_then(|(folder, key)| Cache::open(folder).ok()?.read(key)) {
        return runsc(remembered);
    }
    let version = runsc::version(launcher, program).await?;
    let hashed = program.to_owned();
    let digest = tokio::task::spawn_blocking(move || runsc::digest(&hashed)).await;
    let digest = digest.map_err(std::io::Error::other).and_then(|digest| digest).map_err(|error| {
        let message = format!("{} can't be read", program.display());
        Error::new(ErrorKind::Unavailable, "fingerprint runsc", message).with_source(error)
    })?;
    let candidates = match &config.platform {
        Some(named) => vec![named.as_str()],
        None => CANDIDATES.to_vec(),
    };
    let mut wrong = Vec::new();
    for platform in candidates {
        let found = Remembered { version: version.clone(), digest: digest.clone(), platform: platform.to_owned() };
        let candidate = runsc(found)?;
        match tokio::time::timeout(PATIENCE, try_out(launcher, &candidate, home, agent)).await {
            Ok(Ok(())) => {
                if let (Some(folder), Some(key)) = (folder, key.as_ref())
                    && let Ok(cache) = Cache::open_or_create(folder)
                {
                    let found = Remembered { version, digest, platform: platform.to_owned() };
                    // A cache that can't be written costs time and nothing else.
                    let _ = cache.write(key, &found);
                }
                return Ok(candidate);
            }
            Ok(Err(error)) => wrong.push(format!("{platform}: {error}")),
            Err(_) => wrong.push(format!("{platform}: no sandbox stood within {} s", PATIENCE.as_secs())),
        }
    }
    let message = format!("gVisor makes no sandbox here ({})", wrong.join("; "));
    Err(Error::new(ErrorKind::Unavailable, "choose gVisor's platform", message)
        .with_hint("run it as root, allow user namespaces, or name a platform by gvisor.platform in the configuration"))
}

/// Makes a sandbox with nothing in it but the agent, and hears from it.
async fn try_out(launcher: &Launcher, runsc: &Runsc, home: &Home, agent: &Path) -> Result<()> {
    let folder = home.room()?;
    let root = Root::make(folder.path().join("root"), Users::Guest, None, agent)?;
    let made = sandbox::Machine::start(launcher, runsc, home, &root, None, SandboxId::generate()).await?;
    let greeted = made.greet(sandbox::beginning(1 << 20, 8, Users::Guest, NetworkKind::None)).await;
    let (machine, greeted) = match greeted {
        Ok((machine, agent)) => (machine, agent.usage().await.is_ok()),
        Err(error) => return Err(error),
    };
    machine.destroy().await?;
    if greeted { Ok(()) } else { Err(Error::new(ErrorKind::Unavailable, "try a platform", "its agent was lost")) }
}

/// Everything that the answer depends on.
fn key(config: &GvisorConfig, program: &Path) -> Option<String> {
    let stamp = Stamp::of(program)?;
    serde_json::to_string(&(
        "gvisor",
        program,
        stamp,
        &config.platform,
        kernel_release(),
        rustix::process::geteuid().as_raw(),
        crucible_agent::host::digest(),
    ))
    .ok()
}
