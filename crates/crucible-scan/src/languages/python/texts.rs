//! What Python's text literals say.
//!
//! Invariant: a literal without escapes is borrowed from the source.

use super::{Kind, Python};
use crate::facts::{Data, Origin, Value};
use crate::fold::{Escapes, unescaped};
use crate::walk::{Child, Step};
use std::borrow::Cow;
use tree_sitter::Node;

/// A literal's parts.
struct Literal<'t> {
    prefix: &'t str,
    /// What is between the quotation marks.
    inner: &'t str,
}

impl<'t> Literal<'t> {
    fn of(source: &'t str) -> Option<Self> {
        let quote = source.find(['"', '\''])?;
        let (prefix, rest) = source.split_at(quote);
        let mark = &rest[..1];
        let triple = &[mark, mark, mark].concat();
        let marks = if rest.len() >= 6 && rest.starts_with(triple) { 3 } else { 1 };
        let inner = rest.get(marks..rest.len().checked_sub(marks)?)?;
        Some(Self { prefix, inner })
    }

    fn has(&self, letter: u8) -> bool {
        self.prefix.bytes().any(|byte| byte.eq_ignore_ascii_case(&letter))
    }
}

/// Text between quotation marks, without its escapes.
fn plain<'t>(inner: &'t str, literal: &Literal<'t>) -> Cow<'t, str> {
    if literal.has(b'r') || !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let kind = if literal.has(b'b') { Escapes::Bytes } else { Escapes::Text };
    Cow::Owned(unescaped(inner, kind))
}

impl<'t> Python<'_, 't, '_> {
    /// Only a text that holds expressions needs a look at its parts.
    pub(super) fn enter_text(&self, node: Node<'t>) -> Step {
        let source = self.reading.source(node);
        let prefix = source.bytes().take(3).take_while(u8::is_ascii_alphabetic);
        let has_expressions = prefix.into_iter().any(|letter| matches!(letter, b'f' | b'F' | b't' | b'T'));
        if has_expressions { Step::Descend } else { Step::Leaf }
    }

    pub(super) fn text(&mut self, node: Node<'t>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let Some(literal) = Literal::of(self.reading.source(node)) else { return Value::UNKNOWN };
        if literal.inner.len() > crate::fold::LONGEST {
            // Kept as it is: it is borrowed, and may still be looked at.
            return Value::text(literal.inner, Origin::Literal);
        }
        if !children.iter().any(|child| child.kind == Kind::Interpolation) {
            let text = plain(literal.inner, &literal);
            return if literal.has(b'b') { bytes_of(text) } else { Value::text(text, Origin::Literal) };
        }
        let mut whole = Value::text("", Origin::Assembled);
        for child in children.iter_mut() {
            let value = std::mem::take(&mut child.value);
            if value == Value::None {
                continue;
            }
            let piece = match (child.kind, value) {
                (Kind::TextPiece, Value::Known(Data::Text(Cow::Borrowed(text)), origin)) => {
                    let text = text.replace("{{", "{").replace("}}", "}");
                    let piece = if literal.has(b'r') { text } else { unescaped(&text, Escapes::Text) };
                    Value::text(piece, origin)
                }
                (Kind::Interpolation, value @ Value::Known(Data::Number(_), _)) => match value.as_integer() {
                    Some(number) => Value::text(number.to_string(), Origin::Assembled),
                    None => Value::Unknown(Origin::Assembled),
                },
                (_, value) => value,
            };
            if child.kind == Kind::TextPiece && !piece_is_blank(&piece) {
                // A piece may tell something even where the whole isn't known.
                self.reading.constant(child.node, &piece);
            }
            whole = self.reading.fold.concatenate(whole, piece);
        }
        whole
    }
}

fn piece_is_blank(piece: &Value<'_>) -> bool {
    piece.as_text().is_none_or(|text| text.len() < 3)
}

/// The characters up to 255 of a literal of bytes as bytes.
fn bytes_of(text: Cow<'_, str>) -> Value<'_> {
    if text.is_ascii() {
        return match text {
            Cow::Borrowed(text) => Value::Known(Data::Bytes(Cow::Borrowed(text.as_bytes())), Origin::Literal),
            Cow::Owned(text) => Value::Known(Data::Bytes(Cow::Owned(text.into_bytes())), Origin::Literal),
        };
    }
    let bytes: Vec<u8> = text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap_or(b'?')).collect();
    Value::Known(Data::Bytes(bytes.into()), Origin::Literal)
}
