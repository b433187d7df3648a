//! Programs that behave: what goes in comes out, and the exit code is theirs.

use crate::support::{backends, crucible, in_shell};
use std::io::{BufRead, BufReader, Write};

#[test]
fn a_program_prints_what_it_prints_and_ends_with_its_own_code() {
    for backend in backends() {
        assert_eq!(crucible(&["run", "-c", "print(6 * 7)"]).backend(backend).output().expect_success(), "42\n");
        let code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)";
        let run = crucible(&["run", "-c", code]).backend(backend).output();
        assert_eq!((run.code(), run.stdout().as_str()), (3, "out\n"), "{}", run.stderr());
        assert!(run.stderr().ends_with("err\n"), "{}", run.stderr());
    }
}

#[test]
fn a_file_is_run_in_the_language_of_its_ending() {
    let folder = tempfile::tempdir().unwrap();
    for (name, code, printed) in [("a.py", "print(1)", "1\n"), ("b.sh", "echo $((1 + 1))", "2\n")] {
        let path = folder.path().join(name);
        std::fs::write(&path, code).unwrap();
        for backend in backends() {
            assert_eq!(
                crucible(&["run".as_ref(), path.as_os_str()]).backend(backend).output().expect_success(),
                printed
            );
        }
    }
}

#[test]
fn a_program_from_standard_input_has_none_of_its_own() {
    for backend in backends() {
        let code = "import sys; print(sys.stdin.read() == '')";
        assert_eq!(crucible(&["run", "-"]).backend(backend).stdin(code).output().expect_success(), "True\n");
    }
}

#[test]
fn standard_input_passes_through_or_comes_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    std::fs::write(&path, "from a file\n").unwrap();
    for backend in backends() {
        let run = crucible(&["run", "-l", "bash", "-c", "cat"]).backend(backend).stdin("hello\n");
        assert_eq!(run.output().expect_success(), "hello\n");
        let run = crucible(&["run", "-l", "bash", "-c", "cat", "--stdin", path.to_str().unwrap()]).backend(backend);
        assert_eq!(run.stdin("not this").output().expect_success(), "from a file\n");
        let large = vec![b'x'; 3 << 20];
        let run = crucible(&["run", "-l", "bash", "-c", "wc -c"]).backend(backend).stdin(large).output();
        assert_eq!(run.expect_success().trim(), (3 << 20).to_string());
    }
}

#[test]
fn a_conversation_is_live_in_both_directions() {
    for backend in backends() {
        let code = "echo ready; while read -r line; do echo \"heard $line\"; done; echo bye";
        let mut run = crucible(&["run", "-l", "bash", "-c", code]).backend(backend).start();
        let (mut stdin, stdout) = (run.child.stdin.take().unwrap(), run.child.stdout.take().unwrap());
        let mut lines = BufReader::new(stdout).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        for word in ["one", "two"] {
            writeln!(stdin, "{word}").unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), format!("heard {word}"));
        }
        drop(stdin);
        assert_eq!(lines.next().unwrap().unwrap(), "bye");
        assert_eq!(run.finish().code(), 0);
    }
}

#[test]
fn an_open_standard_input_that_nobody_writes_to_holds_nothing_up() {
    for backend in backends() {
        let mut run = crucible(&["run", "-l", "bash", "-c", "echo done"]).backend(backend).start();
        let kept_open = run.child.stdin.take();
        assert_eq!(run.finish().expect_success(), "done\n");
        drop(kept_open);
    }
}

#[test]
fn json_is_one_outcome_on_standard_output_and_nothing_else_is_there() {
    for backend in backends() {
        let code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)";
        let run = crucible(&["run", "--json", "-c", code]).backend(backend).output();
        let outcome = run.json();
        assert_eq!(run.code(), 3);
        assert_eq!(outcome["status"], "exited");
        assert_eq!(outcome["exit_code"], 3);
        assert_eq!(outcome["stdout"], "out\n");
        assert_eq!(outcome["stderr"], "err\n");
        assert_eq!(outcome["backend"], backend.name);
        assert_eq!(outcome["language"], "python");
        assert_eq!(run.stdout().lines().count(), 1);
    }
}

#[test]
fn a_command_runs_without_a_language() {
    for backend in backends() {
        let run = crucible(&["exec", "--", "printf", "%s-", "a", "-b"]).backend(backend).output();
        assert_eq!(run.expect_success(), "a--b-");
        let outcome = crucible(&["exec", "--json", "--", "false"]).backend(backend).output().json();
        assert_eq!((&outcome["language"], &outcome["exit_code"]), (&serde_json::Value::Null, &1.into()));
    }
}

#[test]
fn the_environment_is_what_was_given_and_nothing_of_ours() {
    for backend in backends() {
        let code = "echo \"$GIVEN|$PASSED|$SECRET\"";
        let run =
            crucible(&["run", "-l", "bash", "--env", "GIVEN=a b", "--env", "PASSED", "-c", code]).backend(backend);
        let run = run.env("PASSED", "yes").env("SECRET", "no").output();
        assert_eq!(run.expect_success(), "a b|yes|\n");
    }
}

#[test]
fn arguments_reach_the_program_as_they_are() {
    for backend in backends() {
        let code = "import sys; print(sys.argv[1:])";
        let run = crucible(&["run", "-c", code, "--", "--json", "-c", "", "é x"]).backend(backend).output();
        assert_eq!(run.expect_success(), "['--json', '-c', '', 'é x']\n");
    }
}

#[test]
fn signals_of_the_program_itself_show_in_the_exit_code() {
    for backend in backends() {
        let run = crucible(&["run", "-l", "bash", "-c", "kill -SEGV $$; sleep 1"]).backend(backend).output();
        assert_eq!(run.code(), 128 + 11, "{}", run.stderr());
    }
}

#[test]
fn closed_standard_streams_lose_neither_the_run_nor_its_exit_code() {
    for backend in backends() {
        for closed in [">&-", "<&-", "2>&-", "<&- >&- 2>&-"] {
            let script = format!("exec \"$@\" {closed}");
            let arguments: Vec<_> = ["run"].into_iter().chain(backend.flags.iter().copied()).collect();
            let arguments = [&arguments[..], &["-l", "bash", "-c", "cat; echo out; echo err >&2; exit 7"]].concat();
            assert_eq!(in_shell(&script, &arguments).output().code(), 7, "{closed} on {backend:?}");
        }
    }
}

#[test]
fn help_and_version_go_to_standard_output_and_teach_by_example() {
    assert!(crucible(&["--version"]).output().expect_success().starts_with("crucible "));
    for verb in ["run", "exec", "self-test", "doctor", "completions", "bench"] {
        let help = crucible(&[verb, "--help"]).output().expect_success();
        assert!(help.contains("Examples:") && help.contains(&format!("crucible {verb}")), "{help}");
        assert!(!help.contains('\u{1b}'));
    }
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(crucible(&["completions", shell]).output().expect_success().contains("self-test"), "{shell}");
    }
    crucible(&["completions", "tcsh"]).output().expect_failure(2, &["tcsh"]);
}
