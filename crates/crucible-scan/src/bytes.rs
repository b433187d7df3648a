//! What a file is, by its first bytes.
//!
//! Invariant: nothing is unpacked or run.

use crate::rules::ContentKind;

/// What bytes are, if that shows.
pub(crate) fn kind_of(bytes: &[u8]) -> Option<ContentKind> {
    let starts: &[(&[u8], ContentKind)] = &[
        (b"\x7fELF", ContentKind::Elf),
        (b"\xfe\xed\xfa\xce", ContentKind::MachO),
        (b"\xfe\xed\xfa\xcf", ContentKind::MachO),
        (b"\xce\xfa\xed\xfe", ContentKind::MachO),
        (b"\xcf\xfa\xed\xfe", ContentKind::MachO),
        (b"\0asm", ContentKind::Wasm),
        (b"PK\x03\x04", ContentKind::Archive),
        (b"PK\x05\x06", ContentKind::Archive),
        (b"7z\xbc\xaf\x27\x1c", ContentKind::Archive),
        (b"Rar!\x1a\x07", ContentKind::Archive),
        (b"!<arch>\n", ContentKind::Archive),
        (b"\x1f\x8b\x08", ContentKind::Compressed),
        (b"BZh", ContentKind::Compressed),
        (b"\xfd7zXZ\0", ContentKind::Compressed),
        (b"\x28\xb5\x2f\xfd", ContentKind::Compressed),
    ];
    if let Some((_, kind)) = starts.iter().find(|(start, _)| bytes.starts_with(start)) {
        // A text may begin with these letters, too.
        let is_text =
            *kind == ContentKind::Compressed && bytes.starts_with(b"BZh") && bytes.get(4..10) != Some(b"1AY&SY");
        return (!is_text).then_some(*kind);
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(ContentKind::Archive);
    }
    // A Java class and a fat Mach-O begin alike; the class's version is large, the number of programs small.
    if bytes.starts_with(b"\xca\xfe\xba\xbe") {
        let number = bytes.get(4..8).and_then(|number| number.try_into().ok()).map(u32::from_be_bytes);
        return Some(if number.is_some_and(|number| number < 40) {
            ContentKind::MachO
        } else {
            ContentKind::JavaClass
        });
    }
    if bytes.starts_with(b"MZ") && has_pe_header(bytes) {
        return Some(ContentKind::Pe);
    }
    // Two bytes that count versions, then the ends of two kinds of lines.
    if bytes.get(2..4) == Some(b"\r\n") && bytes.len() >= 16 && (bytes[1] == 0x0d || bytes[1] == 0x0e) {
        return Some(ContentKind::PythonBytecode);
    }
    None
}

fn has_pe_header(bytes: &[u8]) -> bool {
    let place = bytes.get(60..64).and_then(|place| place.try_into().ok()).map(u32::from_le_bytes);
    let place = place.and_then(|place| usize::try_from(place).ok());
    place.and_then(|place| bytes.get(place..)?.get(..4)) == Some(b"PE\0\0")
}

/// Whether bytes are text that a person could read.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let start = &bytes[..bytes.len().min(4096)];
    let is_odd = |byte: &&u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t' | 0x0c | 0x1b);
    let odd = start.iter().filter(is_odd).count();
    odd * 50 <= start.len() && !start.is_empty() && {
        let wrong = String::from_utf8_lossy(start).matches(char::REPLACEMENT_CHARACTER).count();
        wrong * 20 <= start.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        assert_eq!(kind_of(b"\x7fELF\x02\x01\x01"), Some(ContentKind::Elf));
        assert_eq!(kind_of(b"PK\x03\x04rest"), Some(ContentKind::Archive));
        assert_eq!(kind_of(b"\xca\xfe\xba\xbe\x00\x00\x00\x41"), Some(ContentKind::JavaClass));
        assert_eq!(kind_of(b"\xca\xfe\xba\xbe\x00\x00\x00\x02"), Some(ContentKind::MachO));
        assert_eq!(kind_of(b"\xa7\x0d\r\n0123456789ab"), Some(ContentKind::PythonBytecode));
        let mut tar = vec![b'x'; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(kind_of(&tar), Some(ContentKind::Archive));
        let mut program = vec![0; 100];
        program[..2].copy_from_slice(b"MZ");
        program[60] = 80;
        assert_eq!(kind_of(&program), None);
        program[80..84].copy_from_slice(b"PE\0\0");
        assert_eq!(kind_of(&program), Some(ContentKind::Pe));
        for text in [&b"import os"[..], b"MZ", b"BZhello there", b"", b"\xca\xfe"] {
            assert_eq!(kind_of(text), None);
        }
    }

    #[test]
    fn text_is_told_from_other_bytes() {
        assert!(is_text("print('é')\n".as_bytes()));
        assert!(!is_text(b"\x00\x01\x02\x03"));
        assert!(!is_text(b"\xff\xfe\xfd\xfc\xfb"));
        assert!(!is_text(b""));
    }
}
