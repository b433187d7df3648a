//! Texts of a guest's, made fit for a record: bounded, and without anything that could act on who reads it.

/// The most characters of one text.
const LONGEST: usize = 200;

/// A text with whatever isn't printable escaped, cut off where it is too long.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut shown = String::new();
    let mut length = 0;
    for character in String::from_utf8_lossy(bytes).chars() {
        // Escapes control characters, unassigned ones and those that change the direction of writing.
        let is_plain = character == ' ' || (!character.is_whitespace() && !is_invisible(character));
        let piece = if is_plain { character.to_string() } else { character.escape_default().to_string() };
        length += piece.chars().count();
        if length > LONGEST {
            shown.push('…');
            return shown;
        }
        shown.push_str(&piece);
    }
    shown
}

/// Control characters, and those that only steer how others are shown.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFE00..=0xFE0F | 0xFEFF
            | 0xFFF9..=0xFFFB | 0xE0000..=0xE0FFF)
}

/// A command line as one text, with arguments quoted that would be read as several.
pub(super) fn command_line(arguments: &[u8]) -> String {
    // More than can be shown isn't looked at.
    let arguments = arguments.get(..LONGEST * 4).unwrap_or(arguments);
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(arguments);
    let quoted = |argument: &[u8]| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=:,+@%^".contains(byte) || !byte.is_ascii();
        if !argument.is_empty() && argument.iter().all(is_plain) {
            argument.to_vec()
        } else {
            [b"'", argument, b"'"].concat()
        }
    };
    let all: Vec<Vec<u8>> = arguments.split(|byte| *byte == 0).map(quoted).collect();
    shown(&all.join(&b' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_line_shows_where_its_arguments_end() {
        assert_eq!(command_line(b"/bin/sh\0-c\0echo a b\0"), "/bin/sh -c 'echo a b'");
        assert_eq!(command_line(b"ls\0\0"), "ls ''");
        assert_eq!(command_line(b"a\x1b[2J\n"), r"'a\u{1b}[2J\n'");
    }

    #[test]
    fn what_steers_the_reader_is_escaped() {
        assert_eq!(shown("a\u{202e}b\u{200b}".as_bytes()), r"a\u{202e}b\u{200b}");
        assert_eq!(shown("größer".as_bytes()), "größer");
    }

    proptest! {
        #[test]
        fn every_text_is_short_and_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            for text in [shown(&bytes), command_line(&bytes)] {
                prop_assert!(text.chars().count() <= LONGEST + 1);
                prop_assert!(!text.chars().any(|character| character.is_control() || is_invisible(character)));
            }
        }
    }
}
