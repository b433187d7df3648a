//! The default table against the interpreters of this machine: the entries suffice, and hold nothing of the user.

use super::*;

const USE_EVERYTHING: &str = "
import bz2, ctypes, curses, decimal, json, lzma, os, sqlite3, ssl, subprocess, sys, uuid, zlib
import concurrent.futures, multiprocessing, xml.dom.minidom
assert sqlite3.connect(':memory:').execute('select 6 * 7').fetchone() == (42,)
assert os.system('exit 3') == 3 << 8
assert subprocess.check_output('echo hello', shell=True) == b'hello\\n'
assert 'site' in sys.modules and ctypes.CDLL(None).getpid() == os.getpid()
if sys.version_info >= (3, 9):
    import zoneinfo
    assert zoneinfo.ZoneInfo('Europe/Berlin').key == 'Europe/Berlin'
home = os.path.expanduser('~')
hidden = ['/etc/shadow', '/etc/passwd', '/var', '/usr/share/doc']
hidden += [home + '/.ssh', home + '/.bashrc', home + '/.local/lib']
for path in hidden:
    assert not os.path.exists(path), path
print(sys.executable, '%d.%d.%d' % sys.version_info[:3], 'gr\\u00fcezi')
";

fn try_python(runtime: &Runtime, python: &Language) {
    let interpreter = runtime.interpreter.clone().unwrap();
    let Some(output) = run_inside(runtime, python, &["-c", USE_EVERYTHING]) else {
        return;
    };
    let expected = format!("{} {} gr\u{fc}ezi\n", interpreter.path, interpreter.version.unwrap());
    assert_eq!(printed(&output), expected);
}

#[test]
fn the_systems_python_has_all_it_needs_and_nothing_of_the_user() {
    let python = language("python");
    let Ok(runtime) = resolve_in(&[Path::new("/usr/bin"), Path::new("/bin")], &python) else {
        eprintln!("skipped: the system has no Python");
        return;
    };
    assert!(!runtime.entries.iter().any(|entry| format!("{entry:?}").contains("/home/")));
    assert!(!has_bind(&runtime, "/etc") && !has_bind(&runtime, "/usr") && !has_bind(&runtime, "/usr/bin"));
    try_python(&runtime, &python);
}

#[test]
fn every_python_of_a_version_manager_has_all_it_needs() {
    let Some(home) = std::env::var_os("PYENV_ROOT").map(PathBuf::from) else {
        eprintln!("skipped: there is no pyenv");
        return;
    };
    let python = language("python");
    for version in fs::read_dir(home.join("versions")).unwrap() {
        let folder = version.unwrap().path().join("bin");
        if folder.join("python3").exists() {
            let runtime = resolve_in(&[&folder], &python).unwrap();
            assert_eq!(runtime.interpreter.as_ref().unwrap().path, folder.join("python3").to_str().unwrap());
            try_python(&runtime, &python);
        }
    }
}

#[test]
fn a_version_managers_stand_in_leads_to_the_chosen_python() {
    let Some(home) = std::env::var_os("PYENV_ROOT").map(PathBuf::from) else {
        eprintln!("skipped: there is no pyenv");
        return;
    };
    let python = language("python");
    let folder = home.join("shims");
    let system = Path::new("/usr/bin");
    let work = tempfile::tempdir().unwrap();
    let cache = work.path().join("cache");
    let mut around = surroundings(&[&folder, system, Path::new("/bin")]);
    around.environment.remove(&OsString::from("PYENV_VERSION"));
    around.directory = Some(work.path().to_owned());
    let mut seen = 0;
    for version in fs::read_dir(home.join("versions")).unwrap() {
        let version = version.unwrap();
        if !version.path().join("bin/python3").exists() {
            continue;
        }
        // The choice changes under a warm cache.
        fs::write(work.path().join(".python-version"), version.file_name().as_encoded_bytes()).unwrap();
        let runtime = resolver(around.clone(), Some(&cache)).resolve(&python).unwrap();
        let path = runtime.interpreter.as_ref().unwrap().path.clone();
        assert_eq!(Path::new(&path), version.path().join("bin/python3"));
        assert_eq!(resolver(around.clone(), Some(&cache)).resolve(&python).unwrap(), runtime);
        seen += 1;
    }
    assert!(seen > 0);
    let mut told = around.clone();
    told.environment.insert(OsString::from("PYENV_VERSION"), OsString::from("system"));
    let runtime = resolver(told, Some(&cache)).resolve(&python).unwrap();
    assert!(runtime.interpreter.unwrap().path.starts_with("/usr/bin"));
}

