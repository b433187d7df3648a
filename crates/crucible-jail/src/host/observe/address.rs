//! Socket addresses as they lie in a guest's memory. Hostile bytes.

use super::text::shown;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most bytes of an address that are looked at: those of `sockaddr_storage`.
pub(super) const LONGEST: usize = 128;

/// Whether it is a Unix address.
pub(super) fn is_unix(bytes: &[u8]) -> bool {
    family(bytes) == Some(libc::AF_UNIX)
}

fn family(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|family| i32::from(u16::from_ne_bytes(*family)))
}

/// An address in words: `127.0.0.1:80`, `[::1]:53`, `unix:/tmp/x`.
pub(super) fn describe(bytes: &[u8]) -> String {
    let port = || bytes.get(2..4).and_then(|port| port.try_into().ok()).map(u16::from_be_bytes);
    match family(bytes) {
        Some(libc::AF_INET) => {
            let address: Option<[u8; 4]> = bytes.get(4..8).and_then(|address| address.try_into().ok());
            if let (Some(port), Some(address)) = (port(), address) {
                return SocketAddr::from((Ipv4Addr::from(address), port)).to_string();
            }
            "an IPv4 address that is too short".to_owned()
        }
        Some(libc::AF_INET6) => {
            let address: Option<[u8; 16]> = bytes.get(8..24).and_then(|address| address.try_into().ok());
            if let (Some(port), Some(address)) = (port(), address) {
                return SocketAddr::from((Ipv6Addr::from(address), port)).to_string();
            }
            "an IPv6 address that is too short".to_owned()
        }
        Some(libc::AF_UNIX) => {
            let path = bytes.get(2..).unwrap_or_default();
            match path.split_first() {
                Some((0, name)) => format!("unix:@{}", shown(name)),
                _ => format!("unix:{}", shown(path.split(|byte| *byte == 0).next().unwrap_or_default())),
            }
        }
        Some(libc::AF_UNSPEC) => "no address, to disconnect".to_owned(),
        Some(family) => format!("an address of family {family}"),
        None => "an address that is too short".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(family: i32, rest: &[u8]) -> Vec<u8> {
        [&u16::try_from(family).unwrap().to_ne_bytes(), rest].concat()
    }

    #[test]
    fn each_family_is_shown_in_its_own_way() {
        assert_eq!(describe(&address(libc::AF_INET, &[0, 80, 127, 0, 0, 1, 0, 0])), "127.0.0.1:80");
        let mut six = vec![1, 187, 0, 0, 0, 0];
        six.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(describe(&address(libc::AF_INET6, &six)), "[2001:db8::1]:443");
        assert_eq!(describe(&address(libc::AF_UNIX, b"/tmp/x\0rest")), "unix:/tmp/x");
        assert_eq!(describe(&address(libc::AF_UNIX, b"\0hidden")), "unix:@hidden");
        assert_eq!(describe(&address(libc::AF_INET, &[0, 80])), "an IPv4 address that is too short");
        assert_eq!(describe(&address(16, &[])), "an address of family 16");
        assert_eq!(describe(&[1]), "an address that is too short");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_misbehave(bytes in proptest::collection::vec(any::<u8>(), 0..200), family in 0_u16..12) {
            let bytes = [&family.to_ne_bytes(), bytes.as_slice()].concat();
            let text = describe(&bytes);
            prop_assert!(text.chars().count() < 300 && !text.chars().any(char::is_control));
        }
    }
}
