//! The whole suite on the jail with root inside: what an ordinary sandbox holds is held outwards, and what the policy gives up is
//! told by its name, with the reason, and not as held.

use crate::{attack, is_jail_usable};
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether there can be root inside here: a sandbox of that policy runs a program, or is refused by name.
fn has_root_inside() -> bool {
    if !is_jail_usable() {
        return false;
    }
    let run = crate::support::crucible(&["exec", "-b", "jail", "--policy", "inspect", "--", "id", "-u"]).output();
    if run.code() != 0 {
        assert!(run.stderr().contains("policy 'inspect' "), "{}", run.stderr());
        let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
        let is_root = rustix::process::geteuid().is_root();
        assert!(!is_root || !required.split(',').any(|name| name == "jail"), "{}", run.stderr());
        eprintln!("skipped: {}", run.stderr());
        return false;
    }
    assert_eq!(run.stdout(), "0\n");
    true
}

fn by_id(report: &Value) -> BTreeMap<&str, &Value> {
    let properties = report["suites"][0]["properties"].as_array().unwrap();
    properties.iter().map(|property| (property["id"].as_str().unwrap(), property)).collect()
}

#[test]
fn root_inside_reaches_nothing_outwards() {
    if !has_root_inside() {
        return;
    }
    let run = attack(&["--policy", "inspect", "--json"]).output();
    let report = run.json();
    let properties = by_id(&report);
    let is_root = rustix::process::geteuid().is_root();
    for property in properties.values() {
        let verdict = property["verdict"].as_str().unwrap();
        assert!(verdict != "breached" && (verdict != "inconclusive" || !is_root), "{property:#}\n{}", run.stderr());
    }
    // No property is told as held that says that there are no capabilities.
    for id in ["privilege.capabilities", "privilege.regain_capabilities"] {
        let property = properties[id];
        assert_eq!(property["verdict"], "not_applicable", "{property:#}");
        assert!(
            property["reason"].as_str().unwrap().contains("policy 'inspect' has root inside: chown"),
            "{property:#}"
        );
    }
    if is_root {
        for id in ["privilege.capabilities_of_root", "privilege.uid", "privilege.no_new_privs", "privilege.seccomp"] {
            assert_eq!(properties[id]["verdict"], "held", "{:#}", properties[id]);
        }
        let held = properties.values().filter(|property| property["verdict"] == "held").count();
        assert!(held >= 90, "only {held} were held");
        assert_eq!((run.code(), &report["verdict"]), (0, &"held".into()), "{}", run.stderr());
    }
}

#[test]
fn without_root_inside_its_own_property_says_nothing() {
    if !is_jail_usable() {
        return;
    }
    let run = attack(&["--only", "privilege.capabilities_of_root", "--json"]).output();
    let report = run.json();
    let property = by_id(&report)["privilege.capabilities_of_root"];
    assert_eq!(property["verdict"], "not_applicable");
    assert_eq!(property["reason"], "it is about policies with users = \"root\"");
}
