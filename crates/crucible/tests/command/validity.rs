//! Whether a result is to be believed: tripwires, the sandbox seen from outside, and what runs the program in it.

use crate::support::{Running, backends, crucible};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read;

const TOUCH_ALL: &str = "
import os, socket
open('.aws/credentials').close()
print(os.environ['TOKEN'])
call = socket.socket(socket.AF_UNIX)
try: call.connect('/tmp/agent.sock')
except OSError: pass";

#[test]
fn tripwires_tell_what_was_touched_and_what_was_left_alone() {
    for backend in backends() {
        let jailed = backend.name == "jail";
        let mut arguments = vec!["run", "-c", TOUCH_ALL, "--json", "--tripwire", "credentials", "--tripwire", "file"];
        arguments.extend(["--tripwire", "environment=TOKEN"]);
        if jailed {
            arguments.extend(["--tripwire", "listener"]);
        }
        let outcome = crucible(&arguments).backend(backend).output().json();
        assert_eq!(outcome["status"], "exited", "{outcome}");
        assert_eq!((&outcome["validity"], &outcome["exit_code"]), (&"sabotage_suspected".into(), &0.into()));
        assert_eq!(outcome["validity_reasons"], serde_json::json!(["tripwire_touched"]));
        let tripwires = outcome["tripwires"].as_array().unwrap();
        let seen: Vec<_> =
            tripwires.iter().map(|wire| (wire["kind"].as_str().unwrap(), wire["how"].as_str())).collect();
        let all = [
            ("credentials", Some("opened")),
            ("file", None),
            ("environment", Some("secret_in_output")),
            ("listener", Some("called")),
        ];
        assert_eq!(seen, all[..seen.len()]);
        assert_eq!(seen.len(), if jailed { 4 } else { 3 });
        for wire in tripwires {
            assert_eq!(wire["touched"].as_bool(), Some(wire["first_at_ms"].is_f64()), "{wire}");
        }
    }
}

#[test]
fn an_honest_program_among_tripwires_is_valid_and_a_touch_is_told_to_a_person() {
    for backend in backends() {
        let arguments = ["run", "-c", "print(1)", "--json", "--tripwire", "credentials", "--tripwire", "environment"];
        let outcome = crucible(&arguments).backend(backend).output().json();
        assert_eq!((&outcome["validity"], &outcome["stdout"]), (&"valid".into(), &"1\n".into()));
        let arguments = ["run", "-c", "open('key').close()", "--tripwire", "file=key"];
        let run = crucible(&arguments).backend(backend).output();
        assert_eq!(run.code(), 0);
        assert!(run.stderr().contains("/work/key (opened after"), "{}", run.stderr());
        assert!(run.stderr().contains("sabotage is suspected"), "{}", run.stderr());
    }
}

#[test]
fn a_tripwire_that_makes_no_sense_is_refused_in_one_line() {
    for (wire, part) in [
        ("credential", "credentials, file, environment, listener"),
        ("file=/etc/passwd", "below /work or below /tmp"),
        ("listener=x", "directly below /tmp"),
        ("environment=A-B", "no name for an environment variable"),
    ] {
        crucible(&["run", "-c", "1", "--tripwire", wire]).output().expect_failure(2, &[part]);
    }
    let run = ["run", "-b", "subprocess", "--unsafe", "-c", "1", "--tripwire", "listener"];
    crucible(&run).output().expect_failure(77, &["listener"]);
}

#[test]
fn a_jail_is_on_record_as_seen_from_outside() {
    for backend in backends() {
        let outcome = crucible(&["run", "-c", "1", "--json"]).backend(backend).output().json();
        let posture = &outcome["evidence"]["posture"];
        for look in ["before", "after"] {
            assert_eq!(posture[look]["differing"], serde_json::json!([]), "{posture}");
            let planned = posture[look]["as_planned"].as_u64().unwrap();
            assert!(planned >= if backend.name == "jail" { 10 } else { 1 }, "{posture}");
        }
        assert!(outcome["timings"]["posture_ms"].as_f64().unwrap() >= 0.0);
    }
}

/// The children of a process.
fn children(parent: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap().flatten();
    let listed = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let listed: Vec<_> = listed.collect();
    listed.iter().flat_map(|list| list.split_ascii_whitespace()).map(|pid| pid.parse().unwrap()).collect()
}

/// A run whose program has started, with the processes of the launcher and of the sandbox's init.
fn started(backend: crate::support::Backend) -> (Running, i32, i32) {
    // It ends by nothing that is done to its streams meanwhile.
    let code = "import time; print('ready', flush=True); time.sleep(30)";
    let mut run = crucible(&["run", "-c", code]).backend(backend).start();
    let mut ready = [0; 6];
    run.child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let launcher = children(run.child.id().try_into().unwrap());
    assert_eq!(launcher.len(), 1);
    let init = children(launcher[0]);
    assert_eq!(init.len(), 1);
    (run, launcher[0], init[0])
}

fn kill(process: i32) {
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_program_whose_runner_was_killed_is_suspect() {
    for backend in backends() {
        // It is undumpable and another user's in a jail: only root can, from outside, what nobody can from inside.
        if backend.name == "jail" && !rustix::process::geteuid().is_root() {
            continue;
        }
        let (run, _, init) = started(backend);
        kill(init);
        let run = run.finish();
        assert_eq!(run.code(), 137, "{}", run.stderr());
        assert!(
            run.stderr().contains("what ran the program in its sandbox was ended; sabotage is suspected"),
            "{}",
            run.stderr()
        );
    }
}

#[test]
fn a_program_whose_launcher_was_killed_is_an_infrastructure_failure() {
    // A plain process lives on without it.
    let Some(backend) = backends().into_iter().find(|backend| backend.name == "jail") else { return };
    let (run, launcher, _) = started(backend);
    kill(launcher);
    let run = run.finish();
    assert_eq!(run.code(), 75, "{}", run.stderr());
    assert!(!run.stderr().contains("sabotage"), "{}", run.stderr());
}

#[test]
fn a_program_that_kills_what_runs_it_is_caught_where_nothing_keeps_it_from_that() {
    let Some(backend) = backends().into_iter().find(|backend| backend.name == "subprocess") else { return };
    let code = "import os, time; os.kill(os.getppid(), 9); time.sleep(30)";
    let outcome = crucible(&["run", "-c", code, "--json"]).backend(backend).output().json();
    assert_eq!((&outcome["status"], &outcome["signal"]), (&"signaled".into(), &serde_json::Value::Null));
    assert_eq!(outcome["validity"], "sabotage_suspected");
    assert_eq!(outcome["validity_reasons"], serde_json::json!(["runner_ended"]));
}
