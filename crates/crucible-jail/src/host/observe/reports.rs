//! Answers the system calls that the filter reports, and notes what they wanted.
//!
//! Invariant: every one is answered with an errno, however the looking goes; none is ever let go on. A guest that makes many of
//! them waits; the supervisor doesn't.

use super::address;
use super::record::{Kind, Record, Word};
use crate::seccomp::answer_to_reported;
use crate::sys::{self, Report};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

/// Reports that are answered at once after a time of silence.
const BURST: u32 = 256;
/// The shortest time between two answers in the long run. An answer takes some ten microseconds, so that one guest can't
/// keep more than a hundredth of a processor busy with this.
const PACE: Duration = Duration::from_millis(1);

/// Answers reports until nothing is left that could make one.
pub(in crate::host) async fn answer(reports: AsyncFd<OwnedFd>, record: Arc<Record>) {
    let mut budget = Budget::new(Instant::now());
    loop {
        let Ok(mut ready) = reports.readable().await else { return };
        match waiting(reports.get_ref()) {
            Waiting::Nothing => {
                ready.clear_ready();
                continue;
            }
            Waiting::NeverAgain => return,
            Waiting::Report => {}
        }
        if let Some(until) = budget.take(Instant::now()) {
            sleep_until(until).await;
        }
        match sys::receive_report(reports.get_ref().as_fd()) {
            Ok(report) => answer_one(reports.get_ref(), &report, &record),
            // The thread ended meanwhile, or a signal came.
            Err(Errno::NOENT | Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

enum Waiting {
    Nothing,
    Report,
    NeverAgain,
}

fn waiting(reports: &OwnedFd) -> Waiting {
    let mut wait = [PollFd::new(reports, PollFlags::IN)];
    match rustix::event::poll(&mut wait, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR) => Waiting::Nothing,
        Ok(_) if wait[0].revents().contains(PollFlags::IN) => Waiting::Report,
        Ok(_) | Err(_) => Waiting::NeverAgain,
    }
}

fn answer_one(reports: &OwnedFd, report: &Report, record: &Record) {
    let Sight { kind, name, word, errno } = look(reports, report);
    record.note(kind, &name, word);
    // Fails only if the thread has ended.
    let _answered = sys::refuse(reports.as_fd(), report.id, errno).is_ok();
}

/// What a call wanted, and the errno that it gets.
struct Sight {
    kind: Kind,
    name: String,
    word: Word,
    errno: i32,
}

/// What a call wanted.
fn look(reports: &OwnedFd, report: &Report) -> Sight {
    let call = libc::c_long::from(report.call);
    let errno = answer_to_reported(call);
    let [_, second, third, _, fifth, sixth] = report.arguments;
    let (kind, at, length) = match call {
        libc::SYS_connect => (Kind::ConnectionRefused, second, third),
        libc::SYS_bind => (Kind::BindRefused, second, third),
        libc::SYS_sendto => (Kind::SendRefused, fifth, sixth),
        _ => return Sight { kind: Kind::CallRefused, name: describe(report), word: Word::Kernel, errno },
    };
    match read_memory(reports, report, at, length) {
        // A Unix address that the filter takes for an internet one, by its length. It is refused all the same, but whoever
        // wonders why is told what would help.
        Some(bytes) if address::is_unix(&bytes) => {
            Sight { kind, name: address::describe(&bytes), word: Word::Guest, errno: libc::ENAMETOOLONG }
        }
        Some(bytes) => Sight { kind, name: address::describe(&bytes), word: Word::Guest, errno },
        None => Sight { kind, name: "an address that can't be read".to_owned(), word: Word::Kernel, errno },
    }
}

/// Reads a guest's memory, and makes sure that it was that guest's.
fn read_memory(reports: &OwnedFd, report: &Report, at: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(address::LONGEST)];
    let read = sys::read_memory(report.thread, at, &mut bytes).ok()?;
    bytes.truncate(read);
    sys::still_waits(reports.as_fd(), report.id).then_some(bytes)
}

/// A call's name, with those arguments that tell what it wanted and lie in registers.
fn describe(report: &Report) -> String {
    let name = usize::try_from(report.call).ok().and_then(syscalls::Sysno::new);
    let name = name.map_or_else(|| format!("call {}", report.call), |name| name.name().to_owned());
    let [first, second, third, ..] = report.arguments;
    match libc::c_long::from(report.call) {
        libc::SYS_socket => {
            format!("{name} of family {}, type {}, protocol {}", low(first), low(second) & 0xF, low(third))
        }
        libc::SYS_socketpair => format!("{name} of family {}", low(first)),
        libc::SYS_clone => format!("{name} with new namespaces"),
        libc::SYS_ioctl => format!("{name} {:#x}", low(second)),
        libc::SYS_mknod | libc::SYS_mknodat => format!("{name} of a device"),
        _ => name,
    }
}

/// What the kernel looks at of an `int`.
fn low(argument: u64) -> u64 {
    argument & 0xFFFF_FFFF
}

/// How many reports may be answered without waiting.
struct Budget {
    left: u32,
    counted: Instant,
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self { left: BURST, counted: now }
    }

    /// Takes one, and says until when to wait if there was none.
    fn take(&mut self, now: Instant) -> Option<Instant> {
        let gained = now.saturating_duration_since(self.counted).as_millis() / PACE.as_millis();
        if gained > 0 {
            self.left = self.left.saturating_add(u32::try_from(gained).unwrap_or(u32::MAX)).min(BURST);
            self.counted = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                None
            }
            None => {
                self.counted = now + PACE;
                Some(self.counted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_answered_at_a_pace_and_a_few_are_at_once() {
        let mut now = Instant::now();
        let began = now;
        let mut budget = Budget::new(now);
        for _ in 0..BURST {
            assert_eq!(budget.take(now), None);
        }
        for _ in 0..100 {
            now = budget.take(now).unwrap_or(now);
        }
        let took = now - began;
        assert!(took >= PACE * 99 && took <= PACE * 101, "{took:?}");
        // After a rest there is a burst again.
        now += Duration::from_secs(10);
        for _ in 0..BURST {
            assert_eq!(budget.take(now), None);
        }
        assert!(budget.take(now).is_some());
    }

    #[test]
    fn calls_are_named_with_what_they_wanted() {
        let report = |call: libc::c_long, arguments| {
            describe(&Report { id: 0, thread: 0, call: i32::try_from(call).unwrap(), arguments })
        };
        assert_eq!(report(libc::SYS_ptrace, [0; 6]), "ptrace");
        assert_eq!(
            report(libc::SYS_socket, [17, 0xF_0000_0003, 0, 0, 0, 0]),
            "socket of family 17, type 3, protocol 0"
        );
        assert_eq!(report(libc::SYS_ioctl, [0, 0x1_0000_5412, 0, 0, 0, 0]), "ioctl 0x5412");
        assert_eq!(report(100_000, [0; 6]), "call 100000");
    }
}
