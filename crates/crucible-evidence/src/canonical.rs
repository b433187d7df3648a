//! One JSON text for one value (RFC 8785), and SHA-256 of bytes.
//!
//! Invariant: values hold no number beyond what a double holds exactly, so that every implementation of the RFC gives the
//! same text.

use crucible_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest;
use std::fmt::{self, Write};
use std::str::FromStr;

/// The canonical JSON of a value.
///
/// # Errors
/// `Infrastructure` for what JSON can't hold.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value).map_err(|error| {
        Error::new(ErrorKind::Infrastructure, "write canonical JSON", "a value can't be written as canonical JSON")
            .with_source(error)
    })
}

/// A SHA-256 digest, shown in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            write!(text, "{byte:02x}")?;
        }
        f.pad(&text)
    }
}

/// What isn't 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 hexadecimal digits in lower case")]
pub struct NotADigest;

impl FromStr for Sha256Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.len() != 64 {
            return Err(NotADigest);
        }
        let nibble = |character: u8| match character {
            b'0'..=b'9' => Ok(character - b'0'),
            b'a'..=b'f' => Ok(character - b'a' + 10),
            _ => Err(NotADigest),
        };
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return Err(NotADigest) };
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_count() {
        let one: serde_json::Value = serde_json::from_str(r#"{"b": 1, "a": {"d": "é", "c": []}}"#).unwrap();
        let other: serde_json::Value = serde_json::from_str(r#"{"a":{"c":[],"d":"\u00e9"},"b":1}"#).unwrap();
        assert_eq!(json(&one).unwrap(), r#"{"a":{"c":[],"d":"é"},"b":1}"#.as_bytes());
        assert_eq!(json(&one).unwrap(), json(&other).unwrap());
    }

    #[test]
    fn a_digest_is_read_back_and_nothing_else_is() {
        // The digest of nothing, as everybody knows it.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256Digest::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Sha256Digest::of(b"")));
        for wrong in ["", "e3", &empty.to_uppercase(), &format!("{empty}0"), &empty.replace('e', "g")] {
            assert_eq!(wrong.parse::<Sha256Digest>(), Err(NotADigest), "{wrong}");
        }
    }
}
