//! What each side says first: who it is and which version of the protocol it speaks. Of fixed length, so that it is told
//! apart from anything else that a container's first process might print.

/// The version of the protocol.
pub const VERSION: u16 = 3;
/// How long a preamble is.
pub const LENGTH: usize = 16;

const NAME: [u8; 14] = *b"crucible-agent";

/// What this side says first.
#[must_use]
pub fn ours() -> [u8; LENGTH] {
    let mut preamble = [0; LENGTH];
    let (name, version) = preamble.split_at_mut(NAME.len());
    name.copy_from_slice(&NAME);
    version.copy_from_slice(&VERSION.to_le_bytes());
    preamble
}

/// Why the other side's preamble isn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It is something else.
    Unknown,
    /// It speaks another version.
    OtherVersion(u16),
}

/// Looks at the other side's preamble.
///
/// # Errors
/// Why it isn't accepted.
pub fn check(theirs: &[u8; LENGTH]) -> Result<(), Stranger> {
    let (name, version) = theirs.split_at(NAME.len());
    if name != NAME {
        return Err(Stranger::Unknown);
    }
    match <[u8; 2]>::try_from(version).map(u16::from_le_bytes) {
        Ok(VERSION) => Ok(()),
        Ok(other) => Err(Stranger::OtherVersion(other)),
        Err(_) => Err(Stranger::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_told_from_something_else() {
        assert_eq!(check(&ours()), Ok(()));
        let mut other = ours();
        other[14] = 9;
        assert_eq!(check(&other), Err(Stranger::OtherVersion(9)));
        assert_eq!(check(b"exec: no such fi"), Err(Stranger::Unknown));
    }
}
