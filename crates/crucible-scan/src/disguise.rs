//! Text that says something else than it seems to: invisible characters, odd encodings.
//!
//! Invariant: one look at the bytes; nothing of the language but what comments look like.

use crate::facts::{Fact, Facts};
use crate::language::Language;
use crate::rules::Shape;

/// The most places that are told.
const MOST_PLACES: usize = 8;

/// Encodings in which source is what it seems to be.
const PLAIN_ENCODINGS: &[&str] = &["utf8", "ascii", "usascii", "latin1", "iso88591", "iso885915", "cp1252", "utf8sig"];

pub(crate) fn look(language: Language, text: &str, facts: &mut dyn Facts) {
    // All of these begin with the same byte.
    let mut told = 0;
    for place in memchr::memchr_iter(0xe2, text.as_bytes()) {
        let letter = text.get(place..).and_then(|rest| rest.chars().next());
        if matches!(letter, Some('\u{200b}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')) {
            facts.tell(place..place + 3, Fact::Shape { shape: Shape::HiddenCharacters, name: "" });
            told += 1;
            if told == MOST_PLACES {
                break;
            }
        }
    }
    if language == Language::Python {
        let mut start = 0;
        for line in text.split_inclusive('\n').take(2) {
            if let Some(encoding) = declared_encoding(line)
                && !PLAIN_ENCODINGS.contains(&encoding.as_str())
            {
                let shape = Shape::DisguisedEncoding;
                facts.tell(start..start + line.trim_end().len(), Fact::Shape { shape, name: &encoding });
            }
            start += line.len();
        }
    }
}

/// The encoding that a first or second line declares, without what is between its letters.
fn declared_encoding(line: &str) -> Option<String> {
    let line = line.get(..line.len().min(200)).unwrap_or_default();
    let comment = line.trim_start().strip_prefix('#')?;
    let (_, rest) = comment.split_once("coding")?;
    let name = rest.strip_prefix([':', '='])?.trim_start();
    let name = name.chars().take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'));
    let plain: String = name.filter(char::is_ascii_alphanumeric).collect();
    (!plain.is_empty()).then(|| plain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_encoding_is_found_as_the_interpreter_finds_it() {
        assert_eq!(declared_encoding("# -*- coding: UTF-8 -*-").as_deref(), Some("utf8"));
        assert_eq!(declared_encoding("#coding=rot_13").as_deref(), Some("rot13"));
        assert_eq!(declared_encoding("# encoding of the text"), None);
        assert_eq!(declared_encoding("x = 'coding: utf-7'"), None);
    }
}
