//! Input that makes no sense: a clear answer or a true outcome each, never a hang, a panic or something lost.

use crate::support::{backends, crucible, in_shell};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;

#[test]
fn empty_code_runs_and_ends_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.py");
    File::create(&path).unwrap();
    for backend in backends() {
        assert_eq!(crucible(&["run", "-c", ""]).backend(backend).output().expect_success(), "");
        assert_eq!(crucible(&["run", "-"]).backend(backend).stdin("").output().expect_success(), "");
        assert_eq!(crucible(&["run".as_ref(), path.as_os_str()]).backend(backend).output().expect_success(), "");
    }
}

#[test]
fn more_code_than_fits_is_refused_without_being_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.py");
    File::create(&path).unwrap().set_len(100_000_000).unwrap();
    let run = crucible(&["run".as_ref(), path.as_os_str()]).output();
    run.expect_failure(65, &["larger than the disk limit of 64MiB", "hint: raise it with --disk"]);
    let run = crucible(&["run", path.to_str().unwrap(), "--file-size", "1MiB"]).output();
    run.expect_failure(65, &["larger than the file size limit of 1MiB"]);
    crucible(&["run", "/dev/zero"]).output().expect_failure(65, &["'/dev/zero' is larger"]);
    let run = crucible(&["run", "-", "--disk", "1MiB"]).stdin(vec![b'#'; 2 << 20]).output();
    run.expect_failure(65, &["the program on standard input is larger"]);
}

#[test]
fn code_of_many_megabytes_that_fits_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.sh");
    let mut code = b"echo it ran; exit 0\n".to_vec();
    code.resize(20_000_000, b'#');
    fs::write(&path, code).unwrap();
    for backend in backends() {
        assert_eq!(
            crucible(&["run".as_ref(), path.as_os_str()]).backend(backend).output().expect_success(),
            "it ran\n"
        );
    }
}

#[test]
fn nul_bytes_and_invalid_utf8_in_code_are_the_interpreters_matter() {
    let folder = tempfile::tempdir().unwrap();
    for (name, code) in [("nul.py", &b"print(1)\0\n"[..]), ("latin.py", b"print('\xff')\n"), ("both.py", b"\xff\0")] {
        let path = folder.path().join(name);
        fs::write(&path, code).unwrap();
        let plain = std::process::Command::new("python3").arg(&path).output().unwrap();
        for backend in backends() {
            let run = crucible(&["run".as_ref(), path.as_os_str()]).backend(backend).output();
            assert_eq!(
                (Some(run.code()), &run.output.stdout),
                (plain.status.code(), &plain.stdout),
                "{}",
                run.stderr()
            );
        }
    }
    let invalid = std::ffi::OsStr::from_bytes(b"echo '\xff'");
    for backend in backends() {
        let arguments = ["run".as_ref(), "-l".as_ref(), "bash".as_ref(), "-c".as_ref(), invalid];
        assert_eq!(crucible(&arguments).backend(backend).output().output.stdout, b"\xff\n");
    }
}

#[test]
fn invalid_utf8_in_output_is_exact_in_the_json() {
    for backend in backends() {
        let run = crucible(&["run", "--json", "-l", "bash", "-c", r"printf 'a\377b'"]).backend(backend).output();
        let outcome = run.json();
        assert_eq!((&outcome["stdout"], &outcome["stdout_base64"]), (&"a\u{fffd}b".into(), &"Yf9i".into()));
    }
}

#[test]
fn what_is_no_readable_file_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    crucible(&["run".as_ref(), folder.path().as_os_str()])
        .output()
        .expect_failure(65, &["is a folder", "hint: name a file"]);
    crucible(&["run", "/no/such.py"]).output().expect_failure(66, &["there is no file '/no/such.py'"]);
    crucible(&["run", "print(1)"]).output().expect_failure(66, &["hint: code on the command line follows -c"]);
    crucible(&["run", "/proc/self/mem"]).output().expect_failure(74, &["can't read", "caused by"]);
    crucible(&["run", ""]).output().expect_failure(66, &["there is no file ''"]);
    let long = "x".repeat(5000);
    crucible(&["run", &long]).output().expect_failure(74, &["caused by"]);
    crucible(&["run", "-c", "1", "--stdin", "/no/such"]).output().expect_failure(66, &["/no/such"]);
}

