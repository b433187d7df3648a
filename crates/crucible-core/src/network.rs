//! What the network of a sandbox is, and the destinations that it may be let out to.
//!
//! Invariant: a destination is one host and one port; there are no patterns, so that what is let in can be read off the list.

use crate::error::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The most destinations of one list.
pub const MOST_DESTINATIONS: usize = 64;
/// What comes before a list of destinations.
const ALLOW: &str = "allow:";
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// What the network of a sandbox is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum NetworkPolicy {
    /// No network at all, not even loopback.
    #[default]
    None,
    /// No way out but a proxy on the host, which goes to these destinations alone.
    AllowList(BTreeSet<Destination>),
}

/// A kind of network that a backend can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkKind {
    /// None at all.
    None,
    /// A proxy as the only way out.
    AllowList,
}

impl NetworkPolicy {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> NetworkKind {
        match self {
            Self::None => NetworkKind::None,
            Self::AllowList(_) => NetworkKind::AllowList,
        }
    }
}

/// A place outside that a guest may be let out to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

/// A host, as a guest names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// By name: ASCII, in lower case, without a dot at the end.
    Name(String),
    /// By address.
    Address(IpAddr),
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "read the network", message).with_hint(
        "it is none, or allow:HOST:PORT with more destinations after commas; an IPv6 address stands in brackets",
    )
}

impl FromStr for NetworkPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "none" {
            return Ok(Self::None);
        }
        let list = text.strip_prefix(ALLOW).ok_or_else(|| invalid(format!("there is no network {text:?}")))?;
        let destinations = list.split(',').map(str::parse).collect::<Result<BTreeSet<_>, _>>()?;
        if destinations.len() > MOST_DESTINATIONS {
            return Err(invalid(format!("{} destinations are more than {MOST_DESTINATIONS}", destinations.len())));
        }
        Ok(Self::AllowList(destinations))
    }
}

impl fmt::Display for NetworkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::AllowList(destinations) => {
                let all: Vec<_> = destinations.iter().map(Destination::to_string).collect();
                write!(f, "{ALLOW}{}", all.join(","))
            }
        }
    }
}

impl TryFrom<String> for NetworkPolicy {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<NetworkPolicy> for String {
    fn from(network: NetworkPolicy) -> Self {
        network.to_string()
    }
}

impl FromStr for Destination {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid(format!("{text:?} has no port")))?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|&port: &u16| digits && port != 0);
        let port = port.ok_or_else(|| invalid(format!("the port of {text:?} is no number from 1 to 65535")))?;
        Ok(Self { host: host.parse()?, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Host {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let address: Option<std::net::Ipv6Addr> = address.parse().ok();
            return address
                .map(|address| Self::Address(IpAddr::from(address).to_canonical()))
                .ok_or_else(|| invalid(format!("{text:?} is no IPv6 address")));
        }
        if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            let bytes = label.as_bytes();
            (1..=LONGEST_LABEL).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits is an address to some resolvers (127.1, 0x7f.1), and never a name to others.
        let last_is_word =
            name.rsplit('.').next().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_alphabetic()));
        if name.len() > LONGEST_NAME || !name.split('.').all(is_label) || !last_is_word {
            return Err(invalid(format!("{text:?} is neither a host name nor an address")));
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_read_back_as_they_are_written() {
        for text in ["none", "allow:example.org:443", "allow:10.0.0.1:80,[2001:db8::1]:8080,a.b-c.d:1"] {
            let network: NetworkPolicy = text.parse().unwrap();
            assert_eq!(network.to_string().parse::<NetworkPolicy>().unwrap(), network);
        }
        let network: NetworkPolicy = "allow:Example.ORG.:443,example.org:443".parse().unwrap();
        assert_eq!(network.to_string(), "allow:example.org:443");
        assert_eq!("[::ffff:10.0.0.1]:80".parse::<Destination>().unwrap().to_string(), "10.0.0.1:80");
    }

    #[test]
    fn what_is_no_network_is_refused_with_the_mend() {
        for text in [
            "",
            "host",
            "allow:",
            "allow:example.org",
            "allow:example.org:0",
            "allow:example.org:+1",
            "allow:example.org:65536",
            "allow::80",
            "allow:*.example.org:443",
            "allow:exa mple.org:80",
            "allow:127.1:80",
            "allow:0x7f.1:80",
            "allow:2130706433:80",
            "allow:::1:80",
            "allow:[::1:80",
            "allow:[1.2.3.4]:80",
            "allow:a..b:80",
            "allow:-a.b:80",
            "allow:example.org:443,",
            "allow:a.b:80/x",
            "allow:user@example.org:80",
            "allow:a\u{0}b:80",
            "allow:bücher.example:80",
        ] {
            let error = text.parse::<NetworkPolicy>().unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.contains("allow:HOST:PORT")), "{text:?}");
        }
        let many: Vec<_> = (0..=MOST_DESTINATIONS).map(|number| format!("a{number}.example:80")).collect();
        assert!(format!("allow:{}", many.join(",")).parse::<NetworkPolicy>().is_err());
        assert!(format!("allow:{}:80", "a".repeat(64)).parse::<NetworkPolicy>().is_err());
    }
}
