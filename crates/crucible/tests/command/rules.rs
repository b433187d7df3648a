//! `crucible rules`: the list, everything about one, and rules tried on their samples; and what `doctor` and `self-test` say.

use crate::support::{Finished, crucible};
use std::path::Path;
use tempfile::TempDir;

const RULE: &str = r#"
- id: bash.mine.magic
  severity: high
  group: mine
  message: does magic
  does: does magic
  why: Magic can't be reviewed.
  references: { cwe: [78], attack: [T1059.004], more: [a book about magic] }
  foreshadows: [process_started]
  match:
    command: abracadabra
  tests:
    match: ["abracadabra now"]
    no_match: ["echo abracadabra"]
"#;

/// A folder of rules with this file.
fn rules(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("rules")).unwrap();
    std::fs::write(folder.path().join("rules/mine.yaml"), text).unwrap();
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    let arguments = [&["rules"], arguments, &["--rules", "rules"]].concat();
    crucible(&arguments).directory(folder).output()
}

#[test]
fn rules_are_listed_by_group_language_and_severity() {
    let folder = rules(RULE);
    let text = run(folder.path(), &["list", "--group", "mine"]).expect_success();
    assert!(text.starts_with("bash.mine.magic  high      does magic\n1 of "), "{text}");
    let ids = |arguments: &[&str]| {
        let list = run(folder.path(), &[&["list", "--json"], arguments].concat()).json();
        let ids = list["rules"].as_array().unwrap().iter();
        ids.map(|rule| rule["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(ids(&[]).len() > ids(&["--language", "bash"]).len());
    assert!(ids(&["--language", "bash"]).contains(&"bash.mine.magic".to_owned()));
    assert!(!ids(&["--language", "python"]).contains(&"bash.mine.magic".to_owned()));
    assert!(ids(&["--severity", "high"]).contains(&"bash.mine.magic".to_owned()));
    assert!(!ids(&["--severity", "critical"]).contains(&"bash.mine.magic".to_owned()));
    let list = run(folder.path(), &["list", "--json", "--group", "mine"]).json();
    assert_eq!(
        list["rules"][0],
        serde_json::json!({
            "id": "bash.mine.magic", "severity": "high", "group": "mine", "message": "does magic", "does": "does magic",
            "why": "Magic can't be reviewed.",
            "references": {"cwe": [78], "attack": ["T1059.004"], "more": ["a book about magic"]},
            "languages": ["bash"], "foreshadows": ["process_started"]
        })
    );
    run(folder.path(), &["list", "--group", "mien"]).expect_failure(66, &["no group \"mien\"", "did you mean 'mine'?"]);
    run(folder.path(), &["list", "--language", "cobol"])
        .expect_failure(66, &["no language \"cobol\"", "known: python"]);
}

#[test]
fn a_rule_is_explained_whole() {
    let folder = rules(RULE);
    assert_eq!(
        run(folder.path(), &["explain", "bash.mine.magic"]).expect_success(),
        "bash.mine.magic\n  does magic\n\n\
         severity     high\n\
         group        mine\n\
         languages    bash\n\
         the program  does magic\n\
         at run time  process_started\n\
         see          CWE-78, T1059.004, a book about magic\n\n\
         why\n  Magic can't be reviewed.\n\n\
         finds something in\n  abracadabra now\n\n\
         finds nothing in\n  echo abracadabra\n"
    );
    run(folder.path(), &["explain", "bash.mine.magik"])
        .expect_failure(66, &["there is no rule \"bash.mine.magik\"", "did you mean 'bash.mine.magic'?"]);
    run(folder.path(), &["explain", "\u{1b}[2J"]).expect_failure(66, &["there is no rule", "crucible rules list"]);
}

#[test]
fn every_built_in_rule_can_be_explained() {
    let list = crucible(&["rules", "list", "--json"]).output().json();
    let rules = list["rules"].as_array().unwrap();
    assert!(!rules.is_empty());
    for rule in rules.iter().step_by(10) {
        let id = rule["id"].as_str().unwrap();
        assert!(crucible(&["rules", "explain", id]).output().expect_success().starts_with(&format!("{id}\n")));
    }
}

#[test]
fn the_built_in_rules_pass_their_own_samples() {
    let text = crucible(&["rules", "test"]).output().expect_success();
    assert!(text.starts_with("ok: "), "{text}");
}

#[test]
fn rules_are_tried_on_their_own_samples() {
    let folder = rules(RULE);
    assert_eq!(run(folder.path(), &["test"]).expect_success(), "ok: 1 rules, 2 samples\n");
    let wrong = RULE.replace("\"abracadabra now\"", "\"echo hello\", \"abracadabra\"").replace("echo abra", "abra");
    let folder = rules(&wrong);
    let failed = run(folder.path(), &["test"]);
    assert_eq!(failed.code(), 1, "{}", failed.stderr());
    assert_eq!(
        failed.stdout(),
        "FAILED  bash.mine.magic\n\
         \x20       finds nothing in sample 1 of `match`: echo hello\n\
         \x20       finds something at 1:1 in sample 1 of `no_match`: abracadabra\n\
         1 of 1 rules fail, 3 samples\n"
    );
    let folder = rules(&RULE[..RULE.find("  tests:").unwrap()]);
    let untested = run(folder.path(), &["test", "bash.mine.magic"]);
    assert_eq!(untested.code(), 1);
    assert!(untested.stdout().contains("no sample under `match` proves"), "{}", untested.stdout());
    run(folder.path(), &["test", "bash.mine.magik"]).expect_failure(66, &["did you mean 'bash.mine.magic'?"]);
}

#[test]
fn a_rule_that_can_not_be_used_is_named_with_file_line_and_id() {
    let place = "rules/mine.yaml:";
    for (from, to, parts) in [
        ("severity: high", "severity: high\n  colour: red", &["rules/mine.yaml:4:", "bash.mine.magic", "colour"][..]),
        ("severity: high", "severity: hihg", &["rules/mine.yaml:3:", "bash.mine.magic", "hihg"]),
        ("command: abracadabra", "text: '(abra'", &[place, "bash.mine.magic", "regex"]),
        ("command: abracadabra", "yara: 'rule x {'", &[place, "bash.mine.magic"]),
        ("command: abracadabra", "command: []", &[place, "bash.mine.magic"]),
        ("group: mine", "group: yours", &[place, "bash.mine.magic", "the id says that the group is 'mine'"]),
        ("T1059.004", "T59", &[place, "bash.mine.magic", "'T59'"]),
        ("- id: bash.mine.magic", "- id: [", &[place]),
    ] {
        assert!(RULE.contains(from), "{from}");
        let folder = rules(&RULE.replace(from, to));
        run(folder.path(), &["test"]).expect_failure(65, parts);
    }
    let folder = rules(&format!("{RULE}{RULE}"));
    run(folder.path(), &["test"]).expect_failure(65, &[place, "bash.mine.magic", "another rule of this id"]);
    let folder = rules("");
    std::fs::write(folder.path().join("rules/mine.yaml"), b"\xff\xfe").unwrap();
    run(folder.path(), &["test"]).expect_failure(65, &["mine.yaml is not UTF-8"]);
}

#[test]
fn the_doctor_tells_of_rules_and_of_how_runs_are_watched() {
    let folder = rules(RULE);
    let configured = format!("[scan]\nrules = [{:?}]\n", folder.path().join("rules").display().to_string());
    let built_in = crucible(&["rules", "list", "--json"]).output().json()["rules"].as_array().unwrap().len();
    let report = crucible(&["doctor", "--json"]).configured(&configured).output().json();
    assert_eq!(report["scanner"]["rules"]["count"], built_in + 1);
    for backend in report["backends"].as_array().unwrap() {
        let parts: Vec<_> = backend["monitoring"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(parts, ["files", "network", "processes", "resources", "system_calls"]);
    }
    let text = crucible(&["doctor"]).configured(&configured).output().stdout();
    assert!(text.contains("\n  watching\n") && text.contains(&format!("{} loaded", built_in + 1)), "{text}");
    let broken = crucible(&["doctor", "--json"]).configured("[scan]\nrules = ['gone']\n").output().json();
    assert!(broken["scanner"]["problem"]["message"].as_str().unwrap().contains("there is no folder of rules"));
}

#[test]
fn the_self_test_includes_the_scanner() {
    let report = crucible(&["self-test", "--json"]).output().json();
    let components = report["components"].as_array().unwrap();
    let scanner = components.iter().find(|component| component["component"] == "scanner").unwrap();
    assert_eq!(scanner["healthy"], true, "{scanner}");
}
