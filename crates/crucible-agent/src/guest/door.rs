//! The socket on which the agent listens for connections of its guest's, where it was asked to.
//!
//! Invariant: a connection is taken only where the supervisor waits for one, by the number that it gave. All others wait in the
//! guest's own kernel, which keeps a few.

use super::streams::Streams;
use crate::protocol::{Failure, MOST_CONNECTIONS};
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// The socket, if there is one, and the numbers of the connections that the supervisor waits for.
#[derive(Default)]
pub(super) struct Door {
    listener: Option<OwnedFd>,
    expected: VecDeque<u32>,
}

impl Door {
    pub(super) fn open(address: SocketAddrV4) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sys::bind(&listener, address)?;
        rustix::net::listen(&listener, i32::try_from(MOST_CONNECTIONS).unwrap_or(i32::MAX))?;
        Ok(Self { listener: Some(listener), expected: VecDeque::new() })
    }

    /// What has to be waited for: nothing while the supervisor waits for no connection.
    pub(super) fn waits(&self) -> Option<&OwnedFd> {
        self.listener.as_ref().filter(|_| !self.expected.is_empty())
    }

    /// The supervisor waits for one more.
    pub(super) fn expect(&mut self, number: u32) -> Result<(), Failure> {
        match &self.listener {
            Some(_) => self.expected.push_back(number),
            None => return Err(Self::failure(Errno::INVAL)),
        }
        Ok(())
    }

    /// The next connection, if one is there that is waited for.
    pub(super) fn accept(&mut self) -> Result<Option<(u32, Streams)>, Errno> {
        while let (Some(listener), Some(number)) = (&self.listener, self.expected.front().copied()) {
            match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => {
                    let streams = Streams::connection(socket)?;
                    self.expected.pop_front();
                    return Ok(Some((number, streams)));
                }
                // It was hung up on before it was heard.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }

    /// Listens no more. Gives the numbers of the connections that will never come.
    pub(super) fn close(&mut self) -> VecDeque<u32> {
        self.listener = None;
        std::mem::take(&mut self.expected)
    }

    pub(super) fn failure(why: Errno) -> Failure {
        Failure { step: "take a connection".to_owned(), errno: why.raw_os_error() }
    }
}
