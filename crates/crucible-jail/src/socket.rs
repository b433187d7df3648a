//! Messages over a `SOCK_SEQPACKET` socket, with descriptors. A message that is too long for one packet travels in a
//! sealed memory file, as the first descriptor.

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest message sent in one packet.
const PACKET_BYTES: usize = 32 << 10;
/// The longest message accepted in a memory file.
const LONGEST_BYTES: u64 = 16 << 20;
/// The most descriptors of one message.
const MOST_DESCRIPTORS: usize = 12;

const IN_PACKET: u8 = 0;
const IN_MEMORY_FILE: u8 = 1;

/// Why a message couldn't be sent or received.
#[derive(Debug)]
pub(crate) enum MessageError {
    /// The other side is gone.
    Closed,
    /// The kernel refused.
    #[cfg_attr(not(feature = "host"), expect(dead_code, reason = "only the supervisor tells a person why"))]
    Os(Errno),
    /// The bytes are no message.
    Malformed,
}

impl From<Errno> for MessageError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Self::Closed,
            other => Self::Os(other),
        }
    }
}

/// A connected pair.
#[cfg(any(feature = "host", test))]
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends one message with descriptors.
pub(crate) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), MessageError> {
    let body = postcard::to_stdvec(message).map_err(|_| MessageError::Malformed)?;
    if body.len() < PACKET_BYTES {
        return send_packet(socket, IN_PACKET, &body, descriptors);
    }
    let memory = rustix::fs::memfd_create("message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = std::fs::File::from(memory);
    memory.write_all(&body).map_err(|_| MessageError::Os(Errno::NOMEM))?;
    rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    let all: Vec<BorrowedFd<'_>> = std::iter::once(memory.as_fd()).chain(descriptors.iter().copied()).collect();
    send_packet(socket, IN_MEMORY_FILE, &[], &all)
}

fn send_packet(socket: impl AsFd, kind: u8, body: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), MessageError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(MessageError::Malformed);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&[kind]), IoSlice::new(body)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// How long a received message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Longest {
    /// One packet: for those who aren't trusted.
    #[cfg_attr(
        not(feature = "host"),
        expect(dead_code, reason = "the launcher and the inits hear the supervisor only")
    )]
    Packet,
    /// A memory file.
    MemoryFile,
}

/// Receives one message with its descriptors. On a non-blocking socket without one, fails with `EAGAIN`.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    longest: Longest,
) -> Result<(T, Vec<OwnedFd>), MessageError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    // No more memory than it takes: in a fork of an interpreter each page of it has to be copied.
    let nothing: &mut [u8] = &mut [];
    let (_, length) = rustix::net::recv(&socket, nothing, RecvFlags::PEEK | RecvFlags::TRUNC)?;
    let mut buffer = vec![0; length.clamp(1, PACKET_BYTES + 64)];
    let received =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(MessageError::Malformed);
    }
    let packet = buffer.get(..received.bytes).ok_or(MessageError::Malformed)?;
    let Some((kind, body)) = packet.split_first() else {
        return Err(MessageError::Closed);
    };
    let message = match *kind {
        IN_PACKET => postcard::from_bytes(body),
        IN_MEMORY_FILE if longest == Longest::MemoryFile && !descriptors.is_empty() => {
            postcard::from_bytes(&read_memory_file(descriptors.remove(0))?)
        }
        _ => return Err(MessageError::Malformed),
    };
    message.map(|message| (message, descriptors)).map_err(|_| MessageError::Malformed)
}

/// Reads a message from a memory file, which has to be sealed: nobody can change or shrink it while it is read.
fn read_memory_file(descriptor: OwnedFd) -> Result<Vec<u8>, MessageError> {
    let seals = rustix::fs::fcntl_get_seals(&descriptor).map_err(|_| MessageError::Malformed)?;
    let mut file = std::fs::File::from(descriptor);
    let length = file.metadata().map_err(|_| MessageError::Malformed)?.len();
    if !seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE) || length > LONGEST_BYTES {
        return Err(MessageError::Malformed);
    }
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|_| MessageError::Malformed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_messages_arrive_with_their_descriptors() {
        let (left, right) = pair().unwrap();
        for length in [0, 10, PACKET_BYTES - 8, PACKET_BYTES, 3 << 20] {
            let message = vec![7_u8; length];
            send(&left, &message, &[left.as_fd()]).unwrap();
            let (received, descriptors): (Vec<u8>, _) = receive(&right, Longest::MemoryFile).unwrap();
            assert_eq!((received, descriptors.len()), (message, 1));
        }
    }

    #[test]
    fn a_long_message_is_refused_from_those_who_are_not_trusted() {
        let (left, right) = pair().unwrap();
        send(&left, &vec![7_u8; PACKET_BYTES], &[]).unwrap();
        assert!(matches!(receive::<Vec<u8>>(&right, Longest::Packet), Err(MessageError::Malformed)));
    }

    #[test]
    fn a_memory_file_that_could_still_grow_is_refused() {
        let (left, right) = pair().unwrap();
        let memory = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::WRITE).unwrap();
        send_packet(&left, IN_MEMORY_FILE, &[], &[memory.as_fd()]).unwrap();
        assert!(matches!(receive::<Vec<u8>>(&right, Longest::MemoryFile), Err(MessageError::Malformed)));
    }

    #[test]
    fn garbage_and_a_closed_socket_are_told_apart() {
        let (left, right) = pair().unwrap();
        for garbage in [&[9_u8, 1, 2][..], &[0, 255, 255, 255, 255, 255], &[1]] {
            rustix::net::send(&left, garbage, SendFlags::empty()).unwrap();
            assert!(matches!(receive::<Vec<u8>>(&right, Longest::Packet), Err(MessageError::Malformed)));
        }
        drop(left);
        assert!(matches!(receive::<Vec<u8>>(&right, Longest::Packet), Err(MessageError::Closed)));
    }

    proptest::proptest! {
        /// What an init sends is read before anything else is known of it.
        #[test]
        fn no_packet_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let (left, right) = pair().unwrap();
            rustix::net::send(&left, &[&[IN_PACKET], bytes.as_slice()].concat(), SendFlags::empty()).unwrap();
            let _ = receive::<crate::plan::InitMessage>(&right, Longest::Packet);
        }
    }
}
