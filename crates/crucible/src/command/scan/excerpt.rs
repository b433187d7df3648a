//! The line of a finding, cut to what fits a terminal, with where the finding is in it.
//!
//! Invariant: what comes out is one line of bounded width that steers no terminal, and marks and text have the same width
//! whatever characters there are: tabs, wide ones, ones without a width, none at all.

use crate::output::visible;
use crucible_core::Region;
use crucible_scan::report::Lines;
use unicode_width::UnicodeWidthChar;

/// The most columns of the terminal before a finding, and in all.
const BEFORE: usize = 60;
const WIDTH: usize = 120;

/// Stands for what is cut off.
const CUT: char = '…';

const TAB: &str = "    ";

/// A line and its marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) text: String,
    /// Columns of the terminal before the marks.
    pub(super) indent: usize,
    /// Columns under which there is a mark; at least one.
    pub(super) marks: usize,
}

impl Excerpt {
    /// The excerpt for a region; `None` where there is no text to show.
    pub(super) fn cut(lines: &mut Lines<'_>, region: Region) -> Option<Self> {
        let line = lines.line(region.line);
        let start = lines.offset(region.line, region.column).min(line.len());
        let (before, after) = line.split_at_checked(start)?;
        // Four bytes are the most that a column can come from, but for characters without a width.
        let near = after.get(..4 * WIDTH).unwrap_or(after);
        if before.iter().rev().take(4 * BEFORE).chain(near).any(|byte| *byte == 0) || line.is_empty() {
            return None;
        }
        let (head, indent) = head(before);
        let mut text = head;
        let marked = match region.end_line.cmp(&region.line) {
            std::cmp::Ordering::Greater => u64::MAX,
            _ => region.end_column.saturating_sub(region.column),
        };
        let (mut width, mut marks, mut at) = (indent, 0, 0_u64);
        let is_whole = near.len() == after.len();
        let near = String::from_utf8_lossy(near);
        let mut characters = near.chars();
        for c in characters.by_ref() {
            let (shown, columns) = shown(c);
            if width + columns > WIDTH {
                text.push(CUT);
                return Some(Self { text, indent, marks: marks.max(1) });
            }
            text.push_str(&shown);
            width += columns;
            if at < marked {
                marks += columns;
            }
            at += 1;
        }
        if !is_whole {
            text.push(CUT);
        }
        Some(Self { text, indent, marks: marks.max(1) })
    }
}

/// The end of what is before a finding, and how many columns it takes.
fn head(before: &[u8]) -> (String, usize) {
    let from = before.len().saturating_sub(4 * BEFORE);
    // Whatever is cut in the middle of a character is at the far end, and more is cut off there.
    let near = String::from_utf8_lossy(before.get(from..).unwrap_or_default());
    let (mut pieces, mut width) = (Vec::new(), 0);
    let mut characters = near.chars().rev();
    for c in characters.by_ref() {
        let (shown, columns) = shown(c);
        if width + columns > BEFORE {
            pieces.push(CUT.to_string());
            width += 1;
            pieces.reverse();
            return (pieces.concat(), width);
        }
        pieces.push(shown);
        width += columns;
    }
    if from > 0 {
        pieces.push(CUT.to_string());
        width += 1;
    }
    pieces.reverse();
    (pieces.concat(), width)
}

/// What is shown of a character, and its width. What can't be seen is made visible: a reviewer has to see what there is.
fn shown(c: char) -> (String, usize) {
    if c == '\t' {
        return (TAB.to_owned(), TAB.len());
    }
    let c = if is_invisible(c) || c == '\r' { char::REPLACEMENT_CHARACTER } else { visible(c) };
    (c.to_string(), c.width().unwrap_or(1))
}

/// Characters that have no width and belong to no other character.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &[u8], column: u64, end_column: u64) -> (String, String) {
        let region = Region { line: 1, column, end_line: 1, end_column };
        let excerpt = Excerpt::cut(&mut Lines::of(text), region).unwrap();
        (excerpt.text, format!("{}{}", " ".repeat(excerpt.indent), "^".repeat(excerpt.marks)))
    }

    #[test]
    fn marks_are_under_what_they_mark() {
        let pair = |text: &str, marks: &str| (text.to_owned(), marks.to_owned());
        assert_eq!(cut(b"a = eval(x)", 5, 12), pair("a = eval(x)", "    ^^^^^^^"));
        assert_eq!(cut(b"\teval(x)", 2, 6), pair("    eval(x)", "    ^^^^"));
        assert_eq!(cut("日本 = eval(x)".as_bytes(), 6, 10), pair("日本 = eval(x)", "       ^^^^"));
        assert_eq!(cut("日本 = 1".as_bytes(), 1, 3), pair("日本 = 1", "^^^^"));
        assert_eq!(cut(b"x \x1b[2J\r", 3, 4), pair("x ␛[2J", "  ^"));
        assert_eq!(cut("e\u{301}\u{202e}x".as_bytes(), 3, 4), pair("e\u{301}\u{fffd}x", " ^"));
        assert_eq!(cut(b"\xff\xfex", 3, 4), pair("\u{fffd}\u{fffd}x", "  ^"));
        assert_eq!(cut(b"x", 9, 12), pair("x", " ^"));
    }

    #[test]
    fn a_region_over_several_lines_is_marked_to_the_end_of_its_first() {
        let region = Region { line: 1, column: 3, end_line: 4, end_column: 1 };
        let excerpt = Excerpt::cut(&mut Lines::of(b"x f(\n1,\n2\n)"), region).unwrap();
        assert_eq!((excerpt.indent, excerpt.marks), (2, 2));
    }

    #[test]
    fn a_long_line_is_shown_around_the_finding() {
        let line = [b"x".repeat(100_000), b"eval(y)".to_vec(), b"z".repeat(100_000)].concat();
        let (text, marks) = cut(&line, 100_001, 100_008);
        assert!(text.starts_with("…xx") && text.ends_with("zz…"), "{text}");
        assert_eq!(text.chars().position(|c| c == 'e').unwrap(), marks.find('^').unwrap());
        assert_eq!(marks.trim_start(), "^^^^^^^");
    }

    #[test]
    fn bytes_are_no_line() {
        let region = Region { line: 1, column: 1, end_line: 1, end_column: 2 };
        assert_eq!(Excerpt::cut(&mut Lines::of(b"\x7fELF\x02\0\0"), region), None);
        assert_eq!(Excerpt::cut(&mut Lines::of(b""), region), None);
    }

    proptest! {
        #[test]
        fn an_excerpt_is_one_bounded_line_that_steers_nothing(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\t'), Just(0x1b), Just(0xe2)], 0..400),
            column in 1_u64..400,
            length in 0_u64..50,
            line in 1_u64..4,
        ) {
            let region = Region { line, column, end_line: line, end_column: column + length };
            if let Some(Excerpt { text, indent, marks }) = Excerpt::cut(&mut Lines::of(&bytes), region) {
                prop_assert!(text.chars().all(|c| !crate::output::is_control(c)), "{text:?}");
                let width: usize = text.chars().filter_map(|c| c.width()).sum();
                prop_assert!(width <= WIDTH + 4 && indent + marks <= WIDTH + 4, "{text:?}");
            }
        }
    }
}
