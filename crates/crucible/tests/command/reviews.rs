//! Programs that a policy holds, from the first run to the last: held, shown, decided about, waited for and run.

use crate::support::{Backend, Finished, Invocation, backends, crucible};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A machine with a policy that holds, and a folder for what is held.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clauses =
            "require = []\nunenforced_limits = 'record'\n[before]\nimports_forbidden = ['socket']\nimports = 'hold'\n";
        std::fs::write(folder.path().join("mine.toml"), clauses).unwrap();
        Self { folder }
    }

    fn reviews(&self) -> PathBuf {
        self.folder.path().join("reviews")
    }

    fn command(&self, line: &[&str]) -> Invocation {
        crucible(line).env("CRUCIBLE_REVIEW_FOLDER", self.reviews())
    }

    fn run(&self, backend: Backend, code: &str, more: &[&str]) -> Invocation {
        let policy = self.folder.path().join("mine.toml");
        let line = [&["run", "--policy", policy.to_str().unwrap(), "-c", code][..], more].concat();
        self.command(&line).backend(backend)
    }

    fn output(&self, line: &[&str]) -> Finished {
        self.command(line).output()
    }

    /// Holds a program, and gives its id.
    fn held(&self, backend: Backend, code: &str, more: &[&str]) -> String {
        let run = self.run(backend, code, &[more, &["--json"]].concat()).output();
        assert_eq!(run.code(), 76, "{}", run.stderr());
        run.json()["id"].as_str().unwrap().to_owned()
    }

    fn review_run(&self, backend: Backend, id: &str, more: &[&str]) -> Finished {
        let is_unsafe: &[&str] = if backend.flags.contains(&"--unsafe") { &["--unsafe"] } else { &[] };
        self.output(&[&["review", "run", id][..], is_unsafe, more].concat())
    }
}

const HELD: &str = "import socket\nimport sys\nprint('it ran', sys.stdin.read())";

#[test]
fn a_held_program_waits_for_approval_and_then_runs_once() {
    for backend in backends() {
        let bench = Bench::new();
        let run = bench.run(backend, HELD, &[]).output();
        assert_eq!((run.code(), run.stdout().as_str()), (76, ""));
        let line = run.stderr().lines().find(|line| line.starts_with("crucible: ")).unwrap().to_owned();
        assert!(
            line.contains("holds this program for review as 0") && line.contains("main.py:1: the import of socket"),
            "{line}"
        );
        assert!(run.stderr().contains("hint: `crucible review show 0"), "{}", run.stderr());

        let listed = bench.output(&["review", "list", "--json"]).json();
        let evaluation = &listed["evaluations"][0];
        let id = evaluation["id"].as_str().unwrap();
        assert!(line.contains(id));
        assert_eq!((&evaluation["state"], &evaluation["policy"]), (&"held".into(), &"mine".into()));
        assert_eq!(evaluation["admission"]["reasons"][0]["clause"], "before.imports_forbidden");
        let early = bench.review_run(backend, id, &[]);
        early.expect_failure(76, &["nobody has decided"]);

        let short = &id[id.len() - 12..];
        let approved = bench.output(&["review", "approve", short, "--reason", "it is a test", "--by", "ada"]);
        assert_eq!(approved.code(), 0);
        assert!(approved.stdout().contains("is approved by ada"), "{}", approved.stdout());
        bench.output(&["review", "reject", id, "--reason", "too late"]).expect_failure(77, &["ada has approved"]);

        let outcome = bench.review_run(backend, id, &["--json"]);
        assert_eq!(outcome.code(), 0, "{}", outcome.stderr());
        let outcome = outcome.json();
        assert_eq!((&outcome["id"], &outcome["stdout"]), (&id.into(), &"it ran \n".into()));
        let review = &outcome["admission"]["review"];
        assert_eq!(
            (&review["decision"], &review["by"], &review["reason"]),
            (&"approved".into(), &"ada".into(), &"it is a test".into())
        );
        assert_eq!(outcome["admission"]["decision"], "hold");
        bench.review_run(backend, id, &[]).expect_failure(77, &["has run already"]);
        assert_eq!(bench.output(&["review", "list", "--json"]).json()["evaluations"][0]["state"], "finished");
    }
}

