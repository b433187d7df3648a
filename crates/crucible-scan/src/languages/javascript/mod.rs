//! From the syntax of JavaScript and TypeScript to facts.
//!
//! Invariant: aliases and constants are followed as far as one look at each expression tells; nothing is executed. Types
//! are passed over.

mod calls;
mod imports;
mod kinds;
mod operators;

pub(super) use kinds::Kinds;

use crate::facts::{Arguments, Data, Fact, Facts, Origin, Value};
use crate::fold::{Escapes, MOST_ITEMS, unescaped};
use crate::reading::Reading;
use crate::scopes::ScopeId;
use crate::walk::{At, Child, Step, Visitor, walk};
use kinds::Kind;
use operators::{is_always_true, number};
use std::borrow::Cow;
use tree_sitter::{Node, Tree};

/// Objects that stand for everything that is built in.
const ROOTS: &[&str] = &["globalThis", "window", "global", "self", "top", "frames"];

/// A body that is gone through once the code around it has been.
#[derive(Clone, Copy)]
struct Body<'t> {
    node: Node<'t>,
    scope: ScopeId,
    function: Node<'t>,
}

struct JavaScript<'k, 't, 'f> {
    kinds: &'k Kinds,
    reading: Reading<'t, 'f>,
    bodies: Vec<Body<'t>>,
    function: Option<Node<'t>>,
}

/// Tells what is in a text.
pub(super) fn read(kinds: &Kinds, tree: &Tree, text: &str, facts: &mut dyn Facts) {
    let mut reader =
        JavaScript { kinds, reading: Reading::new(text, facts, ROOTS), bodies: Vec::new(), function: None };
    let mut cursor = tree.walk();
    walk(&mut cursor, tree.root_node(), Kind::Program, &mut reader);
    let mut next = 0;
    while let Some(&body) = reader.bodies.get(next) {
        next += 1;
        reader.reading.scopes.enter(body.scope);
        reader.reading.scopes.open(body.scope);
        reader.reading.begin_body();
        reader.function = Some(body.function);
        reader.bind_parameters(body.function);
        walk(&mut cursor, body.node, Kind::Function, &mut reader);
    }
}

