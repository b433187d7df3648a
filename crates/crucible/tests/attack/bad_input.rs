//! Scenarios and arguments that make no sense: one clear line, the right exit code, and nothing is started.

use crate::attack;
use std::fs;
use std::os::unix::ffi::OsStrExt;

const SOUND: &str = r#"[[scenario]]
id = "own.file"
statement = "A file can't be read"
expected = "hidden"
probe = { python = "probe.py" }
canary = { kind = "secret_file" }
control = ["mount_namespace"]
"#;

/// Attacks with a folder of these files. With `--list` nothing would be started in any case, and without it nothing may be:
/// a progress bar or a warning would be more than the line of error and its hint.
#[track_caller]
fn expect_refused(files: &[(&str, &[u8])], code: i32, parts: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    for more in [&["--json"][..], &["--list"], &["-b", "subprocess", "--unsafe"]] {
        let arguments = [&["--scenarios", folder.path().to_str().unwrap()], more].concat();
        let run = attack(&arguments).output();
        run.expect_failure(code, parts);
        let stderr = run.stderr();
        assert!(stderr.lines().count() <= 2, "{stderr}");
        assert!(stderr.chars().all(|letter| letter == '\n' || !letter.is_control()), "{stderr:?}");
    }
}

fn changed(from: &str, to: &str) -> Vec<u8> {
    assert!(SOUND.contains(from));
    SOUND.replace(from, to).into_bytes()
}

#[test]
fn a_folder_without_scenarios_is_not_found() {
    attack(&["--scenarios", "/nonexistent/scenarios"]).output().expect_failure(66, &["/nonexistent/scenarios"]);
    attack(&["--scenarios", "/dev/null"]).output().expect_failure(66, &["/dev/null"]);
    attack(&["--scenarios", ""]).output().expect_failure(2, &["--scenarios"]);
    expect_refused(&[], 66, &["there is no scenario in it"]);
    expect_refused(&[("own.txt", SOUND.as_bytes()), ("probe.py", b"")], 66, &["there is no scenario in it"]);
    expect_refused(&[("own.toml", b"scenario = []")], 66, &["there is no scenario in it"]);
}

#[test]
fn a_file_that_is_no_list_of_scenarios_is_named() {
    let nested = "a = ".to_owned() + &"[".repeat(500_000);
    let cases: [(&[u8], &str); 9] = [
        (b"", "scenario"),
        (b"[[scenario]", "own.toml"),
        (b"[[scenario]]\n", "missing field"),
        (b"scenario = 7", "own.toml"),
        (b"\0\0\0\0", "own.toml"),
        (b"\xff\xfe[[scenario]]", "UTF-8"),
        (b"[[scenario]]\nid = \"a\x1b[2J.b\"", "own.toml"),
        (nested.as_bytes(), "own.toml"),
        (b"other = 1", "unknown field"),
    ];
    for (content, part) in cases {
        expect_refused(&[("own.toml", content), ("probe.py", b"")], 78, &["own.toml", part]);
    }
}

