//! `crucible policy`, and what a policy file does to a run.

use crate::support::{backends, crucible};
use std::path::{Path, PathBuf};

/// A policy file that any backend can fulfil.
fn policy(folder: &Path, clauses: &str) -> PathBuf {
    let path = folder.join("mine.toml");
    std::fs::write(&path, format!("require = []\nunenforced_limits = 'record'\n{clauses}")).unwrap();
    path
}

#[test]
fn the_built_in_policies_are_listed_and_shown_whole() {
    let listed = crucible(&["policy", "list", "--json"]).output().json();
    let policies = listed["policies"].as_array().unwrap();
    let names: Vec<_> = policies.iter().map(|policy| policy["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["default", "strict", "research", "inspect", "unisolated"]);
    assert_eq!((&policies[0]["in_force"], &policies[1]["in_force"]), (&true.into(), &false.into()));
    let text = crucible(&["policy", "list"]).env("CRUCIBLE_RUN_POLICY", "strict").output().expect_success();
    assert!(text.contains("\n* strict      every layer there is"), "{text}");
    for name in names {
        let shown = crucible(&["policy", "show", name]).output().expect_success();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.toml");
        std::fs::write(&path, &shown).unwrap();
        let again = crucible(&["policy", "show", path.to_str().unwrap()]).output().expect_success();
        assert_eq!(again, shown, "what is shown is a policy file that says the same");
    }
    let error = crucible(&["policy", "show", "stritc"]).output();
    error.expect_failure(66, &["hint: did you mean 'strict'?"]);
}

#[test]
fn a_sound_policy_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = policy(folder.path(), "[before]\nhold = 'high'\nunread = 'deny'\n[limits]\npids = 8\n");
    let text = crucible(&["policy", "check", path.to_str().unwrap()]).output().expect_success();
    for part in ["policy 'mine' is sound", "high or above holds it for review", "at most: pids 8"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let json = crucible(&["policy", "check", path.to_str().unwrap(), "--json"]).output().json();
    assert_eq!((&json["sound"], &json["name"]), (&true.into(), &"mine".into()));
    assert_eq!(json["policy_hash"].as_str().unwrap().len(), 64);
}

#[test]
fn every_mistake_in_a_policy_is_named_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    for (clauses, line, parts) in [
        ("[before]\nhodl = 'high'", 4, &["unknown setting 'before.hodl'", "hint: did you mean 'before.hold'?"][..]),
        ("[before]\nhold = 'hihg'", 4, &["unknown value \"hihg\"", "hint: did you mean 'high'?"]),
        ("[before]\ndeny_rules = ['no.such.rule']", 4, &["there is no rule 'no.such.rule'"]),
        ("[before]\nimports_allowed = ['os']\nimports_forbidden = ['os']", 4, &["'os' is allowed, but"]),
        ("[during]\nend_on = ['tripwire']", 4, &["unknown value \"tripwire\""]),
        ("[limits]\npids = 0", 4, &["pids of 0 is outside"]),
    ] {
        let path = policy(folder.path(), clauses);
        let path = path.to_str().unwrap();
        let place = format!("{path}:{line}: ");
        let parts = [&[place.as_str()], parts].concat();
        crucible(&["policy", "check", path]).output().expect_failure(78, &parts);
        crucible(&["run", "-c", "print('it ran')", "--policy", path]).output().expect_failure(78, &parts);
        let checked = crucible(&["policy", "check", path, "--json"]).output();
        assert_eq!((checked.code(), &checked.json()["sound"]), (78, &false.into()));
    }
    let path = policy(folder.path(), "[before]\ndeny = 'high'\nhold = 'critical'\n");
    let checked = crucible(&["policy", "check", path.to_str().unwrap()]).output();
    assert_eq!(checked.code(), 0);
    assert!(checked.stderr().contains("mine.toml:5: before.hold: nothing is held"), "{}", checked.stderr());
    crucible(&["policy", "check", "/no/such.toml"]).output().expect_failure(66, &["/no/such.toml"]);
}

#[test]
fn a_program_is_explained_without_being_run() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("prog\u{1b}[2J.py");
    std::fs::write(&program, "import json\nimport socket\nopen('ran', 'w')\n").unwrap();
    let explain = |clauses: &str, more: &[&str]| {
        let path = policy(folder.path(), clauses);
        let line = ["policy", "explain", "--policy", path.to_str().unwrap(), program.to_str().unwrap()];
        crucible(&[&line[..], more].concat()).directory(folder.path()).output()
    };
    for (clauses, code, verdict) in [
        ("[before]\nimports_forbidden = ['socket']", 77, "denied"),
        ("[before]\nimports_forbidden = ['socket']\nimports = 'hold'", 76, "held for review"),
        ("[before]\nimports_forbidden = ['os']", 0, "allowed"),
    ] {
        let explained = explain(clauses, &[]);
        let text = explained.stdout();
        assert_eq!(explained.code(), code, "{text}");
        assert!(text.starts_with(&format!("{verdict} by policy 'mine'\n")), "{text}");
        assert!(text.contains("backend: any that isolates, such as jail") && !text.contains('\u{1b}'), "{text}");
        let reason = text.lines().find(|line| line.contains("before.imports_forbidden: "));
        assert_eq!(reason.is_some(), code != 0);
        assert!(reason.is_none_or(|line| line.ends_with(".py:2: the import of socket is forbidden")), "{reason:?}");
    }
    let json = explain("[before]\nimports_forbidden = ['socket']", &["--json"]).json();
    assert_eq!((&json["decision"], &json["backend"]), (&"deny".into(), &"jail".into()));
    assert_eq!(json["reasons"][0]["clause"], "before.imports_forbidden");
    assert_eq!(json["imports"][1]["module"], "socket");
    assert!(!folder.path().join("ran").exists());
    crucible(&["policy", "explain", "/no/such.py"]).output().expect_failure(66, &["/no/such.py"]);
}

