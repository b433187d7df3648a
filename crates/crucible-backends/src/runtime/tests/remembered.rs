//! The cache: it saves the question, never answers a stale one, and is never needed.

use super::*;
use std::os::unix::fs::symlink;
use std::time::Instant;

/// A stand-in that counts how often it is asked, in a folder of its own.
struct Counted {
    folder: tempfile::TempDir,
    language: Language,
}

impl Counted {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut language = language("python");
        language.interpreters = vec!["counted".to_owned()];
        language.files.push(folder.path().join("extra").to_str().unwrap().to_owned());
        let counted = Self { folder, language };
        counted.choose("/bin/sh");
        counted
    }

    /// Makes it answer with another executable.
    fn choose(&self, executable: &str) {
        let count = self.folder.path().join("count");
        let content = format!("#!/bin/sh\necho asked >> {}\necho {executable}\n", count.display());
        script(&self.folder.path().join("counted"), &content);
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("a/b/cache")
    }

    fn surroundings(&self) -> Surroundings {
        surroundings(&[self.folder.path(), Path::new("/usr/bin"), Path::new("/bin")])
    }

    fn resolve_from(&self, surroundings: Surroundings) -> Runtime {
        resolver(surroundings, Some(&self.cache())).resolve(&self.language).unwrap()
    }

    fn resolve(&self) -> Runtime {
        self.resolve_from(self.surroundings())
    }

    fn asked(&self) -> usize {
        fs::read_to_string(self.folder.path().join("count")).map_or(0, |text| text.lines().count())
    }

    fn records(&self) -> Vec<PathBuf> {
        fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn an_unchanged_interpreter_is_asked_once() {
    let counted = Counted::new();
    let first = counted.resolve();
    for _ in 0..3 {
        assert_eq!(counted.resolve(), first);
    }
    assert_eq!(counted.asked(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&counted.cache()), 0o700);
    assert!(counted.records().iter().all(|record| mode(record) == 0o600));
}

#[test]
fn whatever_changes_the_answer_is_noticed() {
    let counted = Counted::new();
    counted.resolve();
    let mut around = counted.surroundings();
    around.environment.insert(OsString::from("PYENV_VERSION"), OsString::from("3.99"));
    counted.resolve_from(around);
    assert_eq!(counted.asked(), 2, "a variable");
    let mut around = counted.surroundings();
    around.directory = Some(counted.folder.path().to_owned());
    counted.resolve_from(around.clone());
    assert_eq!(counted.asked(), 3, "another folder");
    fs::write(counted.folder.path().join(".tool-versions"), "python 3").unwrap();
    counted.resolve_from(around);
    assert_eq!(counted.asked(), 4, "a version file");
    counted.choose("/bin/cat");
    assert!(counted.resolve().interpreter.unwrap().path.ends_with("cat"));
    assert_eq!(counted.asked(), 5, "the stand-in itself");
    let extra = counted.folder.path().join("extra");
    assert!(!has_bind(&counted.resolve(), extra.to_str().unwrap()));
    fs::create_dir(&extra).unwrap();
    assert!(has_bind(&counted.resolve(), extra.to_str().unwrap()), "a folder appeared");
    fs::remove_dir(&extra).unwrap();
    assert!(!has_bind(&counted.resolve(), extra.to_str().unwrap()), "a folder vanished");
    fs::write(counted.folder.path().join("other"), "").unwrap();
    symlink("other", &extra).unwrap();
    assert!(has_link(&counted.resolve(), extra.to_str().unwrap(), "other"));
    fs::remove_file(&extra).unwrap();
    symlink("counted", &extra).unwrap();
    assert!(has_link(&counted.resolve(), extra.to_str().unwrap(), "counted"), "a link changed");
}

#[test]
fn another_executable_at_the_answered_path_is_noticed() {
    let counted = Counted::new();
    let executable = counted.folder.path().join("executable");
    fs::copy("/bin/sh", &executable).unwrap();
    counted.choose(executable.to_str().unwrap());
    counted.resolve();
    counted.resolve();
    assert_eq!(counted.asked(), 1);
    fs::remove_file(&executable).unwrap();
    fs::copy("/bin/cat", &executable).unwrap();
    counted.resolve();
    assert_eq!(counted.asked(), 2);
    fs::remove_file(&executable).unwrap();
    let error = resolver(counted.surroundings(), Some(&counted.cache())).resolve(&counted.language).unwrap_err();
    assert!(error.to_string().contains("an executable that isn't there"), "{error}");
}

#[test]
fn a_spoilt_record_is_ignored_and_written_again() {
    let counted = Counted::new();
    let first = counted.resolve();
    let record = counted.records().remove(0);
    let whole = fs::read_to_string(&record).unwrap();
    let mut asked = counted.asked();
    for rubbish in
        ["", "{", "null", "\0\0\0", &whole[..whole.len() / 2], &whole.replace("\"format\":1", "\"format\":0")]
    {
        fs::write(&record, rubbish).unwrap();
        assert_eq!(counted.resolve(), first);
        assert_eq!(counted.resolve(), first);
        asked += 1;
        assert_eq!(counted.asked(), asked, "{rubbish:?}");
    }
    fs::write(&record, "x".repeat(1 << 20)).unwrap();
    assert_eq!(counted.resolve(), first);
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert_eq!(counted.resolve(), first);
}

#[test]
fn a_record_that_somebody_else_could_write_is_not_believed() {
    let counted = Counted::new();
    counted.resolve();
    let record = counted.records().remove(0);
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&record, 0o620);
    counted.resolve();
    assert_eq!(counted.asked(), 2);
    // Written again, with its own mode.
    counted.resolve();
    assert_eq!(counted.asked(), 2);
    let elsewhere = counted.folder.path().join("elsewhere");
    fs::rename(&record, &elsewhere).unwrap();
    symlink(&elsewhere, &record).unwrap();
    counted.resolve();
    assert_eq!(counted.asked(), 3);
    for mode in [0o770, 0o702, 0o1777] {
        set(&counted.cache(), mode);
        counted.resolve();
        let asked = counted.asked();
        counted.resolve();
        assert_eq!(counted.asked(), asked + 1, "{mode:o}");
    }
    let described = resolver(counted.surroundings(), Some(&counted.cache())).describe(&counted.language).unwrap();
    assert!(described.cache_problem.unwrap().contains("others may write to it"));
    set(&counted.cache(), 0o755);
    let asked = counted.asked();
    counted.resolve();
    assert_eq!(counted.asked(), asked);
}

