//! Texts and bytes that are written in another form: base64, hexadecimal, rot13, compressed.
//!
//! Invariant: what comes out is bounded by [`LONGEST`](super::LONGEST), whatever goes in.

use super::{Fold, LONGEST};
use crate::facts::{Data, Origin, Value};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A form in which something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Base64,
    Base32,
    Base16,
    Base85,
    Ascii85,
    Rot13,
    Zlib,
    Gzip,
    Deflate,
    /// `%41`.
    Percent,
    /// `\x41`.
    Escapes,
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);

/// What comes out, as bytes; for rot13 and the like as text.
pub(crate) fn decode<'t>(fold: &mut Fold, encoding: Encoding, value: &Value<'_>) -> Value<'t> {
    let unknown = Value::Unknown(Origin::Decoded);
    let Some(bytes) = value.as_bytes() else { return unknown };
    if fold.spend(bytes.len()).is_none() {
        return unknown;
    }
    let Some(decoded) = raw(encoding, bytes) else { return unknown };
    if fold.spend(decoded.len()).is_none() {
        return unknown;
    }
    let is_text = matches!(encoding, Encoding::Rot13 | Encoding::Percent | Encoding::Escapes);
    match (is_text, String::from_utf8(decoded)) {
        (true, Ok(text)) => Value::text(text, Origin::Decoded),
        (false, Ok(text)) => Value::Known(Data::Bytes(text.into_bytes().into()), Origin::Decoded),
        (_, Err(error)) => Value::Known(Data::Bytes(error.into_bytes().into()), Origin::Decoded),
    }
}

fn raw(encoding: Encoding, bytes: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => base64(bytes),
        Encoding::Base32 => base32(bytes),
        Encoding::Base16 => hexadecimal(bytes),
        Encoding::Base85 => base85(bytes, &BASE85, Zero::IsADigit),
        Encoding::Ascii85 => base85(bytes, &ASCII85, Zero::HasItsOwn),
        Encoding::Rot13 => Some(bytes.iter().map(|&byte| rotated(byte)).collect()),
        Encoding::Zlib => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, LONGEST).ok(),
        Encoding::Deflate => miniz_oxide::inflate::decompress_to_vec_with_limit(bytes, LONGEST).ok(),
        Encoding::Gzip => gzip(bytes),
        Encoding::Percent => Some(percent(bytes)),
        Encoding::Escapes => escapes(bytes),
    }
}

fn base64(bytes: &[u8]) -> Option<Vec<u8>> {
    // As lenient as the decoders of the languages: white space and the other alphabet.
    let plain: Vec<u8> = bytes
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|&byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        })
        .collect();
    STANDARD.decode(&plain).ok()
}

fn base32(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut decoded, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for &byte in bytes.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a',
            b'2'..=b'7' => byte - b'2' + 26,
            _ => return None,
        };
        held = (held << 5 | u32::from(digit)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            decoded.push(low_byte(held >> bits));
        }
    }
    Some(decoded)
}

fn low_byte(number: u32) -> u8 {
    number.to_le_bytes()[0]
}

/// White space between the digits is fine.
fn hexadecimal(bytes: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(hexadecimal_digit(pair[0])? << 4 | hexadecimal_digit(pair[1])?)).collect()
}

fn hexadecimal_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

const BASE85: [u8; 85] = *b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

const ASCII85: [u8; 85] = {
    let mut digits = [0; 85];
    let mut byte = b'!';
    while byte <= b'u' {
        digits[(byte - b'!') as usize] = byte;
        byte += 1;
    }
    digits
};

/// How four zero bytes are written.
#[derive(Clone, Copy, PartialEq)]
enum Zero {
    IsADigit,
    HasItsOwn,
}

fn base85(bytes: &[u8], digits: &[u8; 85], zero: Zero) -> Option<Vec<u8>> {
    let mut values = [None; 256];
    for (value, &digit) in (0_u32..).zip(digits) {
        values[usize::from(digit)] = Some(value);
    }
    let (mut decoded, mut group, mut count) = (Vec::new(), 0_u32, 0_usize);
    let bytes = bytes.strip_prefix(b"<~").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"~>").unwrap_or(bytes);
    for &byte in bytes.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        if byte == b'z' && zero == Zero::HasItsOwn && count == 0 {
            decoded.extend_from_slice(&[0; 4]);
            continue;
        }
        group = group.checked_mul(85)?.checked_add(values[usize::from(byte)]?)?;
        count += 1;
        if count == 5 {
            decoded.extend_from_slice(&group.to_be_bytes());
            (group, count) = (0, 0);
        }
    }
    if count > 1 {
        for _ in count..5 {
            group = group.checked_mul(85)?.checked_add(84)?;
        }
        decoded.extend_from_slice(&group.to_be_bytes()[..count - 1]);
    }
    Some(decoded)
}

