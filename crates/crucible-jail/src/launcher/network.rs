//! Network namespaces without interfaces, used again.
//!
//! Making one costs more than everything else about a sandbox together. One is used again only after every process of its
//! last user is dead, and only if no socket is left in it, as the kernel counts them. Nothing else in it can have changed: it belongs to the
//! launcher's user namespace, so that nobody inside a sandbox has a capability over it, and no interface of it is up.

use super::Step;
use crate::plan::{DOOR, Failure};
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::LinkNameSpaceType;
use std::net::SocketAddrV4;

/// The most namespaces kept for later.
const MOST_KEPT: usize = 64;

/// How many connections may wait for the supervisor.
const BACKLOG: i32 = 64;

#[derive(Default)]
pub(super) struct NetworkPool {
    free: Vec<OwnedFd>,
}

impl NetworkPool {
    /// Moves the launcher, and with it its next clone, into a network namespace that nobody else is in.
    pub(super) fn enter_unused(&mut self) -> Result<OwnedFd, Failure> {
        while let Some(network) = self.free.pop() {
            enter(&network)?;
            if holds_no_socket() {
                return Ok(network);
            }
        }
        make()
    }

    /// Makes a namespace ahead, if none is kept. A failure will be told when one is needed.
    pub(super) fn make_ahead(&mut self) {
        if self.free.is_empty() {
            self.free.extend(make().ok());
        }
    }

    /// Moves the launcher, and with it its next clone, into a new namespace that has its loopback and a listening socket on
    /// it. Such a one is never used again.
    pub(super) fn enter_one_with_a_door() -> Result<OwnedFd, Failure> {
        sys::unshare(libc::CLONE_NEWNET).step("make a network namespace")?;
        sys::bring_up_loopback(&[]).step("bring up the loopback")?;
        listen_at(&DOOR).step("listen on the loopback")
    }

    /// Takes a namespace back in which no process is left.
    pub(super) fn give_back(&mut self, network: OwnedFd) {
        if self.free.len() < MOST_KEPT {
            self.free.push(network);
        }
    }
}

fn listen_at(address: &SocketAddrV4) -> Result<OwnedFd, Errno> {
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Makes a network namespace and moves the launcher into it.
fn make() -> Result<OwnedFd, Failure> {
    sys::unshare(libc::CLONE_NEWNET).step("make a network namespace")?;
    current().step("open the network namespace")
}

/// The network namespace that the launcher is in.
pub(super) fn current() -> Result<OwnedFd, Errno> {
    rustix::fs::open("/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Moves the launcher into a network namespace.
pub(super) fn enter(network: &OwnedFd) -> Result<(), Failure> {
    rustix::thread::move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .step("enter a network namespace")
}

/// Whether no socket lives in the network namespace that we are in: sockets on their way between dead processes can outlive
/// them for a moment. By their number alone: what they are called is a guest's, and mustn't come into an interpreter that others
/// are forked from. Kernels before 4.17 count those of the whole machine, so that nothing is used again there.
fn holds_no_socket() -> bool {
    std::fs::read_to_string("/proc/self/net/sockstat").is_ok_and(|counts| counts.starts_with("sockets: used 0\n"))
}
