//! Probes of sockets beyond the ordinary ones, and of interfaces.

use super::{Attempt, number, parameter};
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, SendFlags, SocketFlags, SocketType, ipproto, netlink, socket_with,
};

/// Opens sockets that see or forge what others send. Harmless: nothing is sent or received.
pub(super) fn raw_socket(attempt: &mut Attempt) {
    for (family, kind, protocol) in [
        (AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)),
        (AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)),
        (AddressFamily::PACKET, SocketType::RAW, None),
        (AddressFamily::PACKET, SocketType::DGRAM, None),
    ] {
        attempt.hold(socket_with(family, kind, SocketFlags::CLOEXEC, protocol));
    }
}

/// Opens sockets that talk to rarely used parts of the kernel, where most of its holes are. Harmless: nothing is sent.
pub(super) fn rare_socket(attempt: &mut Attempt) {
    const MULTIPATH: u32 = 262;
    let multipath = RawProtocol::new(MULTIPATH).map(Protocol::from_raw);
    for (family, kind, protocol) in [
        (AddressFamily::NETLINK, SocketType::RAW, None),
        (AddressFamily::NETLINK, SocketType::RAW, Some(netlink::KOBJECT_UEVENT)),
        (AddressFamily::INET, SocketType::STREAM, multipath),
    ] {
        attempt.hold(socket_with(family, kind, SocketFlags::CLOEXEC, protocol));
    }
}

/// Sets the largest packet of the interface CANARY_NAME to CANARY_SIZE bytes. A guest that changes interfaces reads and
/// diverts what others send. Harmless: the interface is the suite's own, and nothing goes over it.
pub(super) fn interface(attempt: &mut Attempt) {
    let (Some(name), Some(Ok(mtu))) = (parameter("CANARY_NAME"), number("CANARY_SIZE").map(u32::try_from)) else {
        return;
    };
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    let by_ioctl = socket.and_then(|socket| {
        sys::set_interface_mtu(&socket, &name, i32::try_from(mtu).map_err(|_| Errno::INVAL)?)?;
        Ok(socket)
    });
    attempt.hold(by_ioctl);
    attempt.hold(by_netlink(&name, mtu));
}

/// Does the same by a message to the kernel. The answer isn't read: the host looks at the interface.
fn by_netlink(name: &str, mtu: u32) -> Result<OwnedFd, Errno> {
    // Without a protocol, netlink is about interfaces and routes.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    const SET_LINK: u16 = 19;
    const REQUEST: u16 = 1;
    const ATTRIBUTE_NAME: u16 = 3;
    const ATTRIBUTE_MTU: u16 = 4;
    let mut attributes = Vec::new();
    let terminated = [name.as_bytes(), &[0]].concat();
    for (kind, value) in [(ATTRIBUTE_NAME, terminated), (ATTRIBUTE_MTU, mtu.to_ne_bytes().to_vec())] {
        let length = u16::try_from(value.len() + 4).map_err(|_| Errno::INVAL)?;
        attributes.extend([length.to_ne_bytes(), kind.to_ne_bytes()].concat());
        attributes.extend(&value);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    // A header of 16 bytes, and 16 more that stand for an interface chosen by name.
    let length = u32::try_from(32 + attributes.len()).map_err(|_| Errno::INVAL)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend([SET_LINK.to_ne_bytes(), REQUEST.to_ne_bytes()].concat());
    message.resize(32, 0);
    message.extend(attributes);
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    Ok(socket)
}
