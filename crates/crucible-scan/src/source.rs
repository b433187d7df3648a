//! A file's bytes as text that can be read, and places in it as lines and columns.
//!
//! Invariant: lines and columns are those that a person sees in an editor: characters that can't be read count as one
//! each, and a mark at the beginning doesn't count.

use crucible_core::Region;
use std::borrow::Cow;
use std::ops::Range;

/// A file as text.
#[derive(Debug)]
pub(crate) struct Source<'b> {
    pub(crate) text: Cow<'b, str>,
    /// It held bytes that are zero.
    pub(crate) has_zeros: bool,
}

impl<'b> Source<'b> {
    pub(crate) fn of(bytes: &'b [u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut text = String::from_utf8_lossy(bytes);
        let has_zeros = memchr::memchr(0, bytes).is_some();
        let mut carriage = memchr::memchr_iter(b'\r', text.as_bytes());
        let is_alone = |place: usize| text.as_bytes().get(place + 1) != Some(&b'\n');
        if has_zeros || carriage.any(is_alone) {
            // A line may end in a carriage return alone; grammars know only the other ends.
            let mut letters = text.chars().peekable();
            let mut plain = String::with_capacity(text.len());
            while let Some(letter) = letters.next() {
                plain.push(match letter {
                    '\r' if letters.peek() != Some(&'\n') => '\n',
                    '\0' => ' ',
                    other => other,
                });
            }
            text = Cow::Owned(plain);
        }
        Self { text, has_zeros }
    }
}

/// Tells lines and columns; cheap for places in rising order.
pub(crate) struct Places<'t> {
    text: &'t [u8],
    /// Where each line begins.
    lines: Vec<usize>,
    /// The place that was asked for last, and its column.
    last: (usize, usize, u64),
}

impl<'t> Places<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let mut lines = vec![0];
        lines.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1));
        Self { text: text.as_bytes(), lines, last: (0, 0, 1) }
    }

    pub(crate) fn region(&mut self, place: &Range<usize>) -> Region {
        let (line, column) = self.position(place.start);
        let (end_line, end_column) = self.position(place.end.max(place.start));
        Region { line, column, end_line, end_column }
    }

    fn position(&mut self, place: usize) -> (u64, u64) {
        let place = place.min(self.text.len());
        let line = self.lines.partition_point(|&start| start <= place).max(1) - 1;
        let start = self.lines.get(line).copied().unwrap_or_default();
        let (from, column) = match self.last {
            (last_line, last, column) if last_line == line && last <= place => (last, column),
            _ => (start, 1),
        };
        // Bytes that only go on with a character don't count.
        let characters = self.text[from..place].iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        let column = column + characters as u64;
        self.last = (line, place, column);
        (line as u64 + 1, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(bytes: &[u8], place: Range<usize>) -> (u64, u64, u64, u64) {
        let source = Source::of(bytes);
        let region = Places::of(&source.text).region(&place);
        (region.line, region.column, region.end_line, region.end_column)
    }

    #[test]
    fn columns_are_characters_and_lines_end_in_any_way() {
        assert_eq!(at("é = 1\nb".as_bytes(), 0..2), (1, 1, 1, 2));
        assert_eq!(at(b"\xef\xbb\xbfa", 0..1), (1, 1, 1, 2));
        assert_eq!(at(b"a\rb\r\nc\nd", 2..3), (2, 1, 2, 2));
        assert_eq!(at(b"a\rb\r\nc\nd", 5..6), (3, 1, 3, 2));
        // Each byte that can't be read is one character, three bytes long.
        assert_eq!(at(b"\xff\xffab", 6..7), (1, 3, 1, 4));
        assert_eq!(at(b"", 0..0), (1, 1, 1, 1));
        assert_eq!(at(b"ab", 7..9), (1, 3, 1, 3));
    }

    proptest! {
        #[test]
        fn places_in_any_order_are_told_as_a_person_counts(text in "[aé\n]{0,40}", places in prop::collection::vec(0_usize..60, 1..8)) {
            let mut told = Places::of(&text);
            for place in places {
                let place = (0..=place.min(text.len())).rev().find(|&place| text.is_char_boundary(place)).unwrap_or(0);
                let before = &text[..place];
                let line = before.matches('\n').count() as u64 + 1;
                let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u64 + 1;
                let region = told.region(&(place..place));
                prop_assert_eq!((region.line, region.column), (line, column));
            }
        }
    }
}