#[test]
fn a_named_pipe_is_read_like_a_file() {
    for backend in backends() {
        let script = "exec 3<<'END'\nprint('from a pipe')\nEND\n\"$@\" /dev/fd/3";
        let arguments = [&["run"][..], backend.flags].concat();
        assert_eq!(in_shell(script, &arguments).output().expect_success(), "from a pipe\n");
    }
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let run = |arguments: &[&str]| crucible(&[&["run", "-c", "print('it ran')"], arguments].concat()).output();
    run(&["-l", "pyhton"]).expect_failure(66, &["unknown language \"pyhton\"", "hint: did you mean 'python'?"]);
    run(&["-l", ""]).expect_failure(66, &["unknown language"]);
    run(&["-b", "jial"]).expect_failure(66, &["unknown backend \"jial\"", "hint: did you mean 'jail'?"]);
    run(&["-b", "quaternion"]).expect_failure(66, &["hint: in this build: jail, docker, gvisor, wasm, subprocess"]);
    run(&["--policy", "stritc"]).expect_failure(66, &["hint: did you mean 'strict'?"]);
    run(&["--policy", "./no/such.toml"]).expect_failure(66, &["./no/such.toml"]);
    run(&["--preset", "qiuck"]).expect_failure(66, &["hint: did you mean 'quick'?"]);
    run(&["--memroy", "1MiB"]).expect_failure(2, &["--memory"]);
    run(&["-b", "\u{1b}[31m"]).expect_failure(66, &["unknown backend"]);
    crucible(&["rnu"]).output().expect_failure(2, &["unrecognized subcommand 'rnu'", "hint: did you mean 'run'?"]);
    crucible(&["bench", "clod"]).output().expect_failure(66, &["hint: did you mean 'cold'?"]);
}

#[test]
fn a_benchmark_that_can_not_have_what_it_needs_says_what_to_do() {
    let run = crucible(&["bench", "cold", "--half", "development"]).output();
    run.expect_failure(65, &["no choice of --half", "hint: --half is for `crucible bench scan`"]);
    crucible(&["bench", "scan", "--half", "other"]).output().expect_failure(2, &["held-out"]);
    // As without a network: pip may ask no registry.
    let offline = |arguments: &[&str]| {
        let run = crucible(&[&["bench", "scan"], arguments].concat()).env("PIP_NO_INDEX", "1");
        run.env("PIP_CONFIG_FILE", "/dev/null").output()
    };
    let empty = tempfile::tempdir().unwrap();
    offline(&["--downloads", empty.path().to_str().unwrap()]).expect_failure(69, &["hint: "]);
    offline(&["--downloads", "/dev/null/folder"]).expect_failure(69, &["hint: "]);
    let run = crucible(&["bench", "scan"]).env("PATH", "/no/such/folder").output();
    run.expect_failure(66, &["hint: "]);
}

#[test]
fn a_backend_of_a_later_build_is_refused_as_such() {
    let run = crucible(&["run", "-c", "1", "-b", "microvm"]).output();
    run.expect_failure(77, &["the backend 'microvm' is not in this build yet", "hint: in this build: jail"]);
}

#[test]
fn a_runtime_that_is_not_installed_is_told_with_the_command_that_installs_it() {
    let empty = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| crucible(arguments).env("XDG_DATA_HOME", empty.path().to_str().unwrap()).output();
    run(&["run", "-c", "print('it ran')", "-b", "wasm"])
        .expect_failure(66, &["isn't installed", "hint: install it with: crucible runtime install python-wasm"]);
    run(&["run", "-c", "echo it ran", "-l", "bash", "-b", "wasm"])
        .expect_failure(66, &["can't run as WebAssembly", "hint: "]);
    run(&["runtime", "rm", "python-wasm"]).expect_failure(66, &["isn't installed"]);
    run(&["runtime", "install", "pyhton-wasm"]).expect_failure(66, &["hint: did you mean 'python-wasm'?"]);
    assert!(run(&["runtime", "list"]).stdout().contains("not installed"));
    let no_client = crucible(&["runtime", "install", "python-wasm"]).env("PATH", "/no/such/folder");
    no_client
        .env("XDG_DATA_HOME", empty.path().to_str().unwrap())
        .output()
        .expect_failure(69, &["npm isn't on this machine"]);
    assert_eq!(empty.path().read_dir().unwrap().count(), 0);
}