fn rotated(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        other => other,
    }
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let flags = *bytes.get(3).filter(|_| bytes.starts_with(&[0x1f, 0x8b, 8]))?;
    let mut rest = bytes.get(10..)?;
    if flags & 4 != 0 {
        let length = usize::from(u16::from_le_bytes([*rest.first()?, *rest.get(1)?]));
        rest = rest.get(2 + length..)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    miniz_oxide::inflate::decompress_to_vec_with_limit(rest, LONGEST).ok()
}

fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.first().zip(after.get(1)).filter(|_| byte == b'%');
        let pair = digits.and_then(|(&high, &low)| Some(hexadecimal_digit(high)? << 4 | hexadecimal_digit(low)?));
        decoded.push(pair.unwrap_or(byte));
        rest = if pair.is_some() { &after[2..] } else { after };
    }
    decoded
}

/// `\x41`, `\101`, `\u0041` and the usual letters.
fn escapes(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(unescaped(text, Escapes::Text).into_bytes())
}

/// What backslashes stand for in a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// A number is a character's.
    Text,
    /// A number is a byte; the result's characters up to 255 stand for bytes.
    Bytes,
}

/// A literal's text without its backslashes. What isn't an escape stays as it is.
pub(crate) fn unescaped(text: &str, kind: Escapes) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        plain.push_str(&rest[..place]);
        rest = &rest[place + 1..];
        let Some(letter) = rest.chars().next() else {
            plain.push('\\');
            break;
        };
        let after = &rest[letter.len_utf8()..];
        let numbered = |digits: usize, text: &str| {
            let digits = text.get(..digits)?;
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        };
        rest = match letter {
            'n' => push(&mut plain, '\n', after),
            't' => push(&mut plain, '\t', after),
            'r' => push(&mut plain, '\r', after),
            'a' => push(&mut plain, '\u{7}', after),
            'b' => push(&mut plain, '\u{8}', after),
            'f' => push(&mut plain, '\u{c}', after),
            'v' => push(&mut plain, '\u{b}', after),
            '\\' | '\'' | '"' | '`' | '/' => push(&mut plain, letter, after),
            '\n' => after,
            'x' => match numbered(2, after) {
                Some(letter) => push(&mut plain, letter, &after[2..]),
                None => push(&mut plain, '\\', rest),
            },
            'u' if kind == Escapes::Text => {
                let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
                let braced = braced.and_then(|(digits, after)| Some((numbered(digits.len(), digits)?, after)));
                match (braced, numbered(4, after)) {
                    (Some((letter, after)), _) => push(&mut plain, letter, after),
                    (None, Some(letter)) => push(&mut plain, letter, &after[4..]),
                    (None, None) => push(&mut plain, '\\', rest),
                }
            }
            'U' if kind == Escapes::Text => match numbered(8, after) {
                Some(letter) => push(&mut plain, letter, &after[8..]),
                None => push(&mut plain, '\\', rest),
            },
            '0'..='7' => {
                let digits = rest.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                let number = u32::from_str_radix(&rest[..digits], 8).unwrap_or_default();
                push(&mut plain, char::from_u32(number & 0xff).unwrap_or_default(), &rest[digits..])
            }
            _ => push(&mut plain, '\\', rest),
        };
    }
    plain.push_str(rest);
    plain
}

fn push<'r>(plain: &mut String, letter: char, rest: &'r str) -> &'r str {
    plain.push(letter);
    if letter == '\\' && !rest.is_empty() && rest.starts_with(|next| next != '\\') {
        // The letter after a backslash that escapes nothing is taken along, so that every step goes on.
        let mut letters = rest.chars();
        if let Some(next) = letters.next() {
            plain.push(next);
        }
        return letters.as_str();
    }
    rest
}

/// The shortest text that is looked at as an encoded blob.
const SHORTEST_BLOB: usize = 48;

/// What a long text holds that nothing in the program decodes where it can be seen: base64 or hexadecimal.
pub(crate) fn encoded_blob(fold: &mut Fold, text: &[u8]) -> Option<Vec<u8>> {
    if text.len() < SHORTEST_BLOB || text.len() > LONGEST {
        return None;
    }
    let is_digit =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'\n' | b'\r');
    // Most texts end the look at their first space.
    if !text.iter().all(|&byte| is_digit(byte)) {
        return None;
    }
    fold.spend(text.len())?;
    if text.iter().all(|byte| byte.is_ascii_hexdigit() || byte.is_ascii_whitespace()) {
        return hexadecimal(text);
    }
    base64(text)
}
