//! Has all files of one sandbox copied into another, over a pipe between their inits that the supervisor doesn't read.

use super::super::JailError;
use super::Sandbox;
use crate::plan::{Copying, Failure, InitRequest};
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// A broken pipe.
const BROKEN: i32 = 32;

impl Sandbox {
    /// Copies all files into a sandbox in which nothing has run yet. What processes do to them meanwhile may be in the copy
    /// or not.
    ///
    /// # Errors
    /// [`JailError::Step`] where they can't be read or don't fit.
    pub async fn copy_into(&self, other: &Self) -> Result<(), JailError> {
        let (into, out_of) = pipe_pair()?;
        let (written, read) = tokio::join!(self.copy(Copying::Out, out_of), other.copy(Copying::In, into));
        match (written, read) {
            (Ok(()), Ok(())) => Ok(()),
            // Where the second one fails, the first one finds the pipe broken, which is no reason of its own; and an end that comes
            // too early is none of the second one's.
            (Err(JailError::Step { errno: BROKEN, .. }), Err(error)) => Err(error),
            (Err(error @ JailError::Step { .. }), _) | (_, Err(error)) | (Err(error), Ok(())) => Err(error),
        }
    }

    async fn copy(&self, direction: Copying, pipe: OwnedFd) -> Result<(), JailError> {
        let (ours, theirs) = pipe_pair()?;
        self.conversation.tell(&InitRequest::Copy(direction), &[pipe.as_fd(), theirs.as_fd()]).await?;
        drop((pipe, theirs));
        rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK).map_err(JailError::os("make a pipe non-blocking"))?;
        let report = pipe::Receiver::from_owned_fd_unchecked(ours).map_err(JailError::io("watch a pipe"))?;
        let mut failure = Vec::new();
        report.take(4096).read_to_end(&mut failure).await.map_err(JailError::io("wait for the files to be copied"))?;
        // Nothing at all comes of a process that was killed.
        let failure: Failure = postcard::from_bytes(&failure).map_err(|_| JailError::Protocol("copy the files"))?;
        if failure.errno == 0 { Ok(()) } else { Err(failure.into()) }
    }
}

fn pipe_pair() -> Result<(OwnedFd, OwnedFd), JailError> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(JailError::os("make a pipe"))
}
