//! Stand-ins that are absent, hang, fail, flood or answer with rubbish: a clear error each, in bounded time.

use super::*;
use crucible_core::ErrorKind;
use std::time::Instant;

/// A language `fake` whose probe has no arguments of meaning.
fn fake() -> Language {
    let mut fake = language("python");
    fake.title = "Fake".to_owned();
    fake.interpreters = vec!["fake".to_owned()];
    fake.probe = vec!["--what".to_owned()];
    fake
}

/// What comes of a stand-in with this text.
fn answered_by(content: &str) -> Result<Runtime> {
    let folder = tempfile::tempdir().unwrap();
    script(&folder.path().join("fake"), content);
    let mut resolver = resolver(surroundings(&[folder.path(), Path::new("/usr/bin"), Path::new("/bin")]), None);
    resolver.patience = Duration::from_millis(500);
    resolver.resolve(&fake())
}

#[test]
fn an_absent_interpreter_is_named_with_the_places_and_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("python3")).unwrap();
    fs::write(folder.path().join("python"), "not executable").unwrap();
    let error = resolve_in(&[folder.path(), Path::new("relative")], &language("python")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let expected =
        format!("Python isn't on this machine: no python3 or python; looked in PATH ({})", folder.path().display());
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().unwrap().contains("apt install python3"));
}

#[test]
fn an_interpreter_in_the_current_folder_is_never_taken() {
    let folder = tempfile::tempdir().unwrap();
    script(&folder.path().join("fake"), "#!/bin/sh\nexit 0\n");
    for path in ["", ".", "folder"] {
        let mut around = surroundings(&[Path::new(path)]);
        around.directory = Some(folder.path().to_owned());
        let error = resolver(around, None).resolve(&fake()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path:?}");
    }
}

#[test]
fn a_hanging_stand_in_is_ended_in_time_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let started = Instant::now();
    let error = answered_by(&format!("#!/bin/sh\nsleep 600 & echo $! > {}\nwait\n", pid.display())).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().ends_with("/fake didn't answer within 0.5 s"), "{error}");
    let sleeper = fs::read_to_string(pid).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    let lives = || match fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())) {
        Ok(stat) => !stat.contains(") Z "),
        Err(_) => false,
    };
    while lives() {
        assert!(Instant::now() < deadline, "the sleeper still lives");
        std::thread::yield_now();
    }
}

