//! The line to an agent: a container's standard streams, carried by the daemon.
//!
//! Invariant: only what the agent writes to its standard output is read as its words; of what else a container's first
//! process prints, a little is kept to be shown in an error.

use bollard::container::{AttachContainerResults, LogOutput};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWrite;
use tokio_util::io::StreamReader;

/// How much is kept of what isn't meant for us.
const MOST_COMPLAINTS: usize = 1000;

/// What the agent writes.
pub(super) type Words = StreamReader<Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>, Bytes>;
/// What the agent reads.
pub(super) type Ear = Pin<Box<dyn AsyncWrite + Send>>;

/// What the first process printed among its errors.
#[derive(Clone, Default)]
pub(super) struct Complaints(Arc<Mutex<Vec<u8>>>);

impl Complaints {
    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_COMPLAINTS.saturating_sub(kept.len());
        kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// Both ends of the line to a container that was attached to.
pub(super) fn line(attached: AttachContainerResults) -> (Words, Ear, Complaints) {
    let AttachContainerResults { output, input } = attached;
    let complaints = Complaints::default();
    let keeper = complaints.clone();
    let words = output.filter_map(move |output| {
        let word = match output {
            Ok(LogOutput::StdOut { message }) => Some(Ok(message)),
            Ok(LogOutput::StdErr { message } | LogOutput::Console { message } | LogOutput::StdIn { message }) => {
                keeper.keep(&message);
                None
            }
            Err(error) => Some(Err(io::Error::other(error))),
        };
        std::future::ready(word)
    });
    (StreamReader::new(words.boxed()), input, complaints)
}