#[test]
fn a_scenario_that_is_wrong_is_named_with_what_is_wrong() {
    let cases = [
        ("id =", "colour = \"red\"\nid =", "unknown field `colour`"),
        ("mount_namespace", "moat", "unknown variant `moat`"),
        ("secret_file", "treasure", "unknown variant `treasure`"),
        ("\"hidden\"", "\"perfect\"", "unknown variant `perfect`"),
        ("[\"mount_namespace\"]", "[]", "own.file: without a control arm nothing is proven"),
        ("control =", "limits = { patience = 1 }\ncontrol =", "there is no limit \"patience\""),
        ("control =", "limits = { memory = \"lots\" }\ncontrol =", "own.file: "),
        ("control =", "limits = { pids = -1 }\ncontrol =", "own.toml"),
        ("control =", "control_limits = { pids = \"many\" }\ncontrol =", "\"many\" is no number"),
        ("own.file", "Own File", "\"Own File\" isn't group.name"),
        ("own.file", "../../etc/passwd", "isn't group.name"),
        ("own.file", "own.\\u0000", "isn't group.name"),
        ("own.file", "own.\\u001b[2J", "isn't group.name"),
        ("A file can't be read", "", "statement"),
        ("python = \"probe.py\"", "native = \"no_such\"", "no native probe \"no_such\""),
        ("python = \"probe.py\"", "shell = \"probe.sh\"", "unknown variant `shell`"),
        ("\"probe.py\"", "\"nowhere.py\"", "own.file: there is no probe \"nowhere.py\""),
        ("\"probe.py\"", "\"\"", "there is no probe"),
        ("\"probe.py\"", "\".\"", "there is no probe"),
        ("\"probe.py\"", "\"..\"", "there is no probe"),
        ("\"probe.py\"", "\"../probe.py\"", "there is no probe"),
        ("\"probe.py\"", "\"./probe.py\"", "there is no probe"),
        ("\"probe.py\"", "\"/etc/hostname\"", "there is no probe"),
        ("\"probe.py\"", "\"probe.py\\u0000\"", "there is no probe"),
        ("\"probe.py\"", "\"large.py\"", "there is no probe"),
    ];
    let large = vec![b'#'; (1 << 20) + 1];
    for (from, to, part) in cases {
        let text = changed(from, to);
        expect_refused(&[("own.toml", &text), ("probe.py", b""), ("large.py", &large)], 78, &["own.toml", part]);
    }
}

#[test]
fn a_scenario_that_is_there_twice_is_refused() {
    let both: [(&str, &[u8]); 3] = [("a.toml", SOUND.as_bytes()), ("b.toml", SOUND.as_bytes()), ("probe.py", b"")];
    expect_refused(&both, 78, &["the scenario own.file is there twice"]);
}

#[test]
fn a_file_that_can_not_be_read_whole_is_refused_without_a_wait() {
    let mut large = SOUND.as_bytes().to_vec();
    large.resize(64 << 20, b'\n');
    expect_refused(&[("own.toml", &large), ("probe.py", b"")], 78, &["own.toml can't be read", "longer than 1MiB"]);
    for make in [
        (|path| fs::create_dir(path).unwrap()) as fn(&std::path::Path),
        |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        |path| std::os::unix::fs::symlink("/nonexistent", path).unwrap(),
        |path| {
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        },
    ] {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("own.toml"));
        let run = attack(&["--list", "--scenarios", folder.path().to_str().unwrap()]).output();
        run.expect_failure(78, &["own.toml can't be read"]);
    }
}

#[test]
fn names_of_files_can_not_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"a\x1b[2J\xff\n.toml")), "").unwrap();
    let run = attack(&["--list", "--scenarios", folder.path().to_str().unwrap()]).output();
    run.expect_failure(78, &[]);
    assert!(!run.stderr().contains('\u{1b}'), "{:?}", run.stderr());
}

#[test]
fn a_mistyped_name_gets_the_nearest_one() {
    let run = attack(&["--only", "filesystem.host_pth", "--json"]).output();
    run.expect_failure(66, &["\"filesystem.host_pth\"", "did you mean 'filesystem.host_path'?"]);
    let run = attack(&["--group", "netwrok", "--json"]).output();
    run.expect_failure(66, &["\"netwrok\"", "did you mean 'network'?"]);
    attack(&["--only", &"x".repeat(100_000)]).output().expect_failure(66, &["--list"]);
    attack(&["--only", "\u{1b}[2J"]).output().expect_failure(66, &["\\u{1b}[2J"]);
    attack(&["--backend", "jial"]).output().expect_failure(66, &["jail"]);
    assert_eq!(attack(&["--no-such-flag"]).output().code(), 2);
}

#[test]
fn the_list_names_every_scenario_and_starts_nothing() {
    let listed = attack(&["--list"]).output().expect_success();
    assert!(listed.lines().count() > 90, "{listed}");
    let one = attack(&["--list", "--only", "network.loopback"]).output().expect_success();
    assert!(one.starts_with("network.loopback ") && one.lines().count() == 1, "{one}");
}
