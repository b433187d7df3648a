//! Probes of limits that an interpreter can't test well: processor time of threads, and the stack.

use super::{Attempt, hold_as_child, number};
use crate::sys::{self, Forked};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Uses CANARY_SIZE milliseconds of processor time, by four threads. Harmless: it ends then, and after 20 seconds at most.
pub(super) fn burn_processor(attempt: &mut Attempt) {
    let Some(most) = number("CANARY_SIZE") else { return };
    let most = Duration::from_millis(most.min(60_000));
    let burn = move || {
        let start = Instant::now();
        let mut mixed = 1_u64;
        while used() < most && start.elapsed() < super::LONGEST {
            for _ in 0..100_000 {
                mixed = std::hint::black_box(mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
    };
    let threads: Vec<_> = (0..3).flat_map(|_| std::thread::Builder::new().stack_size(64 << 10).spawn(burn)).collect();
    burn();
    for thread in threads {
        let _ended = thread.join().is_ok();
    }
    attempt.tell_line(&format!("used {} ms", used().as_millis()));
}

/// The processor time of this process so far.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Uses CANARY_SIZE bytes of stack in a child, and holds there; and less of it in another child, step by step, to show how far
/// it gets. Harmless: 64 MiB at most, and the children end with it.
pub(super) fn stack(attempt: &mut Attempt) {
    let Some(most) = number("CANARY_SIZE").and_then(|size| usize::try_from(size.min(64 << 20)).ok()) else { return };
    for part in [8, 4, 3, 2, 1] {
        descend_in_a_child(attempt, most / part);
    }
}

fn descend_in_a_child(attempt: &mut Attempt, most: usize) {
    let Ok((read, write)) = rustix::pipe::pipe() else { return };
    match sys::fork() {
        Ok(Forked::Child) => {
            drop(read);
            descend(most / FRAME, &mut || {
                let _told = rustix::io::write(&write, b"x").is_ok();
                hold_as_child()
            });
            sys::exit_now()
        }
        Ok(Forked::Parent) => {
            drop(write);
            // A byte once the child is down there, or an end of file when it has died on the way.
            let reached = rustix::io::read(&read, &mut [0_u8; 1]) == Ok(1);
            attempt.tell_line(if reached { "the stack grew" } else { "the stack didn't grow" });
        }
        Err(errno) => drop(attempt.answer::<()>(Err(errno))),
    }
}

const FRAME: usize = 4096;

/// Calls itself that many times, with a frame on the stack each, and then does the work.
fn descend(frames: usize, work: &mut dyn FnMut()) {
    let frame = std::hint::black_box([0_u8; FRAME]);
    if frames == 0 {
        work();
    } else {
        descend(frames - 1, work);
    }
    std::hint::black_box(frame);
}
