//! Limits as the command line shows them: the exit code, the one line on standard error, the word in the JSON.

use crate::support::{backends, crucible};

#[test]
fn a_timeout_ends_the_program_with_124_and_one_line() {
    for backend in backends() {
        let run = crucible(&["run", "-l", "bash", "-c", "sleep 60", "--timeout", "200ms"]).backend(backend).output();
        assert_eq!(run.code(), 124);
        assert!(run.stderr().ends_with("crucible: the 200ms time limit was reached\n"), "{}", run.stderr());
        let run = crucible(&["run", "--json", "-l", "bash", "-c", "sleep 60", "--timeout", "200ms"])
            .backend(backend)
            .output();
        assert_eq!((run.code(), run.json()["status"].as_str()), (124, Some("timed_out")));
    }
}

#[test]
fn a_flood_of_output_ends_the_program_with_125_and_shows_what_was_allowed() {
    for backend in backends() {
        let run = crucible(&["run", "-l", "bash", "-c", "while :; do echo aaaaaaaaa; done", "--output", "1KiB"]);
        let run = run.backend(backend).output();
        assert_eq!(run.code(), 125);
        assert_eq!(run.output.stdout.len(), 1024);
        assert!(run.stderr().ends_with("crucible: the 1KiB output limit was reached\n"), "{}", run.stderr());
    }
}

#[test]
fn an_outcome_says_which_limit_ended_the_program() {
    for backend in backends() {
        let flood = ["run", "--json", "-l", "bash", "-c", "while :; do echo a >&2; done", "--output", "100B"];
        let outcome = crucible(&flood).backend(backend).output().json();
        assert_eq!((&outcome["status"], &outcome["limit"]), (&"limit_exceeded".into(), &"output".into()));
        assert_eq!((&outcome["stderr_truncated"], &outcome["stdout_truncated"]), (&true.into(), &false.into()));
    }
}

#[test]
fn limits_that_make_no_sense_are_refused_before_anything_runs() {
    for (flag, values) in [
        ("--timeout", &["0s", "10", "-1s", "99999999999999999999s", "1e9s", ""][..]),
        ("--cpu-time", &["0s", "2", "-5s"]),
        ("--cpus", &["0", "-1", "0.0001", "99999999", "many"]),
        ("--memory", &["0B", "1B", "256", "-1MiB", "99999999999TiB", "16777215TiB", "1.5", "∞"]),
        ("--pids", &["0", "-1", "4294967296", "1000000", "x"]),
        ("--disk", &["0B", "1", "-1MiB", "18446744073709551616B"]),
        ("--inodes", &["0", "-1", "18446744073709551616"]),
        ("--open-files", &["0", "-1", "99999999"]),
        ("--file-size", &["0B", "-1B", "lots"]),
        ("--output", &["-1B", "1024", "99TiB"]),
        ("--stack", &["0B", "1KiB", "-8MiB", "99TiB"]),
    ] {
        for value in values {
            let run = crucible(&["run", "-c", "print('it ran')", flag, value]).output();
            assert!(matches!(run.code(), 2 | 65), "{flag} {value}: {} {}", run.code(), run.stderr());
            run.expect_failure(run.code(), &[flag]);
        }
    }
}
