//! The whole suite on the backends beside the jail: nothing is breached, and nothing stays open. And a container as it comes,
//! for comparison.

use crate::support::{Invocation, crucible};
use crate::{attack, is_jail_usable};
use serde_json::Value;
use std::path::Path;

/// With the tests' own daemon, if there is one, and a folder in which runtimes stay from one test run to the next.
fn equipped(invocation: Invocation) -> Invocation {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("attack");
    let invocation = invocation.env("XDG_DATA_HOME", data.join("data")).env("XDG_CACHE_HOME", data.join("cache"));
    match std::env::var("DOCKER_HOST") {
        Ok(host) => invocation.env("DOCKER_HOST", host),
        Err(_) => invocation,
    }
}

/// Whether a backend can be used once `verb` has made it ready. One that is required and can't be is a failure.
fn is_ready(name: &str, verb: &[&str]) -> bool {
    if !is_jail_usable() {
        return false;
    }
    let mut making = equipped(crucible(verb));
    making.deadline = crate::DEADLINE;
    let made = making.output();
    let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
    assert!(made.code() == 0 || !required.split(',').any(|required| required == name), "{}", made.stderr());
    if made.code() != 0 {
        eprintln!("skipped for {name}: {}", made.stderr());
    }
    made.code() == 0
}

fn with_verdict<'a>(suite: &'a Value, verdict: &str) -> Vec<&'a Value> {
    suite["properties"].as_array().unwrap().iter().filter(|property| property["verdict"] == verdict).collect()
}

/// Attacks a backend with everything. At least so many properties are there to be held. What only root can put in place or
/// count stays open for others.
fn holds_all(name: &str, at_least: usize) {
    holds_all_under("default", name, at_least);
}

/// The same under a policy.
fn holds_all_under(policy: &str, name: &str, at_least: usize) {
    let run = equipped(attack(&["-b", name, "--policy", policy, "--json"])).output();
    let is_root = rustix::process::geteuid().is_root();
    // A user without spare ids has no room in a range for one of these: then nothing is attacked.
    if !is_root && run.code() != 0 && run.stdout().is_empty() {
        eprintln!("skipped for {name}: {}", run.stderr());
        return;
    }
    let report = run.json();
    let suite = &report["suites"][0];
    assert_eq!(suite["backend"], name);
    for verdict in ["breached", "inconclusive"] {
        let bad = with_verdict(suite, verdict);
        assert!(bad.is_empty() || (verdict == "inconclusive" && !is_root), "{bad:#?}\n{}", run.stderr());
    }
    let held = with_verdict(suite, "held").len();
    assert!(held >= at_least, "only {held} were held");
    assert!(!is_root || (run.code(), &report["verdict"]) == (0, &"held".into()), "{}", run.stderr());
}

const IMPORT: [&str; 3] = ["image", "import-host", "python"];

#[test]
fn containers_hold_every_property() {
    if is_ready("docker", &IMPORT) {
        holds_all("docker", 70);
    }
}

#[test]
fn gvisor_holds_every_property() {
    if is_ready("gvisor", &["run", "-b", "gvisor", "-l", "bash", "-c", "true"]) {
        holds_all("gvisor", 40);
    }
}

#[test]
fn root_inside_a_container_reaches_nothing_outwards() {
    // Refused by name, with the mend, where the daemon maps no ids.
    if is_ready("docker-with-root", &IMPORT)
        && is_ready("docker-with-root", &["run", "-b", "docker", "--policy", "inspect", "-c", "pass"])
    {
        holds_all_under("inspect", "docker", 70);
    }
}

#[test]
fn root_inside_gvisor_reaches_nothing_outwards() {
    if is_ready("gvisor", &["run", "-b", "gvisor", "--policy", "inspect", "-l", "bash", "-c", "true"]) {
        holds_all_under("inspect", "gvisor", 40);
    }
}

#[test]
fn web_assembly_holds_every_property() {
    if is_ready("wasm", &["runtime", "install", "python-wasm"]) {
        holds_all("wasm", 36);
    }
}

#[test]
fn a_container_as_it_comes_stands_beside_and_holds_less() {
    if !is_ready("docker", &IMPORT) {
        return;
    }
    let run = equipped(attack(&["-b", "docker", "-b", "docker-stock", "--unsafe", "--group", "privilege", "--json"]));
    let report = run.output().json();
    let [hardened, stock] = [0, 1].map(|index| &report["suites"][index]);
    assert_eq!((&hardened["backend"], &stock["backend"]), (&"docker".into(), &"docker-stock".into()));
    assert!(with_verdict(hardened, "breached").is_empty(), "{hardened:#}");
    let breached: Vec<_> = with_verdict(stock, "breached").iter().map(|property| property["id"].clone()).collect();
    assert!(breached.contains(&"privilege.no_new_privs".into()), "{breached:?}");
}
