//! Lines and columns of a text that may be anything, as findings count them.
//!
//! A line ends with a line feed, a carriage return, or both; a mark at the beginning of the file belongs to none.
//! Invariant: looking up places in ascending order costs one pass over the text, however long its lines are. What isn't
//! UTF-8 counts as its replacement characters do.

/// Where the lines of some bytes are.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    /// The place of each line's last byte.
    ends: Vec<usize>,
    /// The place that was looked up last.
    last: Place,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    line: u64,
    column: u64,
    /// Of the column, in bytes from the start of the line.
    offset: usize,
}

impl<'a> Lines<'a> {
    /// The lines of `bytes`.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let is_end =
            |place: &usize| bytes.get(*place) == Some(&b'\n') || bytes.get(place.saturating_add(1)) != Some(&b'\n');
        let ends = memchr::memchr2_iter(b'\n', b'\r', bytes).filter(is_end).collect();
        Self { bytes, ends, last: Place { line: 1, column: 1, offset: 0 } }
    }

    /// A line, from 1, without its end; empty for one that isn't there.
    #[must_use]
    pub fn line(&self, number: u64) -> &'a [u8] {
        let Some(index) = number.checked_sub(1).and_then(|index| usize::try_from(index).ok()) else {
            return &[];
        };
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => match self.ends.get(before) {
                Some(end) => end + 1,
                None => return &[],
            },
        };
        let end = self.ends.get(index).copied().unwrap_or(self.bytes.len());
        let line = self.bytes.get(start..end).unwrap_or_default();
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Where a column, from 1, begins in its line, in bytes; the line's end for one that is beyond it.
    pub fn offset(&mut self, line: u64, column: u64) -> usize {
        if line != self.last.line || column < self.last.column {
            self.last = Place { line, column: 1, offset: 0 };
        }
        let text = self.line(line);
        while self.last.column < column && self.last.offset < text.len() {
            let rest = text.get(self.last.offset..).unwrap_or_default();
            self.last.offset += character(rest);
            self.last.column += 1;
        }
        self.last.offset
    }
}

/// How many bytes the first character has, or what a replacement character stands for.
fn character(bytes: &[u8]) -> usize {
    match bytes.first() {
        None => 0,
        Some(first) if first.is_ascii() => 1,
        Some(_) => {
            // No character has more than four bytes.
            let chunk = bytes.get(..4).unwrap_or(bytes).utf8_chunks().next();
            chunk.map_or(1, |chunk| match chunk.valid().chars().next() {
                Some(c) => c.len_utf8(),
                None => chunk.invalid().len().max(1),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_without_their_ends_and_missing_ones_are_empty() {
        let lines = Lines::of(b"\xef\xbb\xbfone\r\ntwo\n\nfour\rfive");
        let all: Vec<_> = (0..=6).map(|number| lines.line(number)).collect();
        assert_eq!(all, [&b""[..], b"one", b"two", b"", b"four", b"five", b""]);
        assert_eq!(Lines::of(b"").line(1), b"");
        assert_eq!(Lines::of(b"").line(u64::MAX), b"");
    }

    #[test]
    fn columns_are_characters() {
        let mut lines = Lines::of("aé日🦀b\nx".as_bytes());
        let offsets: Vec<_> = (1..=7).map(|column| lines.offset(1, column)).collect();
        assert_eq!(offsets, [0, 1, 3, 6, 10, 11, 11]);
        assert_eq!((lines.offset(2, 1), lines.offset(1, 2), lines.offset(9, 3)), (0, 1, 0));
    }

    proptest! {
        #[test]
        fn columns_are_those_of_the_text_with_replacement_characters(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
            let characters = String::from_utf8_lossy(&bytes).chars().count() as u64;
            let mut lines = Lines::of(&bytes);
            prop_assert_eq!(lines.offset(1, characters + 1), bytes.len());
            if characters > 0 {
                prop_assert!(lines.offset(1, characters) < bytes.len());
            }
        }
    }
}