#[test]
fn what_isolates_nothing_needs_the_word() {
    let run = crucible(&["run", "-c", "print(1)", "-b", "subprocess"]).output();
    run.expect_failure(77, &["isolates nothing", "hint: add --unsafe"]);
    let run = crucible(&["run", "-c", "print(1)", "-b", "subprocess", "--unsafe"]).output();
    assert_eq!((run.code(), run.stdout().as_str()), (0, "1\n"));
    assert_eq!(run.stderr().lines().count(), 1);
    assert!(run.stderr().starts_with("warning: the subprocess backend isolates nothing"), "{}", run.stderr());
    let run = crucible(&["run", "-c", "print(1)", "-b", "subprocess", "--unsafe", "--json"]).output().json();
    assert_eq!(run["evidence"]["isolation"], "none");
    assert_eq!(run["evidence"]["policy"], "unisolated");
    let strict = ["run", "-c", "print(1)", "-b", "subprocess", "--unsafe", "--policy", "strict"];
    let run = crucible(&strict).output();
    assert_eq!((run.code(), run.stdout().as_str()), (77, ""), "{}", run.stderr());
}

#[test]
fn a_missing_interpreter_is_named_with_the_mend() {
    for backend in backends() {
        let run =
            crucible(&["run", "-l", "python", "-c", "1"]).backend(backend).env("PATH", "/no/such/folder").output();
        assert_eq!(run.code(), 66, "{}", run.stderr());
        assert!(run.stderr().contains("hint: "), "{}", run.stderr());
    }
}

#[test]
fn surroundings_that_are_missing_do_not_hinder_a_run() {
    let run = |backend| crucible(&["run", "-l", "bash", "-c", "echo ran"]).backend(backend);
    for backend in backends() {
        assert_eq!(run(backend).without_env("HOME").output().expect_success(), "ran\n");
        assert_eq!(run(backend).env("HOME", "/proc/no").output().expect_success(), "ran\n");
        assert_eq!(run(backend).env("XDG_CACHE_HOME", "/proc/no").output().expect_success(), "ran\n");
        let gone = [&["run"][..], backend.flags, &["-l", "bash", "-c", "echo ran"]].concat();
        let script = "folder=$(mktemp -d) && cd \"$folder\" && rmdir \"$folder\" && exec \"$@\"";
        assert_eq!(in_shell(script, &gone).output().expect_success(), "ran\n");
    }
}

#[test]
fn a_temporary_folder_that_can_not_be_written_is_an_answer_and_no_hang() {
    for backend in backends() {
        let run = crucible(&["run", "-l", "bash", "-c", "echo ran"]).backend(backend).env("TMPDIR", "/proc").output();
        match run.code() {
            0 => assert_eq!(run.stdout(), "ran\n"),
            code => run.expect_failure(code, &["/proc"]),
        }
    }
}

#[test]
fn environment_variables_that_can_not_be_are_refused() {
    crucible(&["run", "-c", "1", "--env", "NOT_SET_HERE"])
        .output()
        .expect_failure(65, &["NOT_SET_HERE", "hint: say NAME=VALUE"]);
    crucible(&["run", "-c", "1", "--env", "=x"]).output().expect_failure(65, &["names no environment variable"]);
}

#[test]
fn arguments_beyond_what_a_system_takes_are_refused() {
    for backend in backends() {
        let (start, large) = (["run", "-c", "1", "--stack", "1MiB", "--"], "x".repeat(100_000));
        let run = crucible(&[&start[..], &[large.as_str(); 10]].concat()).backend(backend).output();
        run.expect_failure(65, &["arguments and environment"]);
    }
}
