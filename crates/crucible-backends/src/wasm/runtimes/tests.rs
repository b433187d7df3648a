//! Runtimes that are fetched by a stand-in for the client, and folders that can't be trusted.

use super::install::{by_npm, by_pip, module_of};
use super::*;
use base64::Engine;
use sha2::Sha512;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

/// A gzipped tar archive with one file.
fn package(member: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = vec![0; 512];
    tar[..member.len()].copy_from_slice(member.as_bytes());
    tar[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    tar[156] = b'0';
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    let mut all = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    all.extend(miniz_oxide::deflate::compress_to_vec(&tar, 6));
    all.extend([0; 8]);
    all
}

fn runtime(module: &[u8], integrity: String) -> KnownRuntime {
    let source = Source::Npm { package: "@scope/x".to_owned(), integrity };
    KnownRuntime { sha256: hex(&Sha256::digest(module)), source, ..find_known("python-wasm").unwrap() }
}

fn integrity(package: &[u8]) -> String {
    format!("sha512-{}", base64::engine::general_purpose::STANDARD.encode(Sha512::digest(package)))
}

fn folder() -> (tempfile::TempDir, RuntimeFolder) {
    let folder = tempfile::tempdir().unwrap();
    let runtimes = RuntimeFolder::new(HostPath::new(folder.path().join("runtimes")));
    (folder, runtimes)
}

#[test]
fn the_built_in_table_is_sound_and_an_unknown_name_is_told_the_nearest() {
    for (name, known) in known().unwrap() {
        assert!(known.sha256.len() == 64 && known.program.ends_with(".wasm"), "{name}");
        match &known.source {
            Source::Npm { integrity, .. } => {
                let digest = integrity.strip_prefix("sha512-").unwrap();
                assert_eq!(base64::engine::general_purpose::STANDARD.decode(digest).unwrap().len(), 64);
            }
            Source::Pypi { sha256, .. } => assert_eq!(sha256.len(), 64),
        }
    }
    let error = folder().1.get("python-wsam").unwrap_err();
    assert_eq!((error.kind(), error.hint()), (ErrorKind::NotFound, Some("did you mean 'python-wasm'?")));
}

#[test]
fn what_is_not_installed_is_told_with_the_command_that_installs_it() {
    let (_folder, runtimes) = folder();
    assert_eq!(runtimes.list().unwrap(), []);
    let error = runtimes.get("python-wasm").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("crucible runtime install python-wasm"));
    assert_eq!(runtimes.remove("python-wasm").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_module_is_kept_listed_and_removed_and_another_one_is_not_read() {
    let (_folder, runtimes) = folder();
    runtimes.keep("python-wasm", b"not the known module").unwrap();
    let installed = runtimes.get("python-wasm").unwrap();
    assert_eq!(runtimes.list().unwrap(), std::slice::from_ref(&installed));
    let error = installed.read().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.hint().unwrap().contains("install"));
    runtimes.remove("python-wasm").unwrap();
    assert!(!installed.module.exists());
}

#[test]
fn a_folder_that_others_may_enter_is_refused_with_the_mend() {
    let (folder, runtimes) = folder();
    fs::create_dir(folder.path().join("runtimes")).unwrap();
    fs::set_permissions(folder.path().join("runtimes"), Permissions::from_mode(0o755)).unwrap();
    let error = runtimes.list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("chmod 700"));
    assert_eq!(runtimes.keep("python-wasm", b"x").unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn only_the_known_package_with_the_known_module_is_taken() {
    let good = package("package/dist/python.wasm", b"module");
    assert_eq!(module_of(&runtime(b"module", integrity(&good)), &good).unwrap(), b"module");
    let other = package("package/dist/python.wasm", b"other");
    for (wanted, given, word) in [
        (integrity(&good), &other, "hash differs"),
        (integrity(&other), &other, "hash differs"),
        ("sha512-%%%".to_owned(), &good, "hash differs"),
        (integrity(b"rubbish"), &b"rubbish".to_vec(), "can't be unpacked"),
    ] {
        let error = module_of(&runtime(b"module", wanted), given).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains(word), "{error}");
    }
}

/// A stand-in for npm.
fn client(folder: &Path, script: &str) -> String {
    let path = folder.join("npm");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_client_that_is_absent_fails_or_gives_nothing_is_told_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let error = by_npm(work.path(), "npm-that-is-nowhere", "x@1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("apt install npm"));
    for (script, words) in [
        ("printf 'E404 no such\\033[31m package\\nmore\\n' >&2; exit 1", "E404 no such[31m package"),
        ("exit 3", "it said nothing"),
        ("head -c 1000000 /dev/zero >&2; exit 1", "did not fetch"),
        ("true", "fetched no package"),
    ] {
        let error = by_npm(work.path(), &client(folder.path(), script), "x@1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn pip_is_told_the_hash_and_to_take_wheels_alone() {
    let folder = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let python = client(folder.path(), "cat requirements.txt > x.whl; echo \"$*\" >> x.whl");
    let packed = by_pip(work.path(), &python, "x", "x==1 --hash=sha256:00\n").unwrap();
    let asked = String::from_utf8(packed).unwrap();
    assert!(asked.starts_with("x==1 --hash=sha256:00\n-m pip"), "{asked}");
    assert!(asked.contains("--require-hashes") && asked.contains("--only-binary :all:"), "{asked}");
    let error = by_pip(work.path(), "python-that-is-nowhere", "x", "x==1").unwrap_err();
    assert!(error.hint().unwrap().contains("python3-pip"));
}

#[test]
fn a_client_is_asked_for_the_package_and_runs_no_script_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let work = tempfile::tempdir().unwrap();
    let client = client(folder.path(), "echo \"$*\" > package-1.tgz");
    let packed = by_npm(work.path(), &client, "@scope/x@1").unwrap();
    let asked = String::from_utf8(packed).unwrap();
    assert!(asked.starts_with("pack @scope/x@1 --ignore-scripts"), "{asked}");
}
