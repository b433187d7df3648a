//! Files that go in and files that come out.

use crate::support::{backends, crucible};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn a_file_goes_in_under_its_own_name_or_another() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("data.txt");
    fs::write(&source, "content").unwrap();
    let source = source.to_str().unwrap();
    for backend in backends() {
        let read = |flag: &str, path: &str| {
            let code = format!("cat {path}");
            crucible(&["run", "-l", "bash", "--file", flag, "-c", &code]).backend(backend).output().expect_success()
        };
        assert_eq!(read(source, "data.txt"), "content");
        assert_eq!(read(&format!("{source}:deep/er/d.txt"), "deep/er/d.txt"), "content");
    }
}

#[test]
fn a_file_that_may_be_executed_still_may_inside() {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("tool");
    fs::write(&tool, "#!/bin/sh\necho it ran\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    for backend in backends() {
        let run = crucible(&["run", "-l", "bash", "--file", tool.to_str().unwrap(), "-c", "./tool"]).backend(backend);
        assert_eq!(run.output().expect_success(), "it ran\n");
    }
}

#[test]
fn what_is_collected_is_written_below_the_folder_that_was_named() {
    for backend in backends() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("made/for/it");
        let code = "mkdir -p out/deep; echo a > out/a; echo b > out/deep/b; echo c > c";
        let arguments = ["run", "-l", "bash", "-c", code, "--collect", "out", "--collect", "c", "--collect-to"];
        let arguments = [&arguments[..], &[results.to_str().unwrap()]].concat();
        crucible(&arguments).backend(backend).output().expect_success();
        let read = |name: &str| fs::read_to_string(results.join(name)).unwrap();
        assert_eq!((read("out/a"), read("out/deep/b"), read("c")), ("a\n".into(), "b\n".into(), "c\n".into()));
    }
}

#[test]
fn what_is_collected_goes_to_the_current_folder_without_a_name_but_not_hidden_files() {
    for backend in backends() {
        let folder = tempfile::tempdir().unwrap();
        let code = "echo a > a; echo evil > .profile";
        let run =
            crucible(&["run", "-l", "bash", "-c", code, "--collect", "."]).backend(backend).directory(folder.path());
        let run = run.output();
        assert_eq!(run.code(), 77, "{}", run.stderr());
        assert!(run.stderr().contains(".profile"), "{}", run.stderr());
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "a\n");
        assert!(!folder.path().join(".profile").exists());
    }
}

#[test]
fn with_json_what_is_collected_is_in_the_json_alone_unless_a_folder_is_named() {
    for backend in backends() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["run", "--json", "-l", "bash", "-c", "printf abc > a", "--collect", "a"];
        let run = crucible(&arguments).backend(backend).directory(folder.path()).output();
        assert_eq!(run.json()["files"][0]["path"], "a");
        assert_eq!(run.json()["files"][0]["content_base64"], "YWJj");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let run =
            crucible(&[&arguments[..], &["--collect-to", "."]].concat()).backend(backend).directory(folder.path());
        run.output().json();
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "abc");
    }
}

#[test]
fn a_file_that_is_there_already_is_refused_before_the_program_runs() {
    for backend in backends() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "mine").unwrap();
        let arguments = ["run", "-l", "bash", "-c", "echo it ran; echo yours > a", "--collect", "a"];
        let run = crucible(&arguments).backend(backend).directory(folder.path()).output();
        run.expect_failure(65, &["'./a' is there already", "hint: --force"]);
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "mine");
        crucible(&[&arguments[..], &["--force"]].concat())
            .backend(backend)
            .directory(folder.path())
            .output()
            .expect_success();
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "yours\n");
    }
}

#[test]
fn no_link_in_the_destination_is_followed() {
    for backend in backends() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), folder.path().join("out")).unwrap();
        let arguments = ["run", "-l", "bash", "-c", "mkdir out; echo x > out/x", "--collect", "out", "--force"];
        let run = crucible(&arguments).backend(backend).directory(folder.path()).output();
        assert_eq!(run.code(), 74, "{}", run.stderr());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}

#[test]
fn links_pipes_and_missing_files_are_not_collected_and_that_is_said() {
    for backend in backends() {
        let folder = tempfile::tempdir().unwrap();
        let code = "ln -s /etc/passwd link; mkfifo pipe; echo a > a; ln a b";
        let collect = ["--collect", "link", "--collect", "pipe", "--collect", "missing", "--collect", "a"];
        let arguments = [&["run", "-l", "bash", "-c", code][..], &collect].concat();
        let run = crucible(&arguments).backend(backend).directory(folder.path()).output();
        assert_eq!(run.code(), 0, "{}", run.stderr());
        for name in ["link", "pipe", "missing"] {
            assert!(run.stderr().contains(&format!("warning: '{name}' was not brought out")), "{}", run.stderr());
            assert!(!folder.path().join(name).exists());
        }
    }
}

#[test]
fn where_a_file_may_not_go_or_does_not_exist_is_said_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    fs::write(&path, "x").unwrap();
    let source = path.to_str().unwrap();
    for destination in ["../x", "a/../../x", "/etc/passwd", "/x", "/work", "/tmp", "/workshop/x", "a\nb", "a/", ""] {
        let flag = format!("{source}:{destination}");
        crucible(&["run", "-c", "print('it ran')", "--file", &flag]).output().expect_failure(2, &["--file"]);
    }
    let run = |flag: &str| crucible(&["run", "-c", "print('it ran')", "--file", flag]).output();
    run("/no/such/file").expect_failure(66, &["there is no file '/no/such/file'"]);
    run(folder.path().to_str().unwrap()).expect_failure(65, &["is a folder"]);
    run("/dev/zero").expect_failure(65, &["larger than the disk limit"]);
    for backend in backends() {
        let twice = ["run", "-c", "print('it ran')", "--file", source, "--file", source];
        crucible(&twice).backend(backend).output().expect_failure(65, &["/work/x"]);
    }
}

#[test]
fn a_destination_that_can_not_be_written_is_an_error_and_not_a_loss() {
    for backend in backends() {
        let arguments = ["run", "-l", "bash", "-c", "echo a > a", "--collect", "a", "--collect-to", "/dev/null/x"];
        crucible(&arguments).backend(backend).output().expect_failure(74, &["/dev/null/x"]);
    }
    crucible(&["run", "-c", "1", "--collect", "../x"]).output().expect_failure(2, &["contains '..'"]);
    crucible(&["run", "-c", "1", "--collect-to", "x"]).output().expect_failure(2, &["--collect"]);
}
