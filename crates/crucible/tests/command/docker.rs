//! Containers and images on the command line: what a person is told who has no daemon, no right to it or no image, and a run
//! where there is one.

use crate::support::{Invocation, crucible, in_shell};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::{Mutex, PoisonError};

/// With the daemon of the tests' own environment, if there is one.
pub(crate) fn with_daemon(invocation: Invocation) -> Invocation {
    match std::env::var("DOCKER_HOST") {
        Ok(host) => invocation.env("DOCKER_HOST", host),
        Err(_) => invocation,
    }
}

/// Whether there is a daemon. Where one is required, a missing one is a failure.
fn has_daemon() -> bool {
    let listed = with_daemon(crucible(&["image", "list"])).output();
    let required = std::env::var("CRUCIBLE_REQUIRE").unwrap_or_default();
    assert!(listed.code() == 0 || !required.split(',').any(|name| name == "docker"), "{}", listed.stderr());
    if listed.code() != 0 {
        eprintln!("skipped: {}", listed.stderr());
    }
    listed.code() == 0
}

/// Whether programs in Python can run in containers: made so, where there is a daemon.
pub(crate) fn has_python() -> bool {
    // One test at a time makes the image that the others find.
    static MAKING: Mutex<()> = Mutex::new(());
    if !has_daemon() {
        return false;
    }
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let images = with_daemon(crucible(&["image", "list", "--json"])).output().json();
    let has_it =
        images["images"].as_array().unwrap().iter().any(|image| image["languages"] == serde_json::json!(["python"]));
    if !has_it {
        let mut import = with_daemon(crucible(&["image", "import-host", "python"]));
        import.deadline *= 5;
        import.output().expect_success();
    }
    true
}

#[test]
fn a_daemon_that_is_not_there_is_told_with_its_mend() {
    let folder = tempfile::tempdir().unwrap();
    let host = format!("unix://{}/docker.sock", folder.path().display());
    for verb in
        [&["run", "-b", "docker", "-c", "print(1)"][..], &["image", "list"], &["image", "import-host", "python"]]
    {
        let run = crucible(verb).env("DOCKER_HOST", &host).output();
        run.expect_failure(69, &["there is no Docker daemon: no socket at", "hint: start one"]);
    }
    drop(UnixListener::bind(folder.path().join("docker.sock")).unwrap());
    let run = crucible(&["image", "list"]).env("DOCKER_HOST", &host).output();
    run.expect_failure(69, &["nobody listens at", "hint: start it again"]);
    // The configuration's word goes before the environment's.
    let run = crucible(&["image", "list"])
        .env("DOCKER_HOST", &host)
        .env("CRUCIBLE_DOCKER_HOST", "unix:///no/such/docker.sock")
        .output();
    run.expect_failure(69, &["no socket at unix:///no/such/docker.sock"]);
}

#[test]
fn a_socket_that_this_user_may_not_open_is_told_with_its_mend() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can become somebody who may not open a socket");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let path = folder.path().join("docker.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    // Through a copy, because the way to the program may not be everybody's.
    let script = "cp \"$1\" \"$COPY\" && chmod 755 \"$COPY\" && shift && \
                  exec setpriv --reuid=60001 --regid=60001 --clear-groups \"$COPY\" \"$@\"";
    let run = in_shell(script, &["image", "list"])
        .env("COPY", folder.path().join("crucible"))
        .env("HOME", folder.path())
        .env("DOCKER_HOST", format!("unix://{}", path.display()))
        .output();
    run.expect_failure(69, &["this user may not open unix://", "hint: ", "rootless"]);
}

#[test]
fn a_daemon_of_another_machine_and_a_name_that_is_none_are_refused() {
    for host in ["tcp://192.0.2.1:2375", "ssh://somewhere", "docker.sock"] {
        let run = crucible(&["image", "list"]).env("DOCKER_HOST", host).output();
        run.expect_failure(78, &["DOCKER_HOST is", "hint: "]);
    }
    if has_daemon() {
        for name in ["../containers", "a b", "x?force=1"] {
            with_daemon(crucible(&["image", "rm", name]))
                .output()
                .expect_failure(65, &["can't be the name of an image"]);
        }
        let run = with_daemon(crucible(&["image", "rm", "no-such-image-5f1c"])).output();
        run.expect_failure(66, &["the daemon has no image no-such-image-5f1c", "hint: "]);
        let run = with_daemon(crucible(&["image", "import-host", "no-such-language"])).output();
        run.expect_failure(66, &["unknown language"]);
    }
}

#[test]
fn a_stock_container_needs_the_word() {
    let run = crucible(&["run", "-b", "docker-stock", "-c", "print(1)"]).output();
    run.expect_failure(77, &["for comparison only", "hint: "]);
}

#[test]
fn a_program_runs_in_a_container_and_its_record_names_the_image() {
    if !has_python() {
        return;
    }
    let missing = with_daemon(crucible(&["run", "-b", "docker", "-l", "no_image", "-c", "x"]))
        .configured("[languages.no_image]\nrun = [\"{file}\"]\nfile_name = \"x\"\n")
        .output();
    missing.expect_failure(78, &["no image is named for no_image", "hint: "]);
    let run = with_daemon(crucible(&["run", "-b", "docker", "--json", "-c", "print(6 * 7)"])).output().json();
    assert_eq!(
        (&run["stdout"], &run["backend"], &run["validity"]),
        (&"42\n".into(), &"docker".into(), &"valid".into())
    );
    let interpreter = run["evidence"]["interpreter"].as_str().unwrap();
    assert!(interpreter.contains(" in crucible/python:host@sha256:"), "{interpreter}");
    let run = with_daemon(crucible(&["run", "-b", "docker", "--policy", "strict", "-c", "print(1)"])).output();
    run.expect_failure(77, &["requires the layer"]);
}
