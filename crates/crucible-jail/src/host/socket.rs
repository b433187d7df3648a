//! The message socket for the asynchronous side.

use super::JailError;
use crate::socket::{self, Longest, MessageError};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One end of a message socket.
pub(super) struct MessageSocket {
    descriptor: AsyncFd<OwnedFd>,
}

impl MessageSocket {
    pub(super) fn new(descriptor: OwnedFd) -> Result<Self, JailError> {
        rustix::io::ioctl_fionbio(&descriptor, true).map_err(JailError::os("make a socket non-blocking"))?;
        let descriptor = crate::sys::watch(descriptor, Interest::READABLE | Interest::WRITABLE)
            .map_err(JailError::io("watch a socket"))?;
        Ok(Self { descriptor })
    }

    /// Ends the conversation: the other side sees that at once.
    pub(super) fn shut_down(&self) {
        // Fails only if the other side has ended it already.
        let _ended = rustix::net::shutdown(self.descriptor.get_ref(), rustix::net::Shutdown::Both).is_ok();
    }

    /// Sends a message.
    pub(super) async fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), MessageError> {
        loop {
            match socket::send(self.descriptor.get_ref(), message, descriptors) {
                Err(MessageError::Os(Errno::AGAIN)) => {}
                other => return other,
            }
            let mut ready = self.descriptor.writable().await.map_err(|_| MessageError::Closed)?;
            ready.clear_ready();
        }
    }

    /// Receives a message, which has to fit into a packet. Cancel-safe: a message is either returned or still there.
    pub(super) async fn receive<T: DeserializeOwned>(&self) -> Result<(T, Vec<OwnedFd>), MessageError> {
        loop {
            let mut ready = self.descriptor.readable().await.map_err(|_| MessageError::Closed)?;
            match socket::receive(self.descriptor.get_ref(), Longest::Packet) {
                Err(MessageError::Os(Errno::AGAIN)) => ready.clear_ready(),
                Err(MessageError::Os(Errno::INTR)) => {}
                other => return other,
            }
        }
    }
}
