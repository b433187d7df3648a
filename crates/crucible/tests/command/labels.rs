//! Labels: runs are remembered, one that stands out is told with the reason, and the operator can look and forget.

use crate::support::{Backend, Finished, Invocation, backends, crucible, is_expected_warning};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Uses much more processor time than a shell does that only starts.
const BUSY: &str = "i=0; while ((i < 400000)); do ((i++)); done";

fn labelled(data: &Path, backend: Backend, code: &str, flags: &[&str]) -> Invocation {
    let arguments: Vec<&str> =
        ["run", "-l", "bash", "-c", code, "--label", "t/one"].iter().chain(flags).copied().collect();
    crucible(&arguments).backend(backend).env("XDG_DATA_HOME", data)
}

fn baseline(data: &Path, arguments: &[&str]) -> Finished {
    let all: Vec<&str> = ["baseline"].iter().chain(arguments).copied().collect();
    crucible(&all).env("XDG_DATA_HOME", data).output()
}

/// Eight ordinary runs.
fn eight(data: &Path, backend: Backend) {
    for earlier in 0..8 {
        let json = labelled(data, backend, "true", &["--json"]).output().json();
        let record = &json["baseline"];
        assert_eq!((&record["state"], &record["runs"]), (&"too_few".into(), &earlier.into()), "{record}");
        assert_eq!((&record["learnt"], json["anomalies"].as_array().unwrap().len()), (&true.into(), 0), "{json}");
    }
}

#[test]
fn a_run_that_uses_much_more_than_those_before_it_is_told_and_not_learnt_from() {
    for backend in backends() {
        let data = tempfile::tempdir().unwrap();
        eight(data.path(), backend);
        for _ in 0..2 {
            let json = labelled(data.path(), backend, BUSY, &["--json"]).output().json();
            let anomalies = json["anomalies"].as_array().unwrap();
            let cpu = anomalies.iter().find(|anomaly| anomaly["metric"] == "cpu_ms");
            let cpu = cpu.unwrap_or_else(|| panic!("nothing was told: {json}"));
            let message = cpu["message"].as_str().unwrap();
            assert!(message.contains("of processor time; the 8 earlier runs of 't/one' used "), "{message}");
            assert_eq!((&json["baseline"]["state"], &json["baseline"]["runs"]), (&"compared".into(), &8.into()));
            assert_eq!(json["baseline"]["not_learnt_because"], "it stands out");
            assert_eq!((&json["validity"], &json["status"]), (&"valid".into(), &"exited".into()));
        }
        let listed = baseline(data.path(), &["list"]).expect_success();
        assert!(listed.starts_with("t/one  8 runs, the latest 20"), "{listed}");
        let shown = baseline(data.path(), &["show", "t/one"]).expect_success();
        for part in [format!("on {}: 8 runs (8 succeeded)\n", backend.name).as_str(), "cpu_ms", "median", " ms"] {
            assert!(shown.contains(part), "{part:?} is not in {shown}");
        }
        let json = baseline(data.path(), &["show", "t/one", "--json"]).json();
        assert_eq!((&json["label"], &json["backends"][0]["runs"]), (&"t/one".into(), &8.into()));
        assert!(json["backends"][0]["metrics"][0]["median"].as_f64().is_some());
        assert_eq!(baseline(data.path(), &["forget", "t/one"]).expect_success(), "forgot 8 runs of 't/one'\n");
        assert_eq!(baseline(data.path(), &["list"]).expect_success(), "no runs with a label are remembered\n");
    }
}

#[test]
fn a_connection_that_no_earlier_run_tried_is_something_new() {
    for backend in backends() {
        let data = tempfile::tempdir().unwrap();
        let watched = labelled(data.path(), backend, "true", &["--json"]).output().json();
        if watched["monitoring"]["network"]["state"] != "events" {
            eprintln!("skipped for {}: {}", backend.name, watched["monitoring"]["network"]);
            continue;
        }
        for _ in 0..7 {
            labelled(data.path(), backend, "true", &[]).output().expect_success();
        }
        let code = "exec 3<>/dev/tcp/127.0.0.1/9 || true";
        let json = labelled(data.path(), backend, code, &["--json"]).output().json();
        let seen = json["behavior"].as_array().unwrap();
        let tried = seen.iter().find(|one| one["kind"] == "connection_refused").expect("nothing was seen");
        assert_eq!((&tried["name"], &tried["source"]), (&"127.0.0.1:9".into(), &"claimed".into()));
        let message = tried["message"].as_str().unwrap();
        assert!(message.contains("tried to connect to 127.0.0.1:9 ") && message.contains(", refused"), "{message}");
        let anomalies = json["anomalies"].as_array().unwrap();
        let new = anomalies.iter().find(|one| one["metric"] == "connection_refused").expect("nothing stands out");
        assert_eq!(new["runs"], 8, "{json}");
        assert!(new["message"].as_str().unwrap().starts_with("no earlier run with this label tried to connect (of 8)"));
    }
}

