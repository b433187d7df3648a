//! Paths as URI references (RFC 3986).
//!
//! Invariant: what comes out holds only characters that need no escape, so that no path can pass for another scheme,
//! host, query or fragment.

use std::fmt::Write;

/// The URI reference of a path: relative for a relative path, `file:` for an absolute one.
#[must_use]
pub fn uri_reference(path: &[u8]) -> String {
    let mut uri = String::with_capacity(path.len() + 8);
    if path.starts_with(b"/") {
        uri.push_str("file://");
    }
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            // Writing to a String can't fail.
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri_reference;

    #[test]
    fn only_what_needs_no_escape_is_left() {
        for (path, uri) in [
            ("src/main.py", "src/main.py"),
            ("a b/%41?x#y.py", "a%20b/%2541%3Fx%23y.py"),
            ("javascript:alert(1)", "javascript%3Aalert%281%29"),
            ("é.py", "%C3%A9.py"),
            ("/tmp/x y.py", "file:///tmp/x%20y.py"),
            ("a\nb", "a%0Ab"),
            ("", ""),
        ] {
            assert_eq!(uri_reference(path.as_bytes()), uri);
        }
        assert_eq!(uri_reference(b"\xff"), "%FF");
    }
}
