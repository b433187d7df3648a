//! Something else in the agent's place, in a real gVisor: what it says is told, and nothing is left.

use super::bundle::{Home, Root};
use super::runsc::Runsc;
use super::sandbox::{Machine, beginning};
use super::{GvisorConfig, bundle, platform, runsc};
use crate::native::system_language;
use crate::runtime;
use crucible_core::{ErrorKind, NetworkKind, SandboxId, Users};
use crucible_jail::host::{Launcher, descendants};
use crucible_jail::plan::Privilege;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// What sandboxes are made with; `None` where gVisor can't be used, which `CRUCIBLE_REQUIRE` may forbid.
async fn made_with() -> Option<(Launcher, Home, Runsc)> {
    let launcher = Launcher::start(Privilege::Bare, None).await.unwrap();
    let home = Home::make().unwrap();
    let agent = bundle::write_agent(home.path()).unwrap();
    let config = GvisorConfig::default();
    let chosen = match runsc::find(&config) {
        Ok(program) => platform::choose(&launcher, &config, &program, &home, &agent).await,
        Err(error) => Err(error),
    };
    match chosen {
        Ok(runsc) => Some((launcher, home, runsc)),
        Err(error) => {
            let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "gvisor"), "{error}");
            None
        }
    }
}

#[tokio::test]
async fn an_agent_that_says_something_else_is_told_for_what_it_says_and_leaves_nothing() {
    let Some((launcher, home, runsc)) = made_with().await else { return };
    let runtime = runtime::resolve(&system_language().unwrap(), None).unwrap();
    for (number, (says, expected)) in [
        ("printf 'crucible-agent\\003\\000\\377\\377\\377\\377'; exec sleep 1000", "a frame of 4294967295 bytes"),
        ("printf 'crucible-agent\\003\\000\\002\\000\\000\\000zz'; exec sleep 1000", "broke its word"),
        ("printf 'crucible-agent\\011\\000'; exec sleep 1000", "version 9"),
        ("echo 'I am no agent at all'; exec sleep 1000", "I am no agent at"),
        ("exit 0", "has ended"),
    ]
    .into_iter()
    .enumerate()
    {
        let agent = home.path().join(format!("agent-{number}"));
        std::fs::write(&agent, format!("#!/bin/sh\n{says}\n")).unwrap();
        std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o555)).unwrap();
        let root =
            Root::make(home.path().join(format!("root-{number}")), Users::Guest, Some(&runtime), &agent).unwrap();
        let began = Instant::now();
        let machine = Machine::start(&launcher, &runsc, &home, &root, None, SandboxId::generate()).await.unwrap();
        let error = machine.greet(beginning(1 << 20, 8, Users::Guest, NetworkKind::None)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Infrastructure, "{says}");
        assert!(error.to_string().contains(expected), "{says}: {error}");
        assert!(began.elapsed().as_secs() < 30, "{says}");
        let left = std::fs::read_dir(home.path()).unwrap().flatten();
        let left: Vec<_> = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("sandbox-")).collect();
        assert!(left.is_empty(), "{says}: {left:?}");
        // The dead remain for the moment until their launcher has waited for them.
        let launcher = i32::try_from(launcher.process_id()).unwrap();
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let living = descendants(launcher);
            if living.is_empty() {
                break;
            }
            assert!(Instant::now() < patience, "{says}: {living:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
