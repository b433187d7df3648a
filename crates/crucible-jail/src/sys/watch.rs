//! Watching a descriptor from the asynchronous runtime.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime.
pub(crate) fn watch(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd always gives the same descriptor and keeps it open until it is dropped, which the AsyncFd does
    // only after it has taken it out of the runtime.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(Into::into)
}