#[test]
fn a_virtual_environment_has_its_own_packages_and_its_bases_library() {
    let python = language("python");
    let Some(base) = which("python3") else {
        eprintln!("skipped: there is no Python");
        return;
    };
    let work = tempfile::tempdir().unwrap();
    for options in [&["--without-pip"][..], &["--without-pip", "--copies"]] {
        let folder = work.path().join(format!("environment-{}", options.len()));
        let made = Command::new(&base).args(["-m", "venv"]).args(options).arg(&folder).output().unwrap();
        if !made.status.success() {
            eprintln!("skipped: this Python can't make virtual environments");
            return;
        }
        let bin = folder.join("bin");
        let ask = "import sysconfig; print(sysconfig.get_path('purelib'), end='')";
        let packages = printed(&Command::new(bin.join("python3")).args(["-c", ask]).output().unwrap());
        fs::write(Path::new(&packages).join("of_the_environment.py"), "ANSWER = 42").unwrap();
        let runtime = resolve_in(&[&bin], &python).unwrap();
        try_python(&runtime, &python);
        let code = "import of_the_environment, sys; print(of_the_environment.ANSWER, sys.prefix)";
        if let Some(output) = run_inside(&runtime, &python, &["-c", code]) {
            assert_eq!(printed(&output), format!("42 {}\n", folder.display()));
        }
    }
}

#[test]
fn node_and_bash_have_all_they_need() {
    let javascript = language("javascript");
    if which("node").is_some() {
        let runtime = resolver(Surroundings::of_this_process(), None).resolve(&javascript).unwrap();
        assert!(runtime.interpreter.as_ref().unwrap().version.is_some());
        let code = "const {execSync} = require('child_process'); require('crypto').randomBytes(4); require('zlib');
            const there = new Intl.DateTimeFormat('de', {timeZone: 'Asia/Tokyo'});
            if (there.resolvedOptions().timeZone !== 'Asia/Tokyo') throw 1;
            console.log(execSync('echo hello').toString().trim(), require('fs').existsSync('/etc/shadow'))";
        if let Some(output) = run_inside(&runtime, &javascript, &["-e", code]) {
            assert_eq!(printed(&output), "hello false\n");
        }
    } else {
        eprintln!("skipped: there is no node");
    }
    let bash = language("bash");
    let Ok(runtime) = resolver(Surroundings::of_this_process(), None).resolve(&bash) else {
        eprintln!("skipped: there is no bash");
        return;
    };
    let code = "word=gr\u{fc}n; echo ${#word}; printf 'b\\na\\n' | sort | head -1; echo 1 2 | awk '{print $2}'
        cat /etc/passwd; ls /";
    if let Some(output) = run_inside(&runtime, &bash, &["-c", code]) {
        let text = printed(&output);
        assert!(text.starts_with("4\na\n2\n"), "{text}");
        assert!(!text.contains("root:") && !text.contains("home"), "{text}");
    }
}

#[test]
fn the_ordinary_programs_need_no_interpreter() {
    let system = language("system");
    let mut runtime = resolver(Surroundings::of_this_process(), None).resolve(&system).unwrap();
    assert_eq!(runtime.interpreter, None);
    let path = "/bin/sh".to_owned();
    runtime.interpreter = Some(super::super::HostInterpreter { path, version: None });
    if let Some(output) = run_inside(&runtime, &system, &["-c", "ls -d /usr/bin && test ! -e /etc/shadow"]) {
        assert_eq!(printed(&output), "/usr/bin\n");
    }
}

#[test]
fn describing_a_language_tells_its_version_even_without_a_probe() {
    if which("bash").is_none() {
        eprintln!("skipped: there is no bash");
        return;
    }
    let described = resolver(Surroundings::of_this_process(), None).describe(&language("bash")).unwrap();
    let version = described.interpreter.unwrap().version.unwrap();
    assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
    assert!(described.entries > 3 && described.cache_problem.is_none());
}