#[test]
fn a_report_goes_to_standard_error_and_holds_no_control_characters() {
    for backend in backends() {
        let data = tempfile::tempdir().unwrap();
        let code = "printf out; /bin/echo $'\\e[2J\\n\\u202e' > /dev/null; exit 3";
        let run = labelled(data.path(), backend, code, &["--report"]).output();
        assert_eq!((run.code(), run.stdout().as_str()), (3, "out"));
        let report = run.stderr();
        for part in [
            "crucible: report\n",
            "exited with code 3",
            "validity",
            "decision",
            "findings",
            "baseline",
            "watched",
            "network",
        ] {
            assert!(report.contains(part), "{part:?} is not in {report}");
        }
        assert!(!report.contains(['\u{1b}', '\u{202e}']), "{report:?}");
        let run = labelled(data.path(), backend, "printf out", &["--report", "--json"]).output();
        assert_eq!(run.json()["stdout"], "out");
        assert!(run.stderr().contains("crucible: report"));
    }
}

#[test]
fn a_label_alone_tells_nothing() {
    for backend in backends() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(labelled(data.path(), backend, "echo a", &[]).output().expect_success(), "a\n");
        let arguments = ["exec", "--label", "t/two", "--", "true"];
        crucible(&arguments).backend(backend).env("XDG_DATA_HOME", data.path()).output().expect_success();
        let json = baseline(data.path(), &["list", "--json"]).json();
        let labels: Vec<_> = json["labels"].as_array().unwrap().iter().map(|one| one["label"].clone()).collect();
        assert_eq!(labels, ["t/one", "t/two"]);
    }
}

#[test]
fn runs_at_the_same_time_are_all_remembered() {
    for backend in backends() {
        let data = tempfile::tempdir().unwrap();
        let started: Vec<_> = (0..6).map(|_| labelled(data.path(), backend, "true", &[]).start()).collect();
        for run in started {
            run.finish().expect_success();
        }
        let json = baseline(data.path(), &["list", "--json"]).json();
        assert_eq!((&json["labels"][0]["runs"], &json["labels"][0]["broken"]), (&6.into(), &0.into()));
    }
}

#[test]
fn a_store_that_can_not_be_used_changes_no_run_and_is_told() {
    for backend in backends() {
        let data = tempfile::tempdir().unwrap();
        labelled(data.path(), backend, "true", &[]).output().expect_success();
        let folder = data.path().join("crucible/baselines");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let run = labelled(data.path(), backend, "echo a; exit 7", &[]).output();
        assert_eq!((run.code(), run.stdout().as_str()), (7, "a\n"));
        let told: Vec<_> = run.stderr().lines().filter(|line| !is_expected_warning(line)).map(str::to_owned).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("warning: the run wasn't compared with earlier ones of 't/one': "), "{told:?}");
        let json = labelled(data.path(), backend, "true", &["--json"]).output().json();
        let record = &json["baseline"];
        assert_eq!((&record["state"], &record["learnt"]), (&"unavailable".into(), &false.into()), "{json}");
        assert!(record["reason"].as_str().unwrap().contains("others may enter"), "{record}");
        baseline(data.path(), &["list"]).expect_failure(69, &["others may enter", "hint:", "baselines"]);
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        let nobodys = crucible(&["run", "-l", "bash", "-c", "exit 7", "--label", "a", "--json"]).backend(backend);
        let run = nobodys.without_env("HOME").output();
        assert_eq!((run.code(), &run.json()["baseline"]["state"]), (7, &"unavailable".into()));
    }
}

#[test]
fn a_wrong_label_and_one_that_nobody_used_are_clear_errors() {
    let data = tempfile::tempdir().unwrap();
    for label in ["", "a b", "../x", "é", &"x".repeat(101)] {
        crucible(&["run", "-c", "1", "--label", label]).output().expect_failure(2, &["can't be a label"]);
    }
    baseline(data.path(), &["show", "t/one"]).expect_failure(66, &["no run with the label 't/one'", "hint:"]);
    baseline(data.path(), &["forget", "t/one"]).expect_failure(66, &["no run with the label 't/one'"]);
    baseline(data.path(), &["forget"]).expect_failure(2, &["LABEL"]);
    assert!(!data.path().join("crucible").exists(), "looking made something");
    assert_eq!(baseline(data.path(), &["list", "--json"]).json(), serde_json::json!({"labels": []}));
}
