//! The whole suite on the jail, and all that is made of its result.

use crate::support::{Finished, crucible};
use crate::{attack, is_jail_usable};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The whole suite, which is run once, with what was done with its attestation.
struct Whole {
    code: i32,
    stdout: String,
    stderr: String,
    report: Value,
    junit: String,
    html: String,
    verified: String,
    /// What the JSON outcome of a run named before it, after it, and after it under another policy.
    named: [Value; 3],
}

/// Where the jail can be used.
fn whole() -> Option<&'static Whole> {
    static WHOLE: OnceLock<Option<Whole>> = OnceLock::new();
    WHOLE.get_or_init(|| is_jail_usable().then(run_whole)).as_ref()
}

fn run_whole() -> Whole {
    let data = tempfile::tempdir().unwrap();
    let other = data.path().join("other.toml");
    fs::write(&other, "require = [\"seccomp\"]\nunenforced_limits = \"record\"\n").unwrap();
    let other = other.to_str().unwrap().to_owned();
    let before = named(data.path(), &[]);
    let [junit, html] = ["report.xml", "report.html"].map(|name| data.path().join(name).to_str().unwrap().to_owned());
    let run = attack(&["--json", "--junit", &junit, "--html", &html]).env("XDG_DATA_HOME", data.path()).output();
    let report = run.json();
    let after = named(data.path(), &[]);
    let under_other = named(data.path(), &["--policy", &other]);
    let verified = verify(data.path(), &report["suites"][0]["attestation"]);
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let (junit, html) = (read(&junit), read(&html));
    let (code, stdout, stderr) = (run.code(), run.stdout(), run.stderr());
    Whole { code, stdout, stderr, report, junit, html, verified, named: [before, after, under_other] }
}

/// The attestation that a run names.
fn named(data: &Path, more: &[&str]) -> Value {
    let all = [&["run", "-b", "jail", "-l", "bash", "-c", "true", "--json"], more].concat();
    crucible(&all).env("XDG_DATA_HOME", data).output().json()["evidence"]["attestation"].clone()
}

/// Verifies the attestation with this id.
fn verify(data: &Path, id: &Value) -> String {
    let listed = crucible(&["attest", "list", "--json"]).env("XDG_DATA_HOME", data).output().json();
    let all = listed["attestations"].as_array().unwrap();
    let one = all.iter().find(|one| one["id"] == *id).unwrap_or_else(|| panic!("{id} is not in {listed:#}"));
    let file = one["path"].as_str().unwrap();
    crucible(&["attest", "verify", file]).env("XDG_DATA_HOME", data).output().expect_success()
}

fn properties(report: &Value) -> &[Value] {
    report["suites"][0]["properties"].as_array().unwrap()
}

#[test]
fn the_jail_holds_every_property() {
    let Some(whole) = whole() else { return };
    let bad: Vec<&Value> = properties(&whole.report)
        .iter()
        .filter(|property| !["held", "not_applicable"].contains(&property["verdict"].as_str().unwrap()))
        .collect();
    assert!(bad.is_empty(), "{bad:#?}\n{}", whole.stderr);
    assert_eq!((whole.code, &whole.report["verdict"]), (0, &"held".into()), "{}", whole.stderr);
}

#[test]
fn most_properties_are_looked_at_and_each_held_one_has_both_arms() {
    let Some(whole) = whole() else { return };
    let held: Vec<&Value> = properties(&whole.report).iter().filter(|property| property["verdict"] == "held").collect();
    assert!(held.len() >= 80, "only {} are held: {:#}", held.len(), whole.report["suites"][0]["counts"]);
    for property in held {
        let reach = |arm: &str| property[arm]["reach"].as_str();
        assert_eq!((reach("protected"), reach("control")), (Some("not_reached"), Some("reached")), "{property:#}");
    }
    for property in properties(&whole.report).iter().filter(|property| property["verdict"] == "not_applicable") {
        assert!(!property["reason"].as_str().unwrap().is_empty(), "{property:#}");
    }
}

#[test]
fn every_scenario_is_in_the_report_once() {
    let Some(whole) = whole() else { return };
    let listed = attack(&["--list"]).output().expect_success();
    let listed: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let reported: Vec<&str> =
        properties(&whole.report).iter().map(|property| property["id"].as_str().unwrap()).collect();
    assert_eq!(listed, reported);
    assert_eq!(reported.iter().collect::<BTreeSet<_>>().len(), reported.len());
    let counts = &whole.report["suites"][0]["counts"];
    let sum: u64 = counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(sum, reported.len() as u64);
}

