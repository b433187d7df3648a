//! Signals that tell Crucible to stop, as numbers that arrive.

use crucible_core::{Error, ErrorKind, Result};
use std::future::poll_fn;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals by which a person or a system ends a program.
const ENDING: [(u8, SignalKind); 3] =
    [(1, SignalKind::hangup()), (2, SignalKind::interrupt()), (15, SignalKind::terminate())];

/// Signals that have been asked for.
pub(crate) struct Signals {
    streams: Vec<(u8, Signal)>,
}

impl Signals {
    /// Starts listening. A signal that whoever started us wanted ignored (`nohup`) stays ignored.
    ///
    /// # Errors
    /// `Unavailable` where the system refuses.
    pub(crate) fn listen() -> Result<Self> {
        let ignored = ignored();
        let wanted = ENDING.into_iter().filter(|(number, _)| ignored & (1 << (number - 1)) == 0);
        let streams =
            wanted.map(|(number, kind)| signal(kind).map(|stream| (number, stream))).collect::<Result<_, _>>();
        let fail = |error| {
            Error::new(ErrorKind::Unavailable, "listen for signals", "can't listen for signals").with_source(error)
        };
        streams.map(|streams| Self { streams }).map_err(fail)
    }

    /// The next signal's number. Cancel-safe.
    pub(crate) async fn next(&mut self) -> u8 {
        poll_fn(|context| {
            for (number, stream) in &mut self.streams {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The signals that were ignored when we were started, one bit each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
