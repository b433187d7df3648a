//! Signals, readers who go away and readers who don't read: the program is ended, and nothing is left.

use crate::support::{DEADLINE, Running, backends, crucible, in_shell, is_expected_warning};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Instant;

/// A number of seconds to sleep that tells a test's own processes from all others.
fn marker(number: u32) -> String {
    format!("{}.{number}", 100_000 + std::process::id())
}

/// Whether a process with this argument is alive.
fn is_alive(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == marker.as_bytes())
    })
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: it never was so");
        std::thread::yield_now();
    }
}

/// Starts a program that sleeps for ever, and waits until it does.
fn sleeper(backend: crate::support::Backend, marker: &str) -> Running {
    let code = format!("sleep {marker} & sleep {marker}");
    let run = crucible(&["run", "-l", "bash", "-c", &code, "--timeout", "10m"]).backend(backend).start();
    wait_until("the program sleeps", || is_alive(marker));
    run
}

#[test]
fn a_signal_ends_the_program_and_is_in_the_exit_code() {
    for backend in backends() {
        for (number, (signal, code)) in
            [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)].into_iter().enumerate()
        {
            let marker = marker(u32::try_from(number).unwrap() + 1);
            let run = sleeper(backend, &marker);
            run.signal(signal);
            assert_eq!(run.finish().code(), code);
            assert!(!is_alive(&marker), "the program outlived its supervisor on {backend:?}");
        }
    }
}

#[test]
fn a_cancelled_run_still_gives_its_json() {
    for backend in backends() {
        let marker = marker(10);
        let arguments = ["run", "--json", "-l", "bash", "-c", &format!("echo out; sleep {marker}"), "--timeout", "10m"];
        let run = crucible(&arguments).backend(backend).start();
        wait_until("the program sleeps", || is_alive(&marker));
        run.signal(Signal::TERM);
        let run = run.finish();
        assert_eq!((run.code(), run.json()["status"].as_str()), (143, Some("cancelled")));
    }
}

#[test]
fn a_signal_that_was_ignored_when_it_started_stays_ignored() {
    for backend in backends() {
        let arguments =
            [&["run"][..], backend.flags, &["-l", "bash", "-c", "echo ready; read -r line; echo $line"]].concat();
        let mut run = in_shell("trap '' HUP; exec \"$@\"", &arguments).start();
        let mut stdout = BufReader::new(run.child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        run.signal(Signal::HUP);
        writeln!(run.child.stdin.take().unwrap(), "on it goes").unwrap();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\non it goes\n");
        assert_eq!(run.finish().code(), 0);
    }
}

#[test]
fn a_reader_who_goes_away_ends_the_program_quietly() {
    for backend in backends() {
        let code = "while :; do echo y; done";
        let mut run = crucible(&["run", "-l", "bash", "-c", code, "--output", "1GiB", "--timeout", "10m"])
            .backend(backend)
            .start();
        let mut some = [0; 2];
        run.child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let run = run.finish();
        assert_eq!(run.code(), 141);
        assert!(run.stderr().lines().all(is_expected_warning), "{}", run.stderr());
    }
}

#[test]
fn a_reader_who_does_not_read_delays_no_signal() {
    for backend in backends() {
        let code = "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done";
        let mut run = crucible(&["run", "-l", "bash", "-c", code, "--output", "1GiB", "--timeout", "10m"])
            .backend(backend)
            .start();
        let stdout = run.child.stdout.take().unwrap();
        // Of one page, which the program overfills in no time.
        rustix::pipe::fcntl_setpipe_size(&stdout, 4096).unwrap();
        wait_until("something is written", || rustix::io::ioctl_fionread(&stdout).unwrap() > 0);
        run.signal(Signal::TERM);
        assert_eq!(run.finish().code(), 143);
        drop(stdout);
    }
}

#[test]
fn a_reader_of_the_json_who_goes_away_is_no_error_to_be_shouted_about() {
    for backend in backends() {
        let mut run =
            crucible(&["run", "--json", "-l", "bash", "-c", "read -r line; echo $line"]).backend(backend).start();
        drop(run.child.stdout.take());
        drop(run.child.stdin.take());
        let run = run.finish();
        assert_eq!(run.code(), 141);
        assert!(!run.stderr().contains("error"), "{}", run.stderr());
    }
}

#[test]
fn output_that_can_not_be_written_is_an_error() {
    for backend in backends() {
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        for arguments in
            [&["run", "-l", "bash", "-c", "echo x; sleep 60"][..], &["run", "--json", "-l", "bash", "-c", "echo x"]]
        {
            let run = crucible(arguments).backend(backend).start_on(full().into()).finish();
            assert_eq!(run.code(), 74, "{}", run.stderr());
            assert!(run.stderr().contains("No space left"), "{}", run.stderr());
        }
    }
}