#[test]
fn without_a_usable_cache_all_goes_on() {
    let counted = Counted::new();
    let first = counted.resolve();
    let file = counted.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let link = counted.folder.path().join("link");
    symlink(counted.cache(), &link).unwrap();
    for cache in [&file, &file.join("below"), &link, Path::new("/proc/1/cache"), Path::new("/proc/self/nowhere")] {
        let resolver = resolver(counted.surroundings(), Some(cache));
        assert_eq!(resolver.resolve(&counted.language).unwrap(), first);
        assert!(resolver.describe(&counted.language).unwrap().cache_problem.is_some(), "{}", cache.display());
    }
}

#[test]
fn the_cache_stays_small() {
    let counted = Counted::new();
    counted.resolve();
    for number in 0..200 {
        fs::write(counted.cache().join(format!("{number}.json")), "").unwrap();
    }
    let mut around = counted.surroundings();
    around.directory = Some(counted.folder.path().to_owned());
    counted.resolve_from(around.clone());
    let asked = counted.asked();
    assert_eq!(counted.records().len(), 128);
    counted.resolve_from(around);
    assert_eq!(counted.asked(), asked, "the newest record is kept");
}

#[test]
fn many_at_once_agree() {
    let counted = Counted::new();
    let first = counted.resolve();
    fs::remove_dir_all(counted.cache()).unwrap();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| counted.resolve())).collect();
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), first));
    });
    assert!(counted.records().iter().all(|record| record.extension().is_some_and(|ending| ending == "json")));
}

/// Not a promise but a number: `cargo test --release -p crucible-backends -- --ignored --nocapture timings`.
#[test]
#[ignore = "prints timings"]
fn timings() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["python", "javascript", "bash", "system"] {
        let language = language(name);
        let timed = |cache: Option<&Path>| {
            let mut times: Vec<Duration> = (0..50)
                .map(|_| {
                    let started = Instant::now();
                    crate::runtime::resolve(&language, cache).unwrap();
                    started.elapsed()
                })
                .collect();
            times.sort();
            times.get(times.len() / 2).copied().unwrap()
        };
        let cold = timed(None);
        timed(Some(folder.path()));
        let entries = crate::runtime::resolve(&language, None).unwrap().entries.len();
        eprintln!("{name}: cold {cold:?}, remembered {:?}, {entries} entries", timed(Some(folder.path())));
    }
}