#[test]
fn a_held_run_is_one_json_object_with_its_state() {
    let bench = Bench::new();
    for backend in backends() {
        let run = bench.run(backend, HELD, &["--json"]).output();
        assert_eq!(run.code(), 76);
        let json = run.json();
        assert_eq!((&json["state"], &json["outcome"], &json["failure"]), (&"held".into(), &Value::Null, &Value::Null));
        assert_eq!((&json["validity"], &json["attempt"]), (&Value::Null, &0.into()));
        assert_eq!(json["admission"]["decision"], "hold");
        assert!(json["node"].is_string() && json["labels"].is_object());
    }
}

#[test]
fn a_rejected_program_never_runs() {
    for backend in backends() {
        let bench = Bench::new();
        let id = bench.held(backend, HELD, &[]);
        let rejected = bench.output(&["review", "reject", &id, "--reason", "no", "--json"]).json();
        assert_eq!((&rejected["state"], &rejected["review"]["decision"]), (&"rejected".into(), &"rejected".into()));
        // Whoever runs the tests has a name.
        assert!(!rejected["review"]["by"].as_str().unwrap().is_empty());
        bench.review_run(backend, &id, &[]).expect_failure(77, &["has rejected", "no"]);
    }
}

#[test]
fn what_was_put_in_comes_along_and_the_exit_code_is_the_programs() {
    for backend in backends() {
        let bench = Bench::new();
        let (input, data) = (bench.folder.path().join("in.txt"), bench.folder.path().join("data.txt"));
        std::fs::write(&input, "from a file").unwrap();
        std::fs::write(&data, "data").unwrap();
        let code = "import socket\nimport os, sys\nopen('out.txt', 'w').write(sys.stdin.read() + open('data.txt').read() + os.environ['A'])\nsys.exit(7)";
        let flags = [
            "--stdin",
            input.to_str().unwrap(),
            "--file",
            data.to_str().unwrap(),
            "--env",
            "A=b",
            "--collect",
            "out.txt",
        ];
        let id = bench.held(backend, code, &flags);
        std::fs::remove_file(&input).unwrap();
        std::fs::remove_file(&data).unwrap();
        bench.output(&["review", "approve", &id, "--reason", "x"]);
        let out = bench.folder.path().join("out");
        let run = bench.review_run(backend, &id, &["--collect-to", out.to_str().unwrap()]);
        assert_eq!(run.code(), 7, "{}", run.stderr());
        assert_eq!(std::fs::read_to_string(out.join("out.txt")).unwrap(), "from a filedatab");
    }
}

#[test]
fn a_run_that_waits_goes_on_when_somebody_decides() {
    for backend in backends() {
        for (verb, code, expected) in [("approve", 0, "it ran input"), ("reject", 77, "")] {
            let bench = Bench::new();
            let mut running = bench.run(backend, HELD, &["--wait-for-review", "50s"]).start();
            let mut stdin = running.child.stdin.take().unwrap();
            std::io::Write::write_all(&mut stdin, b"input").unwrap();
            drop(stdin);
            let id = wait_for_id(&bench);
            assert_eq!(bench.output(&["review", verb, &id, "--reason", "because", "--by", "ada"]).code(), 0);
            let finished = running.finish();
            assert_eq!(finished.code(), code, "{}", finished.stderr());
            assert_eq!(finished.stdout().trim(), expected);
            if verb == "reject" {
                assert!(finished.stderr().contains("ada rejected this program: because"), "{}", finished.stderr());
            }
        }
    }
}

