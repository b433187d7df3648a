//! Host paths and guest paths, as types that can't be mistaken for each other.

use crate::error::{Error, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A path on the machine that Crucible runs on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostPath(PathBuf);

impl HostPath {
    /// Marks a path as one of the host.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path as the standard library has it.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A path inside a sandbox: absolute, normalised, without `..`, NUL or control characters.
///
/// A relative path is taken from the work folder, [`GuestPath::WORK`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestPath(String);

impl GuestPath {
    /// The folder in which commands start and files are put.
    pub const WORK: &'static str = "/work";
    /// The longest accepted path in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Reads a path inside the sandbox.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an empty or overlong path, one with `..`, NUL or other control characters, or one
    /// that ends in a slash.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |why: &str| {
            Err(Error::new(ErrorKind::InvalidInput, "read a sandbox path", format!("the sandbox path {text:?} {why}")))
        };
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() > Self::MAX_BYTES {
            let shown: String = text.chars().take(32).collect();
            let message = format!("the sandbox path {shown:?}… is longer than {} bytes", Self::MAX_BYTES);
            return Err(Error::new(ErrorKind::InvalidInput, "read a sandbox path", message));
        }
        if text.chars().any(char::is_control) {
            return refuse("contains a control character");
        }
        if text.len() > 1 && text.ends_with('/') {
            return refuse("ends with a slash");
        }
        let mut normal = if text.starts_with('/') { String::new() } else { Self::WORK.to_owned() };
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => return refuse("contains '..'"),
                part if part.len() > 255 => return refuse("has a name longer than 255 bytes"),
                part => {
                    normal.push('/');
                    normal.push_str(part);
                }
            }
        }
        if normal.is_empty() {
            normal.push('/');
        }
        Ok(Self(normal))
    }

    /// The work folder itself.
    #[must_use]
    pub fn work() -> Self {
        Self(Self::WORK.to_owned())
    }

    /// The absolute path inside the sandbox.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path below the work folder, if it lies there: `""` for the work folder itself.
    #[must_use]
    pub fn within_work(&self) -> Option<&str> {
        let rest = self.0.strip_prefix(Self::WORK)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

impl Default for GuestPath {
    /// The work folder.
    fn default() -> Self {
        Self::work()
    }
}

impl FromStr for GuestPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for GuestPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for GuestPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn relative_paths_start_in_the_work_folder() {
        assert_eq!(GuestPath::parse("a/./b").unwrap().as_str(), "/work/a/b");
        assert_eq!(GuestPath::parse("/tmp//x").unwrap().as_str(), "/tmp/x");
        assert_eq!(GuestPath::parse("a/b").unwrap().within_work(), Some("a/b"));
        assert_eq!(GuestPath::parse("/workshop").unwrap().within_work(), None);
        assert_eq!(GuestPath::work().within_work(), Some(""));
    }

    #[test]
    fn paths_that_could_leave_or_confuse_are_refused() {
        for text in ["", "../x", "a/../b", "/work/..", "a\0b", "a\nb", "x/", &"a/".repeat(600), &"n".repeat(256)] {
            assert!(GuestPath::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_path_is_absolute_and_has_no_dotdot(text in "[a-z./\\PC]{0,40}") {
            if let Ok(path) = GuestPath::parse(&text) {
                prop_assert!(path.as_str().starts_with('/'));
                prop_assert!(path.as_str().split('/').all(|part| part != ".." && part != "."));
                prop_assert_eq!(GuestPath::parse(path.as_str()).unwrap(), path);
            }
        }
    }
}