impl<'t> Visitor<'t> for JavaScript<'_, 't, '_> {
    type Kind = Kind;

    fn kind(&self, symbol: u16) -> Option<Kind> {
        self.kinds.kind(symbol)
    }

    fn gathers(&self, kind: Kind) -> bool {
        matches!(
            kind,
            Kind::Member
                | Kind::Subscript
                | Kind::Call
                | Kind::New
                | Kind::Arguments
                | Kind::Template
                | Kind::TemplateValue
                | Kind::Binary
                | Kind::Unary
                | Kind::Ternary
                | Kind::Array
                | Kind::Object
                | Kind::Pair
                | Kind::Arrow
                | Kind::Declarator
                | Kind::Assignment
                | Kind::Augmented
                | Kind::Through
                | Kind::Sequence
                | Kind::Spread
                | Kind::Computed
        )
    }

    fn missing(&mut self, node: Node<'t>) {
        self.reading.syntax_error(node);
    }

    fn too_deep(&mut self, _: Node<'t>) {
        self.reading.facts.leave_unread("a part of it is nested too deeply");
    }

    fn enter(&mut self, at: &At<'t, Kind>) -> Step {
        match at.kind {
            Kind::Skipped | Kind::Pattern | Kind::Parameters => return Step::Skip,
            Kind::Identifier
            | Kind::Property
            | Kind::ImportKeyword
            | Kind::Text
            | Kind::TemplatePiece
            | Kind::TemplateEscape
            | Kind::Number
            | Kind::True
            | Kind::False
            | Kind::Nothing
            | Kind::Shorthand
            | Kind::Regex => return Step::Leaf,
            Kind::Error => {
                self.reading.syntax_error(at.node);
            }
            Kind::Import => {
                self.import(at.node);
                return Step::Skip;
            }
            Kind::Export => self.export(at.node),
            Kind::Function => self.define(at.node),
            Kind::Class => {
                if let Some(name) = at.node.child_by_field_id(self.kinds.name) {
                    let name = self.identifier(name);
                    self.reading.scopes.bind(name, Value::UNKNOWN);
                }
            }
            Kind::Block if matches!(at.parent, Kind::Function | Kind::Arrow) && at.field == self.kinds.body => {
                if let Some(function) = at.around {
                    // An arrow's own scope holds its parameters already.
                    let scope = self.reading.scopes.current();
                    self.bodies.push(Body { node: at.node, scope, function });
                }
                return Step::Skip;
            }
            Kind::Arrow => {
                let current = self.reading.scopes.current();
                self.reading.scopes.open(current);
                self.reading.begin_condition();
                self.bind_parameters(at.node);
            }
            Kind::Branch | Kind::Ternary => self.reading.begin_condition(),
            Kind::Binary if self.is_logical(at.node) => self.reading.begin_condition(),
            Kind::While => {
                self.reading.begin_loop();
                if let Some(condition) = at.node.child_by_field_id(self.kinds.condition)
                    && is_always_true(self.reading.source(condition))
                {
                    self.reading.loop_is_endless();
                }
            }
            Kind::For => {
                self.reading.begin_loop();
                let condition = at.node.child_by_field_id(self.kinds.condition);
                let condition = condition.map_or("", |condition| self.reading.source(condition));
                if condition.trim_matches([';', ' ']).is_empty() || is_always_true(condition) {
                    self.reading.loop_is_endless();
                }
            }
            Kind::ForIn => {
                self.reading.begin_loop();
                if let Some(target) = at.node.child_by_field_id(self.kinds.left) {
                    self.bind_target(target, Value::UNKNOWN);
                }
            }
            _ => {}
        }
        Step::Descend
    }

    fn leave(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let value = self.value(at, children);
        if let Value::Known(_, origin) = &value {
            let makes = matches!(
                at.kind,
                Kind::Binary | Kind::Call | Kind::Subscript | Kind::Template | Kind::Through | Kind::New
            );
            let uses = matches!(
                at.parent,
                Kind::Binary | Kind::Through | Kind::Member | Kind::Call | Kind::Subscript | Kind::TemplateValue
            );
            let is_written = matches!(at.kind, Kind::Text | Kind::Template) && *origin == Origin::Literal;
            if (*origin > Origin::Literal && makes && !uses)
                || (is_written && at.parent != Kind::Statement && at.kind != Kind::Call)
            {
                self.reading.constant(at.node, &value);
            }
        }
        value
    }
}

