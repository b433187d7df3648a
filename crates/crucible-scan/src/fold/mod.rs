//! Light constant folding: what an expression of constants gives, as far as it is cheap to say.
//!
//! Invariant: no result is longer than [`LONGEST`] bytes, and all results of one file together cost at most
//! [`WORK`] bytes; beyond that an answer is «unknown», never wrong.

mod decode;
mod format;

pub(crate) use decode::{Encoding, Escapes, decode, encoded_blob, unescaped};
pub(crate) use format::{format_braces, format_percent};

use crate::facts::{Data, Origin, Value};
use std::borrow::Cow;
use std::rc::Rc;

/// The longest constant that is made, in bytes.
pub(crate) const LONGEST: usize = 256 * 1024;

/// The most items of a list that are kept.
pub(crate) const MOST_ITEMS: usize = 4096;

/// The most bytes that are made for one file.
const WORK: usize = 16 * 1024 * 1024;

/// Makes constants out of constants until its work is used up.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    left: usize,
}

impl Default for Fold {
    fn default() -> Self {
        Self { left: WORK }
    }
}

impl Fold {
    /// Whether this many bytes may be made.
    pub(crate) fn spend(&mut self, bytes: usize) -> Option<()> {
        if bytes > LONGEST {
            return None;
        }
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }

