//! Texts with places to fill in: `"%s" % x`, `"{}".format(x)`.
//!
//! Invariant: only what is simple is filled in; a width, precision or conversion that isn't known gives `None`.

use crate::facts::{Data, Value};
use std::borrow::Cow;

/// `"%s%c" % values`.
pub(crate) fn format_percent(template: &str, values: &[Value<'_>]) -> Option<String> {
    let mut text = String::new();
    let mut values = values.iter();
    let mut letters = template.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next()? {
            '%' => text.push('%'),
            's' | 'd' | 'i' | 'r' => text.push_str(&shown(values.next()?)?),
            'c' => match values.next()? {
                Value::Known(Data::Text(letter), _) => text.push_str(letter),
                value => text.push(letter_of(value)?),
            },
            'x' => text.push_str(&format!("{:x}", value_of(values.next()?)?)),
            _ => return None,
        }
        if text.len() > super::LONGEST {
            return None;
        }
    }
    values.next().is_none().then_some(text)
}

/// `"{}{0}{name}".format(..)`, and what is in an f-string's braces.
pub(crate) fn format_braces(
    template: &str,
    values: &[Value<'_>],
    named: &[(Cow<'_, str>, Value<'_>)],
) -> Option<String> {
    let mut text = String::new();
    let mut next = 0;
    let mut rest = template;
    while let Some(place) = rest.find(['{', '}']) {
        text.push_str(&rest[..place]);
        let brace = &rest[place..=place];
        rest = &rest[place + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        let (field, after) = rest.split_once('}').filter(|_| brace == "{")?;
        rest = after;
        let (field, shape) = field.split_once(':').unwrap_or((field, ""));
        let field = field.trim_end_matches("!s");
        let value = if field.is_empty() {
            next += 1;
            values.get(next - 1)?
        } else if let Ok(index) = field.parse::<usize>() {
            values.get(index)?
        } else {
            &named.iter().find(|(name, _)| name == field)?.1
        };
        match shape {
            "" | "s" => text.push_str(&shown(value)?),
            "c" => text.push(letter_of(value)?),
            "x" => text.push_str(&format!("{:x}", value_of(value)?)),
            _ => return None,
        }
        if text.len() > super::LONGEST {
            return None;
        }
    }
    text.push_str(rest);
    Some(text)
}

/// A value as text.
pub(super) fn shown<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::Known(Data::Text(text), _) => Some(Cow::Borrowed(text)),
        Value::Known(Data::Number(_), _) => value.as_integer().map(|number| Cow::Owned(number.to_string())),
        Value::Known(Data::Bool(true), _) => Some("True".into()),
        Value::Known(Data::Bool(false), _) => Some("False".into()),
        Value::Known(Data::Nothing, _) => Some("None".into()),
        _ => None,
    }
}

fn value_of(value: &Value<'_>) -> Option<i64> {
    value.as_integer().filter(|number| *number >= 0)
}

fn letter_of(value: &Value<'_>) -> Option<char> {
    char::from_u32(u32::try_from(value.as_integer()?).ok()?)
}
