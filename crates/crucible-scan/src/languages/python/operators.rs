//! What Python's operators, slices and numbers give.

use super::{Kind, Python, first, last};
use crate::facts::{Origin, Value};
use crate::walk::{At, Child};
use tree_sitter::Node;

impl<'t> Python<'_, 't, '_> {
    pub(super) fn binary(&mut self, node: Node<'t>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let operator = node.child_by_field_id(self.kinds.operator).map(|node| self.reading.source(node));
        let nodes = (children.first().map(|child| child.node), children.last().map(|child| child.node));
        let (left, right) = (first(children), last(children));
        match operator.unwrap_or_default() {
            "+" => {
                self.piece(nodes.0, &left, &right);
                self.piece(nodes.1, &right, &left);
                self.reading.fold.concatenate(left, right)
            }
            "%" if left.as_bytes().is_some() => self.reading.format_percent(&left, &right),
            "*" => match (left.as_integer(), right.as_integer()) {
                (_, Some(times)) if left.as_bytes().is_some() => self.reading.fold.repeat(&left, times),
                (Some(times), _) if right.as_bytes().is_some() => self.reading.fold.repeat(&right, times),
                (Some(left), Some(right)) => whole_number(left.checked_mul(right)),
                _ => Value::UNKNOWN,
            },
            "/" => match left {
                // A path that is put together stays what it is.
                Value::Name(..) => left,
                _ => Value::UNKNOWN,
            },
            operator => match (left.as_integer(), right.as_integer()) {
                (Some(left), Some(right)) => whole_number(match operator {
                    "-" => left.checked_sub(right),
                    "^" => Some(left ^ right),
                    "&" => Some(left & right),
                    "|" => Some(left | right),
                    "%" => left.checked_rem_euclid(right).filter(|_| right > 0),
                    "//" => left.checked_div_euclid(right).filter(|_| right > 0),
                    "<<" => u32::try_from(right).ok().and_then(|right| left.checked_mul(1_i64.checked_shl(right)?)),
                    "**" => u32::try_from(right).ok().and_then(|right| left.checked_pow(right)),
                    ">>" => u32::try_from(right).ok().and_then(|right| left.checked_shr(right)),
                    _ => None,
                }),
                _ => Value::UNKNOWN,
            },
        }
    }

    /// A text that is put together, beside something that isn't known: nobody else will tell of it.
    fn piece(&mut self, node: Option<Node<'t>>, value: &Value<'t>, other: &Value<'t>) {
        if let Some(node) = node
            && value.origin() > Origin::Literal
            && other.as_bytes().is_none()
        {
            self.reading.constant(node, value);
        }
    }

    pub(super) fn subscript(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let [object, rest @ ..] = children else { return Value::UNKNOWN };
        let is_slice = rest.first().is_some_and(|child| child.kind == Kind::Slice);
        let key_node = rest.first().map(|child| child.node);
        let (object, key) = (std::mem::take(&mut object.value), first(rest));
        self.piece(key_node, &key, &object);
        if is_slice {
            let Value::List(bounds) = key else { return Value::UNKNOWN };
            let bound = |place: usize| bounds.get(place).and_then(Value::as_integer);
            let is_known = bounds.iter().all(|bound| *bound == Value::None || bound.as_integer().is_some());
            return if is_known {
                self.reading.fold.slice(&object, [bound(0), bound(1), bound(2)])
            } else {
                Value::Unknown(object.origin().max(Origin::Assembled))
            };
        }
        self.item(at.node, object, &key)
    }
}

fn whole_number<'t>(number: Option<i64>) -> Value<'t> {
    // Sizes are larger than 32 bits hold; what a float doesn't hold exactly is of no use to anyone here.
    match number.filter(|number| number.unsigned_abs() < 1 << 53) {
        Some(number) => number.to_string().parse().map_or(Value::UNKNOWN, Value::number),
        None => Value::UNKNOWN,
    }
}

/// The three parts of a slice; `Value::None` for one that isn't there.
pub(super) fn slice_bounds<'t>(node: Node<'t>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
    let mut bounds = vec![Value::None, Value::None, Value::None];
    let mut place = 0;
    let mut cursor = node.walk();
    for part in node.children(&mut cursor).take(8) {
        if part.kind() == ":" {
            place += 1;
        } else if let (Some(child), Some(bound)) =
            (children.iter_mut().find(|child| child.node == part), bounds.get_mut(place))
        {
            *bound = std::mem::take(&mut child.value);
        }
    }
    Value::list(bounds)
}

pub(super) fn number<'t>(text: &str) -> Value<'t> {
    let digits: String = text.chars().filter(|letter| *letter != '_').take(64).collect();
    let lower = digits.to_ascii_lowercase();
    let whole = match lower.get(..2) {
        Some("0x") => i64::from_str_radix(&lower[2..], 16).ok(),
        Some("0o") => i64::from_str_radix(&lower[2..], 8).ok(),
        Some("0b") => i64::from_str_radix(&lower[2..], 2).ok(),
        _ => None,
    };
    match whole {
        Some(whole) => whole.to_string().parse().map_or(Value::UNKNOWN, Value::number),
        None => lower.parse().map_or(Value::UNKNOWN, Value::number),
    }
}

/// Whether a loop's condition holds whatever happens.
pub(super) fn is_always_true(condition: &str) -> bool {
    let plain: String = condition.chars().filter(|letter| !matches!(letter, ' ' | '(' | ')')).take(64).collect();
    match plain.as_str() {
        "True" | "notFalse" | "not0" | "notNone" | "..." => true,
        plain => match plain.split_once("==") {
            Some((left, right)) => left == right && left.bytes().all(|byte| byte.is_ascii_digit()),
            None => plain.parse::<u64>().is_ok_and(|number| number != 0),
        },
    }
}
