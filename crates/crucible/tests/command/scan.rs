//! `crucible scan`: what it prints for real files in every format, and what it says to bad input.

use crate::support::{Finished, backends, crucible};
use serde_json::Value;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

/// Rules that no built-in one overlaps with, so that these tests know all that is found.
const RULES: &str = r#"
- id: python.mine.magic
  severity: high
  group: mine
  message: does magic
  does: does magic with {0}
  why: Magic can't be reviewed.
  references: { cwe: [78], attack: [T1059.004] }
  foreshadows: [process_started]
  match:
    call: my_module.magic
  tests:
    match: ["import my_module\nmy_module.magic()"]
    no_match: ["print('magic')"]

- id: python.mine.trick
  severity: low
  group: mine
  message: does a trick
  does: does a trick
  why: Tricks are worth knowing.
  match:
    call: my_module.trick
  tests:
    match: ["import my_module\nmy_module.trick()"]
    no_match: ["print('trick')"]
"#;

const PROGRAM: &str = "import my_module as m\nm.trick(1)\nif True:\n\tm.magic('日本', 2)\n";

/// A folder with the rules, and files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("rules/mine.yaml", RULES.as_bytes());
    for (name, content) in files {
        write(name, content);
    }
    folder
}

fn scan(folder: &Path, arguments: &[&str]) -> Finished {
    let arguments = [&["scan", "--rules", "rules"], arguments].concat();
    crucible(&arguments).directory(folder).output()
}

/// The findings of our own rules, as `file:line:column rule`.
fn own(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let own = findings.iter().filter(|finding| finding["group"] == "mine");
    own.map(|finding| {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        format!("{}:{}:{} {}", text("file"), finding["line"], finding["column"], text("rule"))
    })
    .collect()
}

#[test]
fn a_finding_is_shown_with_its_line_and_a_mark_under_it() {
    let folder = folder(&[("a.py", PROGRAM.as_bytes())]);
    assert_eq!(
        scan(folder.path(), &["a.py"]).expect_success(),
        "a.py:2:1: low python.mine.trick: does a trick\n\
         \x20 2 | m.trick(1)\n\
         \x20   | ^^^^^^^^^^\n\
         a.py:4:2: high python.mine.magic: does magic\n\
         \x20 4 |     m.magic('日本', 2)\n\
         \x20   |     ^^^^^^^^^^^^^^^^^^\n\
         2 findings (1 high, 1 low) in 1 of 1 file\n"
    );
}

#[test]
fn a_reason_and_references_are_given_on_demand() {
    let folder = folder(&[("a.py", PROGRAM.as_bytes())]);
    assert_eq!(
        scan(folder.path(), &["a.py", "--explain", "--severity", "high"]).expect_success(),
        "a.py:4:2: high python.mine.magic: does magic\n\
         \x20 4 |     m.magic('日本', 2)\n\
         \x20   |     ^^^^^^^^^^^^^^^^^^\n\
         \x20 = it: does magic with my_module.magic\n\
         \x20 = why: Magic can't be reviewed.\n\
         \x20 = see: CWE-78, T1059.004\n\
         \x20 = at run time: process_started\n\
         1 finding (1 high) in 1 of 1 file; 1 milder and not shown\n"
    );
}

#[test]
fn files_folders_and_standard_input_are_scanned_together_in_their_order() {
    let folder = folder(&[
        ("src/b.py", PROGRAM.as_bytes()),
        ("src/a/z.py", b"import my_module\nmy_module.magic()\n"),
        ("c.py", b"print(1)\n"),
        ("script", b"#!/usr/bin/env python3\nimport my_module\nmy_module.trick()\n"),
    ]);
    let arguments =
        ["scan", "c.py", "script", "-", "src", "--rules", "rules", "--language", "python", "--format", "json"];
    let report =
        crucible(&arguments).directory(folder.path()).stdin("import my_module\nmy_module.magic()\n").output().json();
    assert_eq!(
        own(&report),
        [
            "script:3:1 python.mine.trick",
            "<stdin>:2:1 python.mine.magic",
            "src/a/z.py:2:1 python.mine.magic",
            "src/b.py:2:1 python.mine.trick",
            "src/b.py:4:2 python.mine.magic",
        ]
    );
    let files: Vec<_> = report["files"].as_array().unwrap().iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["c.py", "script", "<stdin>", "src/a/z.py", "src/b.py"]);
}

