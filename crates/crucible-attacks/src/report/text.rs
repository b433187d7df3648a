//! Texts as people may see them: nothing in them steers a terminal or a reader's eye, and nothing is cut.
//!
//! Invariant: what [`visible`] returns is one line without characters that hide, reverse or command; what [`wrap`] returns
//! holds every character of the text and no line wider than asked for. It doesn't escape for HTML or XML: what writes those
//! does.

use std::fmt::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character hides, reverses or commands rather than shows.
fn hides(character: char) -> bool {
    let code = u32::from(character);
    character.is_control()
        // What Unicode calls default-ignorable and the two separators: they have no picture of their own, and some of
        // them make a text read as something else.
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
        // Never characters, and not allowed in XML.
        || matches!(code, 0xfdd0..=0xfdef)
        || code & 0xfffe == 0xfffe
}

/// The most characters without a width of their own, such as accents, that are shown upon one that has one.
const MOST_MARKS: usize = 4;

/// The text in one line, with whatever hides written out: `\u{202e}`. Line ends and tabs become spaces.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut marks = 0;
    for character in text.chars() {
        marks = if character.width() == Some(0) { marks + 1 } else { 0 };
        if matches!(character, '\n' | '\r' | '\t') {
            shown.push(' ');
        } else if hides(character) || marks > MOST_MARKS {
            // Writing to a String can't fail.
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// How many columns of a terminal it takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// The text in lines of at most this width, broken at spaces where there are some, and else within a word. There is at least
/// one line. A single character that is wider than a line gets one of its own.
pub(super) fn wrap(text: &str, at_most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let joined = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&joined) <= at_most {
            line = joined;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        let mut rest = word;
        while let Some(end) = end_of_piece(rest, at_most) {
            lines.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        line = rest.to_owned();
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Where the first line of a word that is too wide ends: after a sign that parts its words, if one is in the second half.
/// Nowhere for a word that fits.
fn end_of_piece(word: &str, at_most: usize) -> Option<usize> {
    let mut after_sign = 0;
    for (end, character) in word.char_indices() {
        let next = end + character.len_utf8();
        if end > 0 && width(&word[..next]) > at_most {
            return Some(if after_sign > end / 2 { after_sign } else { end });
        }
        if matches!(character, '.' | '_' | '-' | '/' | ',' | ':') {
            after_sign = next;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_hides_is_written_out_and_the_rest_stays() {
        assert_eq!(visible("a\nb\tc \u{1b}[31m\u{9b}\u{202e}\u{feff}\u{ffff}\0"), {
            r"a b c \u{1b}[31m\u{9b}\u{202e}\u{feff}\u{ffff}\u{0}"
        });
        assert_eq!(visible("größer, 大きい, أكبر, 😀, <b>"), "größer, 大きい, أكبر, 😀, <b>");
    }

    #[test]
    fn long_words_are_broken_after_a_sign_and_texts_at_spaces() {
        assert_eq!(wrap("filesystem.host_path_through_a_link", 20), ["filesystem.host_", "path_through_a_link"]);
        assert_eq!(wrap("the canary was read", 10), ["the canary", "was read"]);
        assert_eq!(wrap("大きい大きい", 5), ["大き", "い大", "きい"]);
        assert_eq!(wrap("", 5), [""]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_line_is_too_wide(text in any::<String>(), at_most in 2_usize..40) {
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(hides));
            let lines = wrap(&shown, at_most);
            prop_assert!(lines.iter().all(|line| width(line) <= at_most), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&shown));
        }
    }
}
