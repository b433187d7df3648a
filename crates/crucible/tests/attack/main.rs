//! `crucible attack` as a person meets it: the whole suite on every backend, and all that could make it lie.
//!
//! The whole suite runs once for all tests that look at it. Scenarios of the tests' own are as harmless as the suite's: they
//! touch what a suite made, inside its sandboxes and ranges, and end by themselves.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

mod backends;
mod bad_input;
mod forged;
mod report;
mod root_inside;
mod scenarios;
mod subprocess;
#[path = "../command/support.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod support;

use std::time::Duration;
use support::{Invocation, crucible};

/// No suite may take longer, on however busy a machine.
const DEADLINE: Duration = Duration::from_secs(300);

/// `crucible attack` with these arguments.
fn attack(arguments: &[&str]) -> Invocation {
    let all: Vec<&str> = ["attack"].iter().chain(arguments).copied().collect();
    let mut invocation = crucible(&all);
    invocation.deadline = DEADLINE;
    invocation
}

/// Whether the jail can be used here, which every suite needs. Where it can't, that is said; or it is a failure, if
/// `CRUCIBLE_REQUIRE` names it.
fn is_jail_usable() -> bool {
    support::backends().iter().any(|backend| backend.name == "jail")
}

#[test]
fn sandboxes_with_a_way_out_hold_what_others_hold() {
    if !is_jail_usable() {
        return;
    }
    let run = attack(&["--network", "allow:127.0.0.1:9", "--group", "network", "privilege", "--json"]).output();
    let report: serde_json::Value = run.json();
    let properties = report["suites"][0]["properties"].as_array().unwrap();
    assert!(properties.len() > 20, "{report:#}");
    let is_root = rustix::process::geteuid().is_root();
    for property in properties {
        let verdict = property["verdict"].as_str().unwrap();
        assert!(verdict != "breached" && (verdict != "inconclusive" || !is_root), "{property:#}\n{}", run.stderr());
    }
}