    /// A copy of a variable's value.
    pub(crate) fn copy<'t>(&mut self, value: &Value<'t>) -> Value<'t> {
        match self.spend(weight(value)) {
            Some(()) => value.clone(),
            None => Value::Unknown(value.origin()),
        }
    }

    /// `left + right`.
    pub(crate) fn concatenate<'t>(&mut self, left: Value<'t>, right: Value<'t>) -> Value<'t> {
        let origin = left.origin().max(right.origin()).max(Origin::Assembled);
        match (left, right) {
            (Value::Known(Data::Number(left), origin), Value::Known(Data::Number(right), _)) => {
                Value::Known(Data::Number(left + right), origin)
            }
            (Value::Known(Data::Text(left), _), Value::Known(Data::Text(right), _)) => {
                if left.len() + right.len() > LONGEST || self.spend(right.len() + 1).is_none() {
                    return Value::Unknown(origin);
                }
                let mut text = left.into_owned();
                text.push_str(&right);
                Value::text(text, origin)
            }
            (Value::Known(Data::Bytes(left), _), Value::Known(Data::Bytes(right), _)) => {
                if left.len() + right.len() > LONGEST || self.spend(right.len() + 1).is_none() {
                    return Value::Unknown(origin);
                }
                let mut bytes = left.into_owned();
                bytes.extend_from_slice(&right);
                Value::Known(Data::Bytes(bytes.into()), origin)
            }
            (Value::List(mut left), Value::List(right)) => {
                if left.len() + right.len() <= MOST_ITEMS && self.spend((left.len() + right.len()) * 32).is_some() {
                    Rc::make_mut(&mut left).extend(right.iter().cloned());
                    Value::List(left)
                } else {
                    Value::Unknown(origin)
                }
            }
            (left, right) => {
                let is_text = |value: &Value<'_>| value.as_bytes().is_some();
                let is_assembled = is_text(&left) || is_text(&right) || origin > Origin::Assembled;
                let before = left.origin().max(right.origin());
                Value::Unknown(if is_assembled { origin } else { before })
            }
        }
    }

    /// `value * times`.
    pub(crate) fn repeat<'t>(&mut self, value: &Value<'t>, times: i64) -> Value<'t> {
        let times = usize::try_from(times).unwrap_or(0);
        let origin = value.origin().max(Origin::Assembled);
        let Value::Known(data, _) = value else { return Value::Unknown(origin) };
        let length = match data {
            Data::Text(text) => text.len(),
            Data::Bytes(bytes) => bytes.len(),
            _ => return Value::UNKNOWN,
        };
        if length.checked_mul(times).and_then(|length| self.spend(length)).is_none() {
            return Value::Unknown(origin);
        }
        match data {
            Data::Text(text) => Value::text(text.repeat(times), origin),
            Data::Bytes(bytes) => Value::Known(Data::Bytes(bytes.repeat(times).into()), origin),
            _ => Value::UNKNOWN,
        }
    }

    /// `value[start:stop:step]`, as Python has it.
    pub(crate) fn slice<'t>(&mut self, value: &Value<'t>, bounds: [Option<i64>; 3]) -> Value<'t> {
        let origin = value.origin().max(Origin::Assembled);
        let sliced = match value {
            Value::Known(Data::Text(text), _) => {
                let letters: Vec<char> = text.chars().collect();
                self.spend(letters.len()).and_then(|()| picked(&letters, bounds)).map(|letters| {
                    let text: String = letters.into_iter().collect();
                    Value::text(text, origin)
                })
            }
            Value::Known(Data::Bytes(bytes), _) => self
                .spend(bytes.len())
                .and_then(|()| picked(bytes, bounds))
                .map(|bytes| Value::Known(Data::Bytes(bytes.into()), origin)),
            Value::List(items) => self.spend(items.len() * 32).and_then(|()| picked(items, bounds)).map(Value::list),
            _ => None,
        };
        sliced.unwrap_or(Value::Unknown(origin))
    }

    /// `value[index]` for a text, bytes or a list.
    pub(crate) fn item<'t>(&mut self, value: &Value<'t>, index: i64) -> Value<'t> {
        let place = |length: usize| {
            let from_end = || length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
            if index < 0 { from_end() } else { usize::try_from(index).ok() }
        };
        let found = match value {
            Value::Known(Data::Text(text), _) => {
                let length = text.chars().count();
                self.spend(length)
                    .and_then(|()| place(length))
                    .and_then(|place| text.chars().nth(place))
                    .map(|letter| Value::text(letter.to_string(), value.origin().max(Origin::Assembled)))
            }
            Value::Known(Data::Bytes(bytes), _) => {
                place(bytes.len()).and_then(|place| bytes.get(place)).map(|&byte| Value::number(f64::from(byte)))
            }
            Value::List(items) => place(items.len()).and_then(|place| items.get(place)).map(|item| self.copy(item)),
            _ => None,
        };
        found.unwrap_or(Value::Unknown(value.origin()))
    }

    /// `separator.join(items)`.
    pub(crate) fn join<'t>(&mut self, separator: &Value<'t>, items: &Value<'t>) -> Value<'t> {
        let origin = separator.origin().max(items.origin()).max(Origin::Assembled);
        let unknown = Value::Unknown(origin);
        let Some(between) = separator.as_bytes() else { return unknown };
        let mut joined: Vec<u8> = Vec::new();
        let mut origin = origin;
        match items {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let Some(bytes) = item.as_bytes() else { return Value::Unknown(origin.max(item.origin())) };
                    origin = origin.max(item.origin());
                    let more = bytes.len() + between.len();
                    if joined.len() + more > LONGEST || self.spend(more).is_none() {
                        return Value::Unknown(origin);
                    }
                    if index > 0 {
                        joined.extend_from_slice(between);
                    }
                    joined.extend_from_slice(bytes);
                }
            }
            Value::Known(Data::Text(text), _) => {
                if self.spend(text.len() + between.len() * text.len()).is_none() {
                    return unknown;
                }
                let mut buffer = [0; 4];
                for (index, letter) in text.chars().enumerate() {
                    if index > 0 {
                        joined.extend_from_slice(between);
                    }
                    joined.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
                }
            }
            _ => return unknown,
        }
        match separator {
            Value::Known(Data::Text(_), _) => match String::from_utf8(joined) {
                Ok(text) => Value::text(text, origin),
                Err(_) => Value::Unknown(origin),
            },
            _ => Value::Known(Data::Bytes(joined.into()), origin),
        }
    }

    /// `value.replace(from, to)`, all of them.
    pub(crate) fn replace<'t>(&mut self, value: &Value<'t>, from: &str, to: &str) -> Value<'t> {
        let origin = value.origin().max(Origin::Assembled);
        let Some(text) = value.as_text() else { return Value::Unknown(origin) };
        let count = if from.is_empty() { text.len() + 1 } else { text.matches(from).count() };
        let length = count.checked_mul(to.len()).map(|more| text.len() + more);
        if length.and_then(|length| self.spend(length)).is_none() {
            return Value::Unknown(origin);
        }
        Value::text(text.replace(from, to), origin)
    }

    /// A text made anew out of one that is known.
    pub(crate) fn mapped<'t>(&mut self, value: &Value<'t>, map: impl FnOnce(&str) -> String) -> Value<'t> {
        let origin = value.origin().max(Origin::Assembled);
        match value {
            Value::Known(Data::Text(text), _) if self.spend(text.len()).is_some() => Value::text(map(text), origin),
            _ => Value::Unknown(origin),
        }
    }

    /// Text as bytes.
    pub(crate) fn encoded<'t>(value: Value<'t>) -> Value<'t> {
        match value {
            Value::Known(Data::Text(Cow::Borrowed(text)), origin) => {
                Value::Known(Data::Bytes(Cow::Borrowed(text.as_bytes())), origin)
            }
            Value::Known(Data::Text(Cow::Owned(text)), origin) => {
                Value::Known(Data::Bytes(text.into_bytes().into()), origin)
            }
            other => Value::Unknown(other.origin()),
        }
    }

    /// Bytes as text; every byte as its own letter where they aren't UTF-8.
    pub(crate) fn decoded_text<'t>(value: Value<'t>) -> Value<'t> {
        match value {
            Value::Known(Data::Bytes(Cow::Borrowed(bytes)), origin) => match std::str::from_utf8(bytes) {
                Ok(text) => Value::text(text, origin),
                Err(_) => Value::text(latin(bytes), origin),
            },
            Value::Known(Data::Bytes(Cow::Owned(bytes)), origin) => match String::from_utf8(bytes) {
                Ok(text) => Value::text(text, origin),
                Err(error) => Value::text(latin(error.as_bytes()), origin),
            },
            Value::Known(Data::Text(text), origin) => Value::text(text, origin),
            other => Value::Unknown(other.origin()),
        }
    }
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// What a copy costs.
fn weight(value: &Value<'_>) -> usize {
    match value {
        Value::Known(Data::Text(Cow::Owned(text)), _) => text.len(),
        Value::Known(Data::Bytes(Cow::Owned(bytes)), _) => bytes.len(),
        Value::Gives(value) => 40 + weight(value),
        Value::Member(member) => 64 + weight(&member.0),
        _ => 0,
    }
}

fn picked<T: Clone>(items: &[T], [start, stop, step]: [Option<i64>; 3]) -> Option<Vec<T>> {
    let length = i64::try_from(items.len()).ok()?;
    let step = step.unwrap_or(1);
    if step == 0 {
        return None;
    }
    let bound = |place: Option<i64>, missing: i64, lowest: i64, highest: i64| match place {
        None => missing,
        Some(place) if place < 0 => place.saturating_add(length).clamp(lowest, highest),
        Some(place) => place.clamp(lowest, highest),
    };
    let (start, stop) = if step > 0 {
        (bound(start, 0, 0, length), bound(stop, length, 0, length))
    } else {
        (bound(start, length - 1, -1, length - 1), bound(stop, -1, -1, length - 1))
    };
    let mut picked = Vec::new();
    let mut place = start;
    while (step > 0 && place < stop) || (step < 0 && place > stop) {
        picked.push(items.get(usize::try_from(place).ok()?)?.clone());
        place = place.checked_add(step)?;
    }
    Some(picked)
}

#[cfg(test)]
mod tests;
