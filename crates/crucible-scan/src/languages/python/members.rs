//! Which names stand for what in Python: parameters, assignments, entries.

use super::{Kind, Python, last};
use crate::facts::{Data, Fact, Origin, Value};
use crate::rules::Shape;
use crate::walk::{At, Child};
use std::borrow::Cow;
use tree_sitter::Node;

impl<'t> Python<'_, 't, '_> {
    /// A function is defined.
    pub(super) fn define(&mut self, node: Node<'t>) {
        if let Some(name) = node.child_by_field_id(self.kinds.name) {
            let name = self.identifier(name);
            let answer = match &*name {
                "__eq__" => "true",
                "__ne__" => "false",
                _ => "",
            };
            if !answer.is_empty() && self.only_returns(node, answer) {
                let start = node.start_byte();
                let end = node.child_by_field_id(self.kinds.name).map_or(start, |name| name.end_byte());
                self.reading.facts.tell(start..end, Fact::Shape { shape: Shape::AlwaysEqual, name: &name });
            }
            self.reading.scopes.bind(name, Value::Function(node.start_byte()));
        }
    }

    /// Whether a function does nothing but give this, whatever it is asked.
    fn only_returns(&self, function: Node<'t>, answer: &str) -> bool {
        let Some(body) = function.child_by_field_id(self.kinds.body) else { return false };
        let mut cursor = body.walk();
        let is_talk = |node: &Node<'t>| {
            let is_text = || node.named_child(0).is_some_and(|inner| inner.kind() == "string");
            node.kind() == "comment" || node.kind() == "expression_statement" && is_text()
        };
        let steps: Vec<Node<'t>> =
            body.named_children(&mut cursor).take(16).filter(|node| !is_talk(node)).take(2).collect();
        match steps[..] {
            [only] if only.kind() == "return_statement" => {
                only.named_child(0).is_some_and(|given| given.kind() == answer)
            }
            _ => false,
        }
    }

    /// Nothing is known of a function's parameters.
    pub(super) fn bind_parameters(&mut self, function: Node<'t>) {
        if let Some(parameters) = function.child_by_field_name("parameters") {
            self.bind_each(parameters);
        }
    }

    pub(super) fn bind_each(&mut self, parameters: Node<'t>) {
        let mut cursor = parameters.walk();
        for parameter in parameters.named_children(&mut cursor).take(1000) {
            let name = match parameter.kind() {
                "identifier" => Some(parameter),
                "default_parameter" | "typed_default_parameter" => parameter.child_by_field_id(self.kinds.name),
                _ => parameter.named_child(0).and_then(|inner| match inner.kind() {
                    "identifier" => Some(inner),
                    _ => inner.named_child(0),
                }),
            };
            if let Some(name) = name.filter(|name| name.kind() == "identifier") {
                let name = self.identifier(name);
                self.reading.scopes.bind(name, Value::UNKNOWN);
            }
        }
    }

    pub(super) fn bind_comprehension(&mut self, node: Node<'t>) {
        let mut cursor = node.walk();
        let clauses: Vec<Node<'t>> =
            node.named_children(&mut cursor).filter(|child| child.kind() == "for_in_clause").take(16).collect();
        for target in clauses.iter().filter_map(|clause| clause.child_by_field_id(self.kinds.left)) {
            self.forget(target);
        }
    }

    /// Nothing is known of what is written to here.
    pub(super) fn forget(&mut self, target: Node<'t>) {
        self.bind_target(target, Value::UNKNOWN);
    }

    /// Writes a value to a name, or its items to several.
    pub(super) fn bind_target(&mut self, target: Node<'t>, value: Value<'t>) {
        match target.kind() {
            "identifier" => {
                let name = self.identifier(target);
                self.reading.scopes.bind(name, value);
            }
            "pattern_list" | "tuple_pattern" | "list_pattern" | "tuple" | "list" => {
                let mut cursor = target.walk();
                let targets: Vec<Node<'t>> = target.named_children(&mut cursor).take(256).collect();
                let mut values = match value {
                    Value::List(values) if values.len() == targets.len() => values.to_vec(),
                    _ => Vec::new(),
                };
                values.resize(targets.len(), Value::UNKNOWN);
                for (target, value) in targets.into_iter().zip(values) {
                    // One level; what is nested deeper is rare, and only forgotten.
                    if target.kind() == "identifier" {
                        let name = self.identifier(target);
                        self.reading.scopes.bind(name, value);
                    }
                }
            }
            _ => {}
        }
    }

    /// `left = right`, with what that is as a value for another one to its left.
    pub(super) fn assign(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let is_there = children.last().is_some_and(|child| child.field == self.kinds.right);
        let Some(target) = children.first().filter(|_| is_there).map(|child| child.node) else {
            return Value::None;
        };
        let value = last(children);
        let copy = if at.parent == Kind::Assignment { self.reading.fold.copy(&value) } else { Value::None };
        match target.kind() {
            "identifier" => {
                let name = self.identifier(target);
                self.reading.facts.tell(at.node.byte_range(), Fact::Assign { name: &name, value: &value });
                let is_spare = value == Value::Known(Data::Nothing, Origin::Literal)
                    && matches!(self.reading.scopes.look_up(&name), Some(Value::Name(..)));
                // `except ImportError: socket = None` takes nothing back.
                if !is_spare {
                    self.reading.scopes.bind(name, value);
                }
            }
            "attribute" | "subscript" => {
                let written = children.first_mut().map(|child| std::mem::take(&mut child.value));
                let shared = self.part_of_shared(target);
                let canonical = || written.as_ref().and_then(|written| self.reading.canonical(written));
                if let Some(name) = shared.map(Cow::Owned).or_else(canonical) {
                    let name = name.into_owned();
                    self.reading.facts.tell(at.node.byte_range(), Fact::Assign { name: &name, value: &value });
                }
            }
            _ => self.bind_target(target, value),
        }
        copy
    }

    /// What is written to where that is a part of `builtins` or `sys.modules`: what such a part stands for elsewhere isn't
    /// what is changed.
    fn part_of_shared(&mut self, target: Node<'t>) -> Option<String> {
        let object = target.child_by_field_name("object").or_else(|| target.child_by_field_id(self.kinds.value))?;
        let path = match object.kind() {
            "identifier" => {
                let name = self.identifier(object);
                match self.meaning(name) {
                    Value::Name(path, _) => path.into_owned(),
                    _ => return None,
                }
            }
            "attribute" => match (object.child_by_field_name("object"), object.child_by_field_id(self.kinds.attribute))
            {
                (Some(module), Some(name)) if module.kind() == "identifier" => {
                    let module = self.identifier(module);
                    let Value::Name(module, _) = self.meaning(module) else { return None };
                    format!("{module}.{}", self.reading.source(name))
                }
                _ => return None,
            },
            _ => return None,
        };
        if !matches!(path.as_str(), "builtins" | "sys.modules" | "builtins.__dict__") {
            return None;
        }
        let part = match target.kind() {
            "attribute" => target.child_by_field_id(self.kinds.attribute).map(|name| self.reading.source(name)),
            _ => target.child_by_field_name("subscript").map(|key| self.reading.source(key)),
        };
        let is_plain = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let part = part.map(|part| part.trim_matches(['"', '\''])).filter(is_plain).unwrap_or("?");
        Some(format!("{}.{part}", path.trim_end_matches(".__dict__")))
    }

    /// `left += right`.
    pub(super) fn augment(&mut self, node: Node<'t>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let operator = node.child_by_field_id(self.kinds.operator).map(|node| self.reading.source(node));
        let Some(target) = children.first().map(|child| child.node) else { return Value::None };
        let right = last(children);
        if target.kind() != "identifier" {
            return Value::None;
        }
        let name = self.identifier(target);
        let value = match (operator, self.reading.scopes.take(&name)) {
            (Some("+="), Some(left)) => self.reading.fold.concatenate(left, right),
            _ => Value::Unknown(right.origin()),
        };
        self.reading.scopes.bind(name, value);
        Value::None
    }

    /// `object[key]`.
    pub(super) fn item(&mut self, node: Node<'t>, object: Value<'t>, key: &Value<'t>) -> Value<'t> {
        match object {
            Value::Scope => match key.as_text() {
                Some(name) => {
                    let value = self.meaning(Cow::Owned(name.to_owned()));
                    self.reading.tell_use(node, &value);
                    value
                }
                None => Value::UNKNOWN,
            },
            Value::Name(path, origin) => {
                let text = key.as_text();
                if let Some((module, key)) = path.strip_suffix(".__dict__").zip(text) {
                    let module = Value::name(module.to_owned());
                    return self.reading.attribute(node, module, Cow::Owned(key.to_owned()));
                }
                match text {
                    Some(key) if path == "builtins" => {
                        self.reading.attribute(node, Value::Name(path, origin), Cow::Owned(key.to_owned()))
                    }
                    Some(module) if path == "sys.modules" => {
                        Value::name(super::imports::canonical_module(Cow::Owned(module.to_owned())))
                    }
                    _ => Value::Name(self.reading.joined(&path, "?"), origin),
                }
            }
            Value::Object(entries) => {
                let entry = key.as_text().and_then(|key| entries.iter().find(|(name, _)| name == key));
                entry.map_or(Value::UNKNOWN, |(_, value)| self.reading.fold.copy(value))
            }
            Value::Known(Data::Text(_) | Data::Bytes(_), _) | Value::List(_) => match key.as_integer() {
                Some(index) => self.reading.fold.item(&object, index),
                None => Value::Unknown(object.origin().max(Origin::Assembled)),
            },
            // An item of something that has no name has none either, and what it is part of is still to be seen.
            other => Value::Unknown(other.origin()),
        }
    }

    /// `global name`.
    pub(super) fn share(&mut self, node: Node<'t>) {
        let mut cursor = node.walk();
        for name in node.named_children(&mut cursor).take(64) {
            let name = self.identifier(name);
            self.reading.scopes.share(name);
        }
    }
}
