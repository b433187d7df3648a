//! What a person sees on a terminal: the program's colours, but nothing that steers the terminal.

use crate::support::{backends, crucible};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::Read;

/// Both ends of a new pseudo-terminal.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (ours.into(), theirs)
}

/// What a terminal shows of a run.
fn shown(arguments: &[&str], backend: crate::support::Backend) -> String {
    let (mut ours, theirs) = terminal();
    let run = crucible(arguments).backend(backend).start_on(theirs.into());
    let reader = std::thread::spawn(move || {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        // Reading ends with an error when the last other end is closed.
        while let Ok(count @ 1..) = ours.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
        }
        bytes
    });
    run.finish();
    String::from_utf8(reader.join().unwrap()).unwrap()
}

const CODE: &str = r"printf '\033[31mred\033[0m \033[2J\033]0;title\007 caf\303\251 \233\n'";

#[test]
fn control_sequences_other_than_colours_are_neutralised_on_a_terminal() {
    for backend in backends() {
        let text = shown(&["run", "-l", "bash", "-c", CODE], backend);
        assert_eq!(text, "\u{1b}[31mred\u{1b}[0m ␛[2J␛]0;title␇ café \u{fffd}\r\n\u{1b}[0m");
    }
}

#[test]
fn raw_output_and_output_that_is_no_terminal_pass_as_they_are() {
    for backend in backends() {
        let code = r"printf '\033[2Jx\n'";
        assert_eq!(shown(&["run", "--raw", "-l", "bash", "-c", code], backend), "\u{1b}[2Jx\r\n");
        let run = crucible(&["run", "-l", "bash", "-c", CODE]).backend(backend).output();
        assert!(run.output.stdout.starts_with(b"\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07 caf\xc3\xa9 \x9b\n"));
    }
}