#[test]
fn a_denied_program_does_not_run_and_its_record_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = policy(folder.path(), "[before]\nimports_forbidden = ['socket']\n");
    for backend in backends() {
        let run = |more: &[&str]| {
            let line = ["run", "--policy", path.to_str().unwrap(), "-c", "import socket\nprint('it ran')"];
            crucible(&[&line[..], more].concat()).backend(backend).output()
        };
        let denied = run(&[]);
        assert_eq!((denied.code(), denied.stdout().as_str()), (77, ""));
        let expected = "policy 'mine' forbids this program: main.py:1: the import of socket is forbidden";
        assert!(denied.stderr().contains(expected), "{}", denied.stderr());
        let outcome = run(&["--json"]).json();
        assert_eq!((&outcome["status"], &outcome["validity"]), (&"denied".into(), &"valid".into()));
        assert_eq!(outcome["admission"]["decision"], "deny");
        assert_eq!(outcome["admission"]["reasons"][0]["clause"], "before.imports_forbidden");
        assert!(outcome["timings"]["scan_ms"].is_number());
    }
}

#[test]
fn a_policy_bounds_what_a_run_may_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = policy(folder.path(), "[limits]\ntimeout = '300ms'\n");
    for backend in backends() {
        let run = ["run", "-l", "bash", "-c", "sleep 60", "--timeout", "1h", "--policy", path.to_str().unwrap()];
        let run = crucible(&run).backend(backend).output();
        assert_eq!(run.code(), 124);
        assert!(run.stderr().contains("the 300ms time limit was reached"), "{}", run.stderr());
    }
}

#[test]
fn what_is_stronger_than_the_jail_is_chosen_where_the_policy_demands_it_and_only_then() {
    let usable = crucible(&["run", "-b", "gvisor", "-l", "bash", "-c", "true"]).output();
    let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
    assert!(usable.code() == 0 || !required.split(',').any(|name| name == "gvisor"), "{}", usable.stderr());
    if !backends().iter().any(|backend| backend.name == "jail") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = policy(folder.path(), "[before.least_isolation]\nlow = 'own_kernel'\n");
    let run = |code: &str, more: &[&str]| {
        crucible(&[&["run", "--policy", path.to_str().unwrap(), "-c", code], more].concat()).output()
    };
    let plain = run("print(6 * 7)", &["--json"]).json();
    assert_eq!((&plain["backend"], &plain["stdout"]), (&"jail".into(), &"42\n".into()));
    let noticed = "import os; print(os.system('exit 7') >> 8)";
    run(noticed, &["-b", "jail"]).expect_failure(77, &["demands the isolation own_kernel", "backend 'jail' gives"]);
    if usable.code() != 0 {
        let refused = run(noticed, &[]);
        refused.expect_failure(77, &["the backend gvisor can't be chosen here", "demands the isolation own_kernel"]);
        return;
    }
    let stronger = run(noticed, &["--json"]).json();
    assert_eq!((&stronger["backend"], &stronger["stdout"]), (&"gvisor".into(), &"7\n".into()), "{stronger:#}");
    let told = run(noticed, &[]);
    assert!(told.stderr().contains("demands more than the jail: it ran on the backend gvisor"), "{}", told.stderr());
    assert_eq!((told.code(), told.stdout().as_str()), (0, "7\n"));
}
