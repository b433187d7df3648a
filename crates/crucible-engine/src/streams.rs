//! Moves bytes between the caller and the guest's standard streams.
//!
//! Invariant: of each stream at most the output limit is kept, and one fixed buffer beside it, whatever the guest writes.
//! It doesn't interpret the bytes: they are hostile.

use crate::journal::Journal;
use crate::tripwire::Tripwires;
use crucible_core::{Output, Stream};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

const BUFFER: usize = 64 << 10;

/// What was kept of one stream.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The bytes and whether there were more.
    pub(crate) output: Output,
    /// Why reading ended early, if it did.
    pub(crate) failure: Option<io::Error>,
}

/// Who hears of output as it comes.
#[derive(Clone, Copy)]
pub(crate) struct Ears<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) tripwires: &'a Tripwires,
}

/// Why a pump stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The stream ended, or can't be read any more.
    AtEnd,
    /// There was a byte more than the limit allows.
    AtLimit,
}

/// Reads a stream of the guest to its end or to the first byte above `limit`, keeping and recording what is allowed.
///
/// The reader stays with the caller: closing it early would send the guest a signal that it didn't earn.
pub(crate) async fn pump(
    stream: Stream,
    reader: &mut (dyn AsyncRead + Send + Unpin),
    limit: usize,
    kept: &mut Kept,
    ears: Ears<'_>,
    closing: &CancellationToken,
) -> Stopped {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        buffer.clear();
        match reader.read_buf(&mut buffer).await {
            Ok(0) => return Stopped::AtEnd,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                kept.failure = Some(error);
                return Stopped::AtEnd;
            }
        }
        let room = limit.saturating_sub(kept.output.bytes.len());
        let allowed = buffer.get(..room).unwrap_or(&buffer);
        if !allowed.is_empty() {
            let before = kept.output.bytes.len();
            kept.output.bytes.extend_from_slice(allowed);
            ears.tripwires.look_into(&kept.output.bytes, before);
            ears.journal.record_output(stream, allowed.to_vec(), closing).await;
        }
        if buffer.len() > room {
            kept.output.truncated = true;
            return Stopped::AtLimit;
        }
    }
}

/// Gives the guest its standard input and then its end. A guest that doesn't want it is within its rights.
pub(crate) async fn feed(mut source: Box<dyn AsyncRead + Send + Unpin>, mut stdin: Box<dyn AsyncWrite + Send + Unpin>) {
    // A guest that closed its standard input shows as a broken pipe; a caller's input that breaks off shows as its end.
    let _ = tokio::io::copy(&mut source, &mut stdin).await;
    let _ = stdin.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal;

    async fn pumped(bytes: &[u8], limit: usize) -> (Stopped, Output) {
        let (journal, _readout) = journal::open();
        let (mut kept, closing) = (Kept::default(), CancellationToken::new());
        closing.cancel();
        let mut reader = bytes;
        let stopped = pump(
            Stream::Stdout,
            &mut reader,
            limit,
            &mut kept,
            Ears { journal: &journal, tripwires: &Tripwires::new(&[]) },
            &closing,
        )
        .await;
        (stopped, kept.output)
    }

    #[tokio::test]
    async fn the_limit_itself_is_kept_and_one_byte_more_is_noticed() {
        let (stopped, output) = pumped(b"abc", 3).await;
        assert_eq!((stopped, output.bytes.as_slice(), output.truncated), (Stopped::AtEnd, &b"abc"[..], false));
        let (stopped, output) = pumped(b"abcd", 3).await;
        assert_eq!((stopped, output.bytes.as_slice(), output.truncated), (Stopped::AtLimit, &b"abc"[..], true));
        let (stopped, output) = pumped(b"a", 0).await;
        assert_eq!((stopped, output.bytes.len(), output.truncated), (Stopped::AtLimit, 0, true));
        let (stopped, output) = pumped(b"", 0).await;
        assert_eq!((stopped, output.truncated), (Stopped::AtEnd, false));
    }

    #[tokio::test]
    async fn a_flood_is_read_no_further_than_one_buffer_past_the_limit() {
        let (journal, _readout) = journal::open();
        let (mut kept, closing) = (Kept::default(), CancellationToken::new());
        closing.cancel();
        let mut endless = tokio::io::repeat(7).take(1 << 40);
        let stopped = pump(
            Stream::Stderr,
            &mut endless,
            100_000,
            &mut kept,
            Ears { journal: &journal, tripwires: &Tripwires::new(&[]) },
            &closing,
        )
        .await;
        assert_eq!((stopped, kept.output.bytes.len()), (Stopped::AtLimit, 100_000));
        assert!((1 << 40) - endless.limit() <= 100_000 + 65_536);
    }
}