/// The id of the one program that is being held.
fn wait_for_id(bench: &Bench) -> String {
    let deadline = std::time::Instant::now() + crate::support::DEADLINE;
    loop {
        let listed = bench.output(&["review", "list", "--json"]).json();
        if let Some(id) = listed["evaluations"][0]["id"].as_str() {
            return id.to_owned();
        }
        assert!(std::time::Instant::now() < deadline, "nothing is held");
    }
}

#[test]
fn a_run_that_waits_leaves_its_program_held_however_the_waiting_ends() {
    for backend in backends() {
        let bench = Bench::new();
        let late = bench.run(backend, HELD, &["--wait-for-review", "10ms"]).output();
        assert_eq!(late.code(), 76);
        assert!(late.stderr().contains("nobody decided within 10ms"), "{}", late.stderr());
        let running = bench.run(backend, "import socket\nprint(2)", &["--wait-for-review", "1h"]).start();
        let deadline = std::time::Instant::now() + crate::support::DEADLINE;
        while bench.output(&["review", "list", "--json"]).json()["evaluations"].as_array().unwrap().len() < 2 {
            assert!(std::time::Instant::now() < deadline, "nothing is held");
        }
        running.signal(rustix::process::Signal::INT);
        assert_eq!(running.finish().code(), 130);
        let listed = bench.output(&["review", "list", "--json"]).json();
        let states: Vec<_> = listed["evaluations"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
        assert_eq!(states, ["held", "held"]);
    }
}

#[test]
fn a_program_is_shown_to_its_reviewer_without_steering_the_terminal() {
    let bench = Bench::new();
    for backend in backends() {
        let id = bench.held(backend, "import socket\nx = '\u{1b}[2J\u{202e}'\n", &["--env", "A=\u{9b}2J"]);
        let text = bench.output(&["review", "show", &id]).expect_success();
        for part in
            [&id, "before.imports_forbidden: main.py:1", "   1  import socket", "\u{fffd}[2J\u{fffd}", "A=\u{fffd}2J"]
        {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
        let json = bench.output(&["review", "show", &id, "--json"]).json();
        assert_eq!(json["program"]["code"], "import socket\nx = '\u{1b}[2J\u{202e}'\n");
        assert_eq!((&json["state"], &json["env"]["A"]), (&"held".into(), &"\u{9b}2J".into()));
    }
}

#[test]
fn an_id_that_is_nobodys_or_anybodys_is_an_error() {
    let bench = Bench::new();
    let Some(backend) = backends().pop() else { return };
    let empty = bench.output(&["review", "list"]).expect_success();
    assert_eq!(empty, "no program is held\n");
    bench.output(&["review", "show", "0"]).expect_failure(66, &["no held evaluation has an id", "hint: "]);
    let ids = [bench.held(backend, HELD, &[]), bench.held(backend, HELD, &[])];
    bench.output(&["review", "show", "0"]).expect_failure(65, &["could be any of 2", &ids[0]]);
    bench.output(&["review", "show", "01890a5d-ac96-774b-bcce-b302099a8057"]).expect_failure(66, &["no evaluation"]);
    bench.output(&["review", "approve", &ids[0], "--reason", " "]).expect_failure(65, &["a review needs a reason"]);
    bench.output(&["review", "approve", &ids[0]]).expect_failure(2, &["--reason"]);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_listed() {
    let bench = Bench::new();
    let Some(backend) = backends().pop() else { return };
    let id = bench.held(backend, HELD, &[]);
    std::fs::write(bench.reviews().join("notes"), "x").unwrap();
    let listed = bench.output(&["review", "list"]);
    assert_eq!(listed.code(), 0);
    assert!(listed.stdout().starts_with(&id) && listed.stderr().contains("warning: \"notes\""), "{}", listed.stderr());
    let mut text = String::new();
    std::fs::File::open(bench.reviews().join(&id).join("held.json")).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.contains("crucible.held.v1"));
    open_to_others(&bench.reviews());
    bench.output(&["review", "list"]).expect_failure(74, &["others may enter"]);
}

fn open_to_others(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