#[test]
fn the_json_document_has_everything() {
    let folder = folder(&[("a.py", PROGRAM.as_bytes())]);
    let report = scan(folder.path(), &["a.py", "--format", "json"]).json();
    assert_eq!(report["version"], 1);
    assert_eq!(report["rules"]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(report["files"], serde_json::json!([{"file": "a.py", "bytes": PROGRAM.len()}]));
    assert_eq!(
        report["findings"][1],
        serde_json::json!({
            "rule": "python.mine.magic", "severity": "high", "line": 4, "message": "does magic", "group": "mine",
            "file": "a.py", "column": 2, "end_line": 4, "end_column": 18
        })
    );
    assert_eq!(report["imports"][0]["module"], "my_module");
    assert_eq!((&report["left_out"], &report["milder"]), (&Value::from(0), &Value::from(0)));
    let milder = scan(folder.path(), &["a.py", "--format", "json", "--severity", "high"]).json();
    assert_eq!((own(&milder).len(), &milder["milder"]), (1, &Value::from(1)));
}

#[test]
fn the_sarif_document_names_rules_places_and_what_was_not_looked_at() {
    let folder = folder(&[("src/a b.py", PROGRAM.as_bytes())]);
    symlink("..", folder.path().join("src/loop")).unwrap();
    let run = scan(folder.path(), &["src", "gone.py", "--format", "sarif"]);
    assert_eq!(run.code(), 66);
    let log = run.json();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let result = run["results"].as_array().unwrap().iter().find(|one| one["ruleId"] == "python.mine.magic").unwrap();
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "python.mine.magic");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "src/a%20b.py");
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&Value::from(4), &Value::from(2)));
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let uris: Vec<_> = invocation["toolExecutionNotifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|notice| {
            let place = &notice["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            (notice["level"].as_str().unwrap(), place.as_str().unwrap())
        })
        .collect();
    assert_eq!(uris, [("error", "gone.py"), ("note", "src/loop")]);
}