#[test]
fn standard_output_is_one_document_and_nothing_is_said_beside_it() {
    let Some(whole) = whole() else { return };
    assert_eq!(whole.stdout.lines().count(), 1);
    assert_eq!(whole.report["format"], "crucible.attack.v1");
    let said: Vec<&str> = whole.stderr.lines().filter(|line| !crate::support::is_expected_warning(line)).collect();
    assert!(said.is_empty(), "{said:#?}");
}

#[test]
fn the_junit_report_is_well_formed_and_counts_the_same() {
    let Some(whole) = whole() else { return };
    let script = "
import sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.stdin.buffer.read())
cases = list(root.iter('testcase'))
print(len(cases), sum(len(list(root.iter(name))) for name in ('failure', 'error')), len(list(root.iter('skipped'))))
";
    let parsed = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut parser = match parsed {
        Ok(parser) => parser,
        Err(error) => return eprintln!("skipped: python3 isn't there to read it: {error}"),
    };
    std::io::Write::write_all(&mut parser.stdin.take().unwrap(), whole.junit.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", whole.junit);
    let all = properties(&whole.report);
    let skipped = all.iter().filter(|property| property["verdict"] == "not_applicable").count();
    let bad = all.len() - skipped - all.iter().filter(|property| property["verdict"] == "held").count();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{} {bad} {skipped}\n", all.len()));
}

#[test]
fn the_page_holds_every_property_and_needs_nothing_else() {
    let Some(whole) = whole() else { return };
    // Long names may be broken at the end of a line.
    let page = &whole.html.replace("<wbr>", "");
    assert!(page.trim_start().to_lowercase().starts_with("<!doctype html") && page.trim_end().ends_with("</html>"));
    for property in properties(&whole.report) {
        let (_, name) = property["id"].as_str().unwrap().split_once('.').unwrap();
        assert!(page.contains(name), "{name} is not in the page");
    }
    for loads in ["<script src", "<link ", "<img ", "<iframe", "@import", "url("] {
        assert!(!page.contains(loads), "the page loads something by {loads}");
    }
}

#[test]
fn the_whole_suite_is_attested_and_named_by_the_runs_that_it_covers_alone() {
    let Some(whole) = whole() else { return };
    let attestation = &whole.report["suites"][0]["attestation"];
    assert!(attestation.is_string(), "{attestation}: {}", whole.stderr);
    let [before, after, under_another_policy] = &whole.named;
    assert_eq!((before, after, under_another_policy), (&Value::Null, attestation, &Value::Null));
    let held = &whole.report["suites"][0]["counts"]["held"];
    for part in [format!("{held} held, 0 breached"), "jail".to_owned(), "policy default".to_owned()] {
        assert!(whole.verified.contains(&part), "{part:?} is not in {}", whole.verified);
    }
}

/// A part of the suite, with a folder for data of its own.
fn part(data: &Path, arguments: &[&str]) -> Finished {
    attack(arguments).env("XDG_DATA_HOME", data).output()
}

#[test]
fn a_part_of_the_suite_is_never_attested() {
    if !is_jail_usable() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    for arguments in [&["--only", "filesystem.host_path", "--json"][..], &["--group", "residue", "--json"]] {
        let run = part(data.path(), arguments);
        let report = run.json();
        assert_eq!((run.code(), &report["suites"][0]["attestation"]), (0, &Value::Null), "{report:#}");
        assert!(!data.path().join("crucible").exists(), "a key or an attestation was made");
    }
}

#[test]
fn the_table_fits_a_terminal_and_shows_both_arms() {
    if !is_jail_usable() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let shown = part(data.path(), &["--group", "leaks", "--controls"]);
    assert_eq!(shown.code(), 0, "{}", shown.stderr());
    let shown = shown.stdout();
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
    for part in ["leaks.environment", "held", "protected", "control", "not reached", "not attested"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "colours went into a pipe");
}

#[test]
fn a_report_that_can_not_be_written_is_a_failure() {
    if !is_jail_usable() {
        return;
    }
    let run = attack(&["--only", "filesystem.host_path", "--json", "--junit", "/nonexistent/report.xml"]).output();
    run.expect_failure(74, &["/nonexistent/report.xml"]);
}
