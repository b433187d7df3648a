//! What JavaScript's operators, templates and numbers give.

use super::{JavaScript, Kind, first, last};
use crate::facts::{Data, Origin, Value};
use crate::walk::Child;
use tree_sitter::Node;

impl<'t> JavaScript<'_, 't, '_> {
    pub(super) fn template(&mut self, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let is_whole = children.iter().all(|child| child.kind != Kind::TemplateValue);
        let mut whole = Value::text("", Origin::Literal);
        for child in children.iter_mut() {
            let piece = match std::mem::take(&mut child.value) {
                value @ Value::Known(Data::Number(_), _) => match value.as_integer() {
                    Some(number) => Value::text(number.to_string(), Origin::Assembled),
                    None => Value::Unknown(Origin::Assembled),
                },
                value => value,
            };
            if !is_whole && piece.as_text().is_some_and(|text| text.len() > 2) {
                self.reading.constant(child.node, &piece);
            }
            whole = self.reading.fold.concatenate(whole, piece);
        }
        match whole {
            Value::Known(data, _) if is_whole => Value::Known(data, Origin::Literal),
            other => other,
        }
    }

    pub(super) fn binary(&mut self, node: Node<'t>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let operator = node.child_by_field_id(self.kinds.operator).map(|node| self.reading.source(node));
        let (left, right) = (first(children), last(children));
        let numbers = left.as_integer().zip(right.as_integer());
        let made = match (operator.unwrap_or_default(), numbers) {
            ("&&" | "||" | "??", _) => {
                self.reading.end_condition();
                // `x || y` is either; a name is worth more than nothing.
                return if left.as_name().is_some() { left } else { right };
            }
            ("+", None) => return self.reading.fold.concatenate(left, right),
            ("+", Some((left, right))) => left.checked_add(right),
            ("-", Some((left, right))) => left.checked_sub(right),
            ("*", Some((left, right))) => left.checked_mul(right),
            ("^", Some((left, right))) => Some(left ^ right),
            ("&", Some((left, right))) => Some(left & right),
            ("|", Some((left, right))) => Some(left | right),
            ("%", Some((left, right))) if right > 0 && left >= 0 => Some(left % right),
            _ => None,
        };
        match made.and_then(|number| i32::try_from(number).ok()) {
            Some(number) => Value::number(f64::from(number)),
            None => Value::UNKNOWN,
        }
    }

    pub(super) fn augment(&mut self, node: Node<'t>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let operator = node.child_by_field_id(self.kinds.operator).map(|node| self.reading.source(node));
        let right = last(children);
        let Some(target) = children.first().filter(|child| child.kind == Kind::Identifier) else {
            return Value::UNKNOWN;
        };
        let name = self.identifier(target.node);
        let value = match (operator, self.reading.scopes.take(&name)) {
            (Some("+="), Some(left)) => self.reading.fold.concatenate(left, right),
            _ => Value::Unknown(right.origin()),
        };
        self.reading.scopes.bind(name, value);
        Value::UNKNOWN
    }
}

pub(super) fn number<'t>(text: &str) -> Value<'t> {
    let plain: String = text.chars().filter(|letter| *letter != '_').take(64).collect();
    let lower = plain.trim_end_matches('n').to_ascii_lowercase();
    let radix = match lower.get(..2) {
        Some("0x") => Some(16),
        Some("0o") => Some(8),
        Some("0b") => Some(2),
        _ => None,
    };
    let number = match radix {
        Some(radix) => i64::from_str_radix(&lower[2..], radix).ok().and_then(|number| number.to_string().parse().ok()),
        None => lower.parse().ok(),
    };
    number.map_or(Value::UNKNOWN, Value::number)
}

pub(super) fn is_always_true(condition: &str) -> bool {
    let plain = condition.trim_matches(['(', ')', ' ', ';']);
    matches!(plain, "true" | "!0" | "!false" | "1==1" | "1===1") || plain.parse::<u64>().is_ok_and(|number| number != 0)
}