#[test]
fn a_fingerprint_stays_when_the_file_grows_above_it() {
    let longer = PROGRAM.replacen('\n', "\n\n\nprint(1)\n", 1);
    let folder = folder(&[("a.py", PROGRAM.as_bytes()), ("b.py", longer.as_bytes())]);
    let prints = |file: &str| {
        let log = scan(folder.path(), &[file, "--format", "sarif"]).json();
        let results = log["runs"][0]["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["partialFingerprints"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(prints("a.py"), prints("b.py"));
    assert_eq!(prints("a.py").len(), 2);
}

#[test]
fn the_exit_code_follows_what_is_found() {
    let folder = folder(&[("a.py", PROGRAM.as_bytes()), ("good.py", b"print(1)\n")]);
    for (arguments, code) in [
        (&["a.py"][..], 0),
        (&["a.py", "--fail-on", "critical"], 0),
        (&["a.py", "--fail-on", "high"], 1),
        // What isn't shown counts all the same.
        (&["a.py", "--fail-on", "low", "--severity", "critical"], 1),
        (&["good.py", "--fail-on", "info"], 0),
        (&["good.py", "gone.py", "--fail-on", "info"], 66),
        (&["a.py", "gone.py", "--fail-on", "high"], 1),
    ] {
        let run = scan(folder.path(), arguments);
        assert_eq!(run.code(), code, "{arguments:?}: {}", run.stderr());
    }
}

#[test]
fn what_can_not_be_read_is_said_and_the_rest_is_scanned() {
    let folder = folder(&[("a.py", PROGRAM.as_bytes())]);
    let run = scan(folder.path(), &["gone.py", "a.py", "--format", "json"]);
    assert_eq!(run.code(), 66);
    assert_eq!(run.stderr(), "error: there is no file 'gone.py'\n");
    let report = run.json();
    assert_eq!(own(&report).len(), 2);
    assert_eq!(report["failures"], serde_json::json!([{"file": "gone.py", "reason": "there is no file 'gone.py'"}]));
}

#[test]
fn links_and_loops_are_not_followed_and_are_said() {
    let folder = folder(&[("src/a.py", PROGRAM.as_bytes()), ("src/.git/config", b"x")]);
    symlink("..", folder.path().join("src/loop")).unwrap();
    symlink("loop", folder.path().join("src/self")).unwrap();
    let run = scan(folder.path(), &["src"]);
    assert_eq!(run.code(), 0);
    assert!(run.stdout().ends_with("2 findings (1 high, 1 low) in 1 of 1 file; 3 not looked at\n"), "{}", run.stdout());
    for part in ["'src/loop' is not looked at: it is a symbolic link", "'src/self' is", "'src/.git' is not looked at"] {
        assert!(run.stderr().contains(part), "{}", run.stderr());
    }
    // A link that a person names is what they mean.
    symlink("src/a.py", folder.path().join("named")).unwrap();
    assert_eq!(own(&scan(folder.path(), &["named", "-l", "python", "--format", "json"]).json()).len(), 2);
}

#[test]
fn bytes_invalid_text_and_huge_lines_are_scanned_in_moments() {
    let long = [&b"import my_module; x = '"[..], &b"a".repeat(10 << 20), b"'; my_module.magic()\n"].concat();
    let invalid = b"import my_module\nx = '\xff\xfe\xe6\x97'; my_module.magic()\n";
    let folder = folder(&[
        ("long.py", &long),
        ("invalid.py", invalid),
        ("program", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0"),
        ("empty.py", b""),
        ("nested.py", "(".repeat(100_000).as_bytes()),
    ]);
    let run = scan(folder.path(), &["long.py", "invalid.py", "program", "empty.py", "nested.py"]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let text = run.stdout();
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest < 200, "a line of {longest} characters");
    assert!(text.contains("invalid.py:2:12: high python.mine.magic"), "{text}");
    assert!(!text.contains('\0') && !text.contains('\u{7f}'));
}

#[test]
fn hostile_names_and_lines_steer_no_terminal() {
    let folder =
        folder(&[("a\u{1b}[2J\n.py", "import my_module\nmy_module.magic('\u{1b}]0;x\u{7}\u{202e}')\n".as_bytes())]);
    let text = scan(folder.path(), &["a\u{1b}[2J\n.py"]).expect_success();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    // Three lines for each finding, and the one that counts them.
    let findings = text.lines().filter(|line| line.contains(".py:")).count();
    assert!(findings > 0 && text.lines().count() == 3 * findings + 1, "{text:?}");
}

#[test]
fn a_mistake_on_the_command_line_is_one_error() {
    let folder = folder(&[("a.py", b"print(1)\n"), ("no-rules/readme.txt", b"x")]);
    let unknown_key = RULES.replacen("severity", "severty", 1);
    std::fs::create_dir(folder.path().join("wrong")).unwrap();
    std::fs::write(folder.path().join("wrong/wrong.yaml"), unknown_key).unwrap();
    for (arguments, code, parts) in [
        (&["scan"][..], 2, &["FILE|FOLDER|-"][..]),
        (&["scan", "a.py", "--fail-on", "bad"], 2, &["critical"]),
        (&["scan", "a.py", "--format", "xml"], 2, &["sarif"]),
        (&["scan", "a.py", "--language", "pyhton"], 66, &["unknown language", "did you mean 'python'?"]),
        (&["scan", "a.py", "--rules", "gone"], 66, &["there is no folder of rules 'gone'"]),
        (&["scan", "a.py", "--rules", "no-rules"], 65, &["the folder 'no-rules' holds no rules", "hint: "]),
        (&["scan", "a.py", "--rules", "wrong"], 65, &["wrong/wrong.yaml:", "python.mine.magic", "severty"]),
    ] {
        crucible(arguments).directory(folder.path()).output().expect_failure(code, parts);
    }
}

#[test]
fn the_configuration_adds_rules_to_every_scan() {
    let folder = folder(&[("a.py", PROGRAM.as_bytes())]);
    let rules = folder.path().join("rules");
    let scan = |configured: &str| {
        let arguments = ["scan", "a.py", "--format", "json"];
        crucible(&arguments).directory(folder.path()).configured(configured).output()
    };
    assert_eq!(own(&scan("").json()), [""; 0]);
    assert_eq!(own(&scan(&format!("[scan]\nrules = [{:?}]\n", rules.display().to_string())).json()).len(), 2);
    scan("[scan]\nrules = ['gone']\n").expect_failure(78, &["config.toml:2: scan.rules: there is no folder of rules"]);
    scan("[scan]\nrules = 'rules'\n").expect_failure(78, &["'scan.rules' must be a list"]);
}

#[test]
fn the_configuration_adds_rules_to_every_run() {
    let folder =
        folder(&[("my_module.py", b"def magic(*_): pass\ndef trick(*_): pass\n"), ("a.py", PROGRAM.as_bytes())]);
    let rules = folder.path().join("rules").display().to_string();
    for backend in backends() {
        let run = |configured: &str| {
            let arguments = ["run", "a.py", "--file", "my_module.py", "--json"];
            crucible(&arguments).backend(backend).directory(folder.path()).configured(configured).output()
        };
        let outcome = run(&format!("[scan]\nrules = [{rules:?}]\n")).json();
        assert_eq!((&outcome["status"], own(&outcome).len()), (&Value::from("exited"), 2), "{outcome}");
        run("[scan]\nrules = ['gone']\n").expect_failure(78, &["scan.rules: there is no folder of rules"]);
    }
}

#[test]
fn the_worked_example_of_the_documentation_works() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scanning.md")).unwrap();
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("\n```{language}\n")).unwrap();
        rest.split_once("\n```\n").unwrap().0.to_owned() + "\n"
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("my-rules")).unwrap();
    std::fs::write(folder.path().join("my-rules/tickets.yaml"), block("yaml")).unwrap();
    std::fs::write(folder.path().join("triage.py"), block("python")).unwrap();
    let run = |arguments: &[&str]| crucible(arguments).directory(folder.path()).output().expect_success();
    assert_eq!(run(&["rules", "test", "--rules", "my-rules"]), "ok: 1 rules, 4 samples\n");
    assert_eq!(run(&["scan", "triage.py", "--rules", "my-rules"]), block("text"));
}