impl<'t> JavaScript<'_, 't, '_> {
    /// A name, with the letters that its escapes stand for.
    fn identifier(&mut self, node: Node<'t>) -> Cow<'t, str> {
        let written = self.reading.source(node);
        if !written.contains('\\') {
            return Cow::Borrowed(written);
        }
        let name = unescaped(written, Escapes::Text);
        let shape = crate::rules::Shape::DisguisedName;
        self.reading.tell(node, Fact::Shape { shape, name: &name });
        Cow::Owned(name)
    }

    fn is_logical(&self, node: Node<'t>) -> bool {
        let operator = node.child_by_field_id(self.kinds.operator).map(|node| self.reading.source(node));
        matches!(operator, Some("&&" | "||" | "??"))
    }

    fn value(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let source = self.reading.source(at.node);
        match at.kind {
            Kind::Identifier => {
                let name = self.identifier(at.node);
                let is_written = matches!(
                    (at.parent, at.field),
                    (Kind::Declarator | Kind::Function | Kind::Class, field) if field == self.kinds.name
                ) || (matches!(at.parent, Kind::Assignment | Kind::Augmented | Kind::ForIn)
                    && at.field == self.kinds.left)
                    || (at.parent == Kind::Arrow && at.field == self.kinds.parameter);
                if is_written {
                    return Value::None;
                }
                let value = self.read_name(at.node, name);
                if at.parent == Kind::Arguments {
                    self.reading.assembled(at.node, &value);
                }
                value
            }
            Kind::ImportKeyword => Value::name("import"),
            Kind::Number => number(source),
            Kind::True => Value::Known(Data::Bool(true), Origin::Literal),
            Kind::False => Value::Known(Data::Bool(false), Origin::Literal),
            Kind::Nothing => Value::Known(Data::Nothing, Origin::Literal),
            Kind::Text => {
                let inner = source.get(1..source.len().saturating_sub(1)).unwrap_or_default();
                let is_plain = !inner.contains('\\') || inner.len() > crate::fold::LONGEST;
                let text = if is_plain { Cow::Borrowed(inner) } else { Cow::Owned(unescaped(inner, Escapes::Text)) };
                Value::text(text, Origin::Literal)
            }
            Kind::TemplatePiece => Value::text(source, Origin::Literal),
            Kind::TemplateEscape => Value::text(unescaped(source, Escapes::Text), Origin::Literal),
            Kind::Template => self.template(children),
            Kind::TemplateValue | Kind::Computed => first(children),
            Kind::Through => {
                let is_typed = source.ends_with(')') || source.starts_with("await");
                if is_typed { last(children) } else { first(children) }
            }
            Kind::Sequence => last(children),
            Kind::Member => {
                let Some(property) = children.last().filter(|child| child.field == self.kinds.property) else {
                    return Value::UNKNOWN;
                };
                let name = self.identifier(property.node);
                let object = first(children);
                self.member(at.node, object, name)
            }
            Kind::Subscript => {
                let key = last(children);
                let object = first(children);
                self.item(at.node, object, &key)
            }
            Kind::Call => self.call(at, children),
            Kind::New => self.construct(at, children),
            Kind::Arguments => arguments(children),
            Kind::Spread => Value::Spread(Box::new(first(children))),
            Kind::Array => Value::list(items(children)),
            Kind::Object => Value::object(entries(children)),
            Kind::Pair => self.pair(children),
            Kind::Shorthand => {
                let name = self.identifier(at.node);
                let value = self.read_name(at.node, name.clone());
                Value::Keyword(Box::new((name, value)))
            }
            Kind::Binary => self.binary(at.node, children),
            Kind::Unary => match (source.as_bytes().first(), first(children)) {
                (Some(b'-'), Value::Known(Data::Number(number), origin)) => Value::Known(Data::Number(-number), origin),
                (Some(b'!'), Value::Known(Data::Number(number), origin)) => {
                    Value::Known(Data::Bool(number == 0.0), origin)
                }
                _ => Value::UNKNOWN,
            },
            Kind::Ternary => {
                self.reading.end_condition();
                Value::UNKNOWN
            }
            Kind::Branch => {
                self.reading.end_condition();
                Value::None
            }
            Kind::Arrow => {
                self.reading.scopes.close();
                self.reading.end_condition();
                match children.last().filter(|child| child.field == self.kinds.body && child.kind != Kind::Block) {
                    Some(_) => Value::Gives(Box::new(last(children))),
                    None => Value::UNKNOWN,
                }
            }
            Kind::Declarator => {
                let Some(target) = children.first().map(|child| child.node) else { return Value::None };
                let has_value = children.last().is_some_and(|child| child.field == self.kinds.value);
                let value = if has_value { last(children) } else { Value::UNKNOWN };
                self.written(at.node, target, None, value);
                Value::None
            }
            Kind::Assignment => {
                let value = last(children);
                let copy = self.reading.fold.copy(&value);
                if let Some(target) = children.first_mut() {
                    let (node, object) = (target.node, std::mem::take(&mut target.value));
                    self.written(at.node, node, Some(object), value);
                }
                copy
            }
            Kind::Augmented => self.augment(at.node, children),
            Kind::While | Kind::For | Kind::ForIn => {
                self.reading.end_loop(at.node);
                Value::None
            }
            Kind::Return | Kind::Yield => {
                self.reading.leaves_function();
                Value::None
            }
            Kind::Break => {
                self.reading.leaves_loop();
                Value::None
            }
            Kind::Function | Kind::Class => Value::Function(at.node.start_byte()),
            Kind::Other => Value::UNKNOWN,
            _ => Value::None,
        }
    }

    fn read_name(&mut self, node: Node<'t>, name: Cow<'t, str>) -> Value<'t> {
        let value = match self.reading.scopes.look_up(&name) {
            Some(value) => self.reading.fold.copy(value),
            None => Value::Name(name, Origin::Literal),
        };
        self.reading.tell_use(node, &value);
        value
    }

