//! A streaming filter between a hostile program and a terminal.
//!
//! Colours, tabs, line ends and printable text pass. Everything else that a terminal might obey (cursor movement, titles,
//! clipboard, device queries, 8-bit controls, direction overrides) is made visible instead. Sequences and characters may
//! be cut anywhere between two pieces.

/// The longest colour sequence that passes, in bytes.
const LONGEST_SEQUENCE: usize = 64;

/// Whether a character steers rather than shows.
pub(crate) fn is_control(c: char) -> bool {
    // Explicit directional formatting can make a text read as something else.
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The filter of one stream.
#[derive(Debug, Default)]
pub(crate) struct TerminalFilter {
    /// The beginning of a sequence or character whose end hasn't come yet.
    held: Vec<u8>,
    coloured: bool,
}

/// What the held bytes are the beginning of.
enum Prefix {
    /// A colour sequence or character that is complete.
    Whole,
    /// One that more bytes could complete.
    Partial,
    /// Nothing that may pass as it is.
    Hopeless,
}

impl TerminalFilter {
    /// What may be written of the next piece.
    pub(crate) fn filter(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + self.held.len());
        for byte in piece {
            self.held.push(*byte);
            self.settle(&mut out);
        }
        out
    }

    /// What is to be written at the end: what was held back, and the terminal's own colours.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while !self.held.is_empty() {
            self.give_up(&mut out);
            self.settle(&mut out);
        }
        if self.coloured {
            out.extend_from_slice(b"\x1b[0m");
            self.coloured = false;
        }
        out
    }

    /// Writes what is complete, until nothing or only a beginning is held.
    fn settle(&mut self, out: &mut Vec<u8>) {
        while let Some(first) = self.held.first() {
            let prefix = if *first == 0x1b { colour_prefix(&self.held) } else { character_prefix(&self.held) };
            match prefix {
                Prefix::Partial => return,
                Prefix::Whole => {
                    self.pass(out);
                    return;
                }
                Prefix::Hopeless => self.give_up(out),
            }
        }
    }

    /// Writes one complete colour sequence or character.
    fn pass(&mut self, out: &mut Vec<u8>) {
        if self.held.first() == Some(&0x1b) {
            self.coloured = true;
            out.append(&mut self.held);
            return;
        }
        // A complete character is valid by construction, so nothing is lost here.
        for c in String::from_utf8_lossy(&self.held).chars() {
            push(out, visible(c));
        }
        self.held.clear();
    }

    /// Shows the first held byte as what it is, and leaves the rest to be looked at anew.
    fn give_up(&mut self, out: &mut Vec<u8>) {
        let first = self.held.remove(0);
        push(out, if first.is_ascii() { visible(char::from(first)) } else { char::REPLACEMENT_CHARACTER });
    }
}

/// The character that is shown in the place of `c`.
pub(crate) fn visible(c: char) -> char {
    match c {
        '\n' | '\r' | '\t' => c,
        // The pictures of control characters are in the same order as they are.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        c if is_control(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Whether the bytes, which begin with ESC, are a colour sequence: `ESC [ digits ; : m`.
fn colour_prefix(bytes: &[u8]) -> Prefix {
    match bytes {
        [_] => Prefix::Partial,
        [_, b'[', parameters @ ..] => match parameters.split_last() {
            None => Prefix::Partial,
            Some((b'm', _)) => Prefix::Whole,
            Some((b'0'..=b'9' | b';' | b':', _)) if bytes.len() < LONGEST_SEQUENCE => Prefix::Partial,
            Some(_) => Prefix::Hopeless,
        },
        _ => Prefix::Hopeless,
    }
}

/// Whether the bytes are one character of UTF-8.
fn character_prefix(bytes: &[u8]) -> Prefix {
    match std::str::from_utf8(bytes) {
        Ok(_) => Prefix::Whole,
        Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => Prefix::Partial,
        Err(_) => Prefix::Hopeless,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> String {
        let mut filter = TerminalFilter::default();
        let mut out = filter.filter(bytes);
        out.extend(filter.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_colours_and_ordinary_whitespace_pass() {
        for text in ["héllo\tworld\r\n", "日本語 🦀\n", "a\u{301}", ""] {
            assert_eq!(whole(text.as_bytes()), text);
        }
        assert_eq!(whole(b"\x1b[1;38:2:1:2:3mred\x1b[m"), "\x1b[1;38:2:1:2:3mred\x1b[m\x1b[0m");
    }

    #[test]
    fn what_a_terminal_might_obey_is_made_visible() {
        for (given, shown) in [
            (&b"\x1b[2J"[..], "␛[2J"),
            (b"\x1b]0;title\x07", "␛]0;title␇"),
            (b"\x1b]52;c;aGk=\x1b\\", "␛]52;c;aGk=␛\\"),
            (b"\x1bc", "␛c"),
            (b"\x1b[6n\x1b[31m", "␛[6n\x1b[31m\x1b[0m"),
            (b"\x1b[?25l", "␛[?25l"),
            (b"\x1b[>4;2m", "␛[>4;2m"),
            (b"\x1b\x1b[1m", "␛\x1b[1m\x1b[0m"),
            (b"a\x08b\x7fc\0", "a␈b␡c␀"),
            (b"\xc2\x9b2J", "\u{fffd}2J"),
            (b"\x9b2J\xff", "\u{fffd}2J\u{fffd}"),
            ("\u{202e}abc\u{2066}".as_bytes(), "\u{fffd}abc\u{fffd}"),
            (b"\xf0\x9f", "\u{fffd}\u{fffd}"),
            (b"\xf0\x9fA", "\u{fffd}\u{fffd}A"),
            (b"end\x1b", "end␛"),
            (b"end\x1b[3", "end␛[3"),
        ] {
            assert_eq!(whole(given), shown, "{given:?}");
        }
        let long = [b"\x1b[".as_slice(), &b"1;".repeat(1000), b"m"].concat();
        assert!(!whole(&long).contains('\x1b'));
    }

    #[test]
    fn it_makes_no_difference_where_the_pieces_are_cut() {
        let bytes = "x\x1b[1mé🦀\x1b[2J\u{9b}\x1b[38;5;1m\u{202e}\x1b]0;t\x07z".as_bytes();
        let expected = whole(bytes);
        for size in 1..bytes.len() {
            let mut filter = TerminalFilter::default();
            let mut out: Vec<u8> = bytes.chunks(size).flat_map(|piece| filter.filter(piece)).collect();
            out.extend(filter.finish());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn no_bytes_come_out_that_a_terminal_might_obey() {
        // Every pair of bytes after an escape, and every pair at all.
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                for bytes in [vec![0x1b, first, second], vec![first, second, b'm']] {
                    let shown = whole(&bytes);
                    let plain = shown.replace("\x1b[0m", "").replace("\x1b[m", "");
                    let sound = |c: char| matches!(c, '\n' | '\r' | '\t') || !is_control(c);
                    assert!(plain.chars().all(sound), "{bytes:?} became {shown:?}");
                }
            }
        }
    }
}