#[test]
fn a_stand_in_that_leaves_something_running_is_not_waited_for() {
    let started = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    script(&folder.path().join("fake"), "#!/bin/sh\nsleep 5 &\nreadlink -f /bin/sh\n");
    let runtime = resolve_in(&[folder.path(), Path::new("/usr/bin"), Path::new("/bin")], &fake()).unwrap();
    assert!(runtime.interpreter.is_some());
    assert!(started.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_failing_stand_in_is_quoted() {
    let error = answered_by(
        "#!/bin/sh\necho >&2; printf 'fake: version 9 is\\033[31m not installed\\nmore\\n' >&2; exit 127\n",
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().ends_with("it ended with exit code 127: fake: version 9 is[31m not installed"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("--version"));
    let error = answered_by("#!/bin/sh\nkill -SEGV $$\n").unwrap_err();
    assert!(error.to_string().ends_with("it ended with signal 11"), "{error}");
    let error = answered_by("#!/nowhere/at/all\n").unwrap_err();
    assert!(error.to_string().ends_with("/fake can't be run"), "{error}");
}

#[test]
fn rubbish_is_refused() {
    for (answer, complaint) in [
        ("true", "nothing"),
        ("echo hello world", "a line that isn't an absolute path: \"hello world\""),
        ("readlink -f /bin/sh; echo ../../etc", "a line that isn't an absolute path"),
        ("readlink -f /bin/sh; printf '/etc\\001\\n'", "a line that isn't an absolute path"),
        ("echo version 1; echo /nowhere/at/all", "an executable that isn't there: /nowhere/at/all"),
        ("echo $0", "an executable that is itself a script"),
        ("printf '/\\377\\n'", "something that isn't UTF-8"),
        ("yes /etc", "didn't answer within"),
        ("yes /etc | head -300", "more than a list of paths"),
        ("head -c 1000000 /dev/zero | tr '\\0' a", "more than a list of paths"),
    ] {
        let error = answered_by(&format!("#!/bin/sh\n{answer}\n")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{answer}");
        assert!(error.to_string().contains(complaint), "{answer}: {error}");
    }
}

#[test]
fn a_folder_cannot_name_what_is_run_on_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("a/b");
    fs::create_dir_all(&work).unwrap();
    script(
        &folder.path().join("fake"),
        &format!("#!/bin/sh\n: > {}/ran\nreadlink -f /bin/sh\n", folder.path().display()),
    );
    let mut around = surroundings(&[folder.path(), Path::new("/usr/bin"), Path::new("/bin")]);
    around.directory = Some(work);
    for (file, content) in [
        (".tool-versions", "# mine\nnodejs 20.1.0\npython path:evil"),
        ("mise.toml", "[tools]\npython = 'path:./evil'"),
        (".python-version", "3.11\n../../evil\n"),
        (".python-version", "/tmp/evil"),
    ] {
        let file = folder.path().join("a").join(file);
        fs::write(&file, content).unwrap();
        let error = resolver(around.clone(), None).resolve(&fake()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{content}");
        assert!(error.to_string().starts_with(file.to_str().unwrap()), "{error}");
        assert!(!folder.path().join("ran").exists());
        fs::remove_file(file).unwrap();
    }
    fs::write(folder.path().join("a/.tool-versions"), "python 3.11.7 system # ok\nnodejs lts/hydrogen\n").unwrap();
    fs::write(folder.path().join("a/.python-version"), "3.11.7/envs/mine\npypy3.9-7.3.11\n").unwrap();
    assert!(resolver(around, None).resolve(&fake()).is_ok());
    assert!(folder.path().join("ran").exists());
}

#[test]
fn a_script_without_a_probe_is_refused_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    script(&folder.path().join("fake"), "#!/bin/sh\n");
    let mut fake = fake();
    fake.probe.clear();
    let error = resolve_in(&[folder.path()], &fake).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("'probe'"));
}

#[test]
fn an_executable_without_a_probe_is_not_run() {
    let Some(shell) = which("sh") else {
        eprintln!("skipped: there is no sh");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(fs::canonicalize(shell).unwrap(), folder.path().join("fake")).unwrap();
    let mut fake = fake();
    fake.probe.clear();
    let runtime = resolve_in(&[folder.path()], &fake).unwrap();
    assert_eq!(runtime.interpreter.as_ref().unwrap().path, folder.path().join("fake").to_str().unwrap());
    if let Some(output) = run_inside(&runtime, &fake, &["-c", "echo $0 is here"]) {
        assert_eq!(printed(&output), format!("{} is here\n", folder.path().join("fake").display()));
    }
}

#[test]
fn unusable_entries_of_the_table_are_refused() {
    let mut looping = fake();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("fake", folder.path().join("fake")).unwrap();
    assert_eq!(resolve_in(&[folder.path()], &looping).unwrap_err().kind(), ErrorKind::NotFound);
    looping.interpreters = vec!["bin/fake".to_owned()];
    assert_eq!(resolve_in(&[folder.path()], &looping).unwrap_err().kind(), ErrorKind::Configuration);
    for file in ["relative", "/", "/usr/..", "/proc/self/environ", "/sys", "/dev/null", "/dev"] {
        let mut system = language("system");
        system.files.push(file.to_owned());
        assert_eq!(resolve_in(&[], &system).unwrap_err().kind(), ErrorKind::Configuration, "{file}");
    }
}