    fn member(&mut self, node: Node<'t>, object: Value<'t>, name: Cow<'t, str>) -> Value<'t> {
        match object {
            // What another file gives as its default is that file.
            Value::Name(..) if name == "default" => object,
            object => self.reading.attribute(node, object, name),
        }
    }

    /// `object[key]`.
    fn item(&mut self, node: Node<'t>, object: Value<'t>, key: &Value<'t>) -> Value<'t> {
        match (&object, key) {
            (Value::Known(Data::Text(_) | Data::Bytes(_), _) | Value::List(_), key) if key.as_integer().is_some() => {
                let index = key.as_integer().unwrap_or_default();
                self.reading.fold.item(&object, index)
            }
            (_, Value::Known(Data::Text(key), _)) => {
                let name = key.clone().into_owned();
                self.member(node, object, Cow::Owned(name))
            }
            (Value::Name(name, origin), _) => Value::Name(self.reading.joined(name, "?"), *origin),
            _ => Value::Unknown(object.origin()),
        }
    }

    fn pair(&mut self, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let value = last(children);
        let Some(key) = children.first_mut() else { return Value::None };
        let name = match std::mem::take(&mut key.value) {
            Value::Known(Data::Text(name), _) => name,
            Value::None if key.kind == Kind::Property => self.identifier(key.node),
            _ => return Value::None,
        };
        Value::Keyword(Box::new((name, value)))
    }

    /// Something is written to a name, a member or several names.
    fn written(&mut self, node: Node<'t>, target: Node<'t>, object: Option<Value<'t>>, value: Value<'t>) {
        let name = match target.kind() {
            "identifier" => Some(self.identifier(target).into_owned()),
            "member_expression" | "subscript_expression" => {
                object.as_ref().and_then(|object| self.reading.canonical(object)).map(Cow::into_owned)
            }
            _ => None,
        };
        if let Some(name) = name {
            self.reading.facts.tell(node.byte_range(), Fact::Assign { name: &name, value: &value });
        }
        self.bind_target(target, value);
    }
}

fn first<'t>(children: &mut [Child<'t, Kind>]) -> Value<'t> {
    children.first_mut().map_or(Value::UNKNOWN, |child| std::mem::take(&mut child.value))
}

fn last<'t>(children: &mut [Child<'t, Kind>]) -> Value<'t> {
    children.last_mut().map_or(Value::UNKNOWN, |child| std::mem::take(&mut child.value))
}

fn items<'t>(children: &mut [Child<'t, Kind>]) -> Vec<Value<'t>> {
    let values = children.iter_mut().take(MOST_ITEMS);
    values.map(|child| std::mem::take(&mut child.value)).filter(|value| *value != Value::None).collect()
}

fn entries<'t>(children: &mut [Child<'t, Kind>]) -> Vec<(Cow<'t, str>, Value<'t>)> {
    let values = children.iter_mut().take(256).map(|child| std::mem::take(&mut child.value));
    values
        .filter_map(|value| match value {
            Value::Keyword(entry) => Some(*entry),
            _ => None,
        })
        .collect()
}

fn arguments<'t>(children: &mut [Child<'t, Kind>]) -> Value<'t> {
    let mut arguments = Arguments::default();
    for child in children.iter_mut().take(1000) {
        match std::mem::take(&mut child.value) {
            Value::None => {}
            Value::Spread(values) => match *values {
                Value::List(values) => arguments.positional.extend(values.iter().cloned()),
                other => arguments.positional.push(Value::Unknown(other.origin())),
            },
            value => arguments.positional.push(value),
        }
    }
    Value::Arguments(Box::new(arguments))
}
