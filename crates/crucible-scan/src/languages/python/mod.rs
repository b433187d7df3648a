//! From Python's syntax to facts: what is imported, called, used, assigned, and which constants there are.
//!
//! Invariant: aliases and constants are followed as far as one look at each expression tells; nothing is executed.

mod calls;
mod imports;
mod kinds;
mod members;
mod operators;
mod texts;

pub(super) use kinds::Kinds;

use crate::facts::{Data, Fact, Facts, Origin, Value};
use crate::reading::Reading;
use crate::scopes::ScopeId;
use crate::walk::{At, Child, Step, Visitor, walk};
use kinds::Kind;
use operators::{is_always_true, number, slice_bounds};
use std::borrow::Cow;
use tree_sitter::{Node, Tree};
use unicode_normalization::UnicodeNormalization;

/// Modules that stand for everything built in.
const ROOTS: &[&str] = &["builtins", "__builtins__", "__builtin__"];

/// The most star imports that a name is looked for in.
const MOST_STARS: usize = 4;

/// A body that is gone through once the code around it has been.
#[derive(Clone, Copy)]
struct Body<'t> {
    node: Node<'t>,
    scope: ScopeId,
    /// The function's definition; `None` for a class.
    function: Option<Node<'t>>,
}

struct Python<'k, 't, 'f> {
    kinds: &'k Kinds,
    reading: Reading<'t, 'f>,
    bodies: Vec<Body<'t>>,
    stars: Vec<&'t str>,
    /// The function whose body is gone through.
    function: Option<Node<'t>>,
}

/// Tells what is in a text.
pub(super) fn read(kinds: &Kinds, tree: &Tree, text: &str, facts: &mut dyn Facts) {
    let mut reader = Python {
        kinds,
        reading: Reading::new(text, facts, ROOTS),
        bodies: Vec::new(),
        stars: Vec::new(),
        function: None,
    };
    let mut cursor = tree.walk();
    walk(&mut cursor, tree.root_node(), Kind::Module, &mut reader);
    let mut next = 0;
    while let Some(&body) = reader.bodies.get(next) {
        next += 1;
        reader.reading.scopes.enter(body.scope);
        reader.reading.scopes.open(body.scope);
        reader.reading.begin_body();
        reader.function = body.function;
        if let Some(function) = body.function {
            reader.bind_parameters(function);
        }
        let around = if body.function.is_some() { Kind::Function } else { Kind::Class };
        walk(&mut cursor, body.node, around, &mut reader);
    }
}

impl<'t> Visitor<'t> for Python<'_, 't, '_> {
    type Kind = Kind;

    fn kind(&self, symbol: u16) -> Option<Kind> {
        self.kinds.kind(symbol)
    }

    fn gathers(&self, kind: Kind) -> bool {
        !matches!(
            kind,
            Kind::Module
                | Kind::Block
                | Kind::Function
                | Kind::Class
                | Kind::While
                | Kind::For
                | Kind::Branch
                | Kind::Statement
                | Kind::Parameters
                | Kind::Parameter
                | Kind::LambdaParameters
                | Kind::Return
                | Kind::Error
                | Kind::Other
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
            Kind::Skipped => return Step::Skip,
            Kind::Identifier | Kind::Number | Kind::True | Kind::False | Kind::Nothing | Kind::TextPiece => {
                return Step::Leaf;
            }
            Kind::Text => return self.enter_text(at.node),
            Kind::TextOther => return Step::Skip,
            Kind::Error => {
                self.reading.syntax_error(at.node);
            }
            Kind::Import | Kind::ImportFrom => {
                self.import(at.node);
                return Step::Skip;
            }
            Kind::Global => {
                self.share(at.node);
                return Step::Skip;
            }
            Kind::Function => self.define(at.node),
            Kind::Class => {
                if let Some(name) = at.node.child_by_field_id(self.kinds.name) {
                    let name = self.identifier(name);
                    self.reading.scopes.bind(name, Value::UNKNOWN);
                }
            }
            Kind::Block if matches!(at.parent, Kind::Function | Kind::Class) && at.field == self.kinds.body => {
                let scope = self.reading.scopes.current();
                let function = at.around.filter(|_| at.parent == Kind::Function);
                self.bodies.push(Body { node: at.node, scope, function });
                return Step::Skip;
            }
            Kind::Lambda => {
                let current = self.reading.scopes.current();
                self.reading.scopes.open(current);
                self.reading.begin_condition();
            }
            Kind::Comprehension => {
                let current = self.reading.scopes.current();
                self.reading.scopes.open(current);
                self.reading.begin_condition();
                self.bind_comprehension(at.node);
            }
            Kind::Branch | Kind::Conditional | Kind::Boolean => self.reading.begin_condition(),
            Kind::While => {
                self.reading.begin_loop();
                let condition = at.node.child_by_field_name("condition");
                if condition.is_some_and(|condition| is_always_true(self.reading.source(condition))) {
                    self.reading.loop_is_endless();
                }
            }
            Kind::For => {
                if let Some(target) = at.node.child_by_field_id(self.kinds.left) {
                    self.forget(target);
                }
                self.reading.begin_loop();
            }
            _ => {}
        }
        Step::Descend
    }

    fn leave(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let value = self.value(at, children);
        if let Value::Known(_, origin) = &value {
            let is_made = *origin > Origin::Literal && makes_constants(at.kind) && !uses_constants(at);
            let is_written =
                matches!(at.kind, Kind::Text) && *origin == Origin::Literal && at.parent != Kind::Statement;
            if is_made || is_written {
                self.reading.constant(at.node, &value);
            }
        }
        value
    }
}

/// Whether a constant may come about at such a node.
fn makes_constants(kind: Kind) -> bool {
    matches!(kind, Kind::Binary | Kind::Concatenated | Kind::Call | Kind::Subscript | Kind::Text | Kind::Parenthesized)
}

/// Whether the parent makes another constant out of this one, which is told then.
fn uses_constants(at: &At<'_, Kind>) -> bool {
    matches!(
        at.parent,
        Kind::Binary
            | Kind::Concatenated
            | Kind::Parenthesized
            | Kind::Attribute
            | Kind::Call
            | Kind::Subscript
            | Kind::Interpolation
            | Kind::Augmented
    )
}

impl<'t> Python<'_, 't, '_> {
    /// A name as the language sees it: letters that only look different are the same.
    fn identifier(&mut self, node: Node<'t>) -> Cow<'t, str> {
        let written = self.reading.source(node);
        if written.is_ascii() {
            return Cow::Borrowed(written);
        }
        let name: String = written.nfkc().take(256).collect();
        if name.is_ascii() {
            let shape = crate::rules::Shape::DisguisedName;
            self.reading.tell(node, Fact::Shape { shape, name: &name });
        }
        Cow::Owned(name)
    }

    fn value(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        match at.kind {
            Kind::Identifier => self.name(at),
            Kind::Number => number(self.reading.source(at.node)),
            Kind::True => Value::Known(Data::Bool(true), Origin::Literal),
            Kind::False => Value::Known(Data::Bool(false), Origin::Literal),
            Kind::Nothing => Value::Known(Data::Nothing, Origin::Literal),
            Kind::Text => self.text(at.node, children),
            Kind::TextPiece => Value::text(self.reading.source(at.node), Origin::Literal),
            Kind::Interpolation | Kind::Parenthesized | Kind::Await => first(children),
            Kind::Concatenated => {
                let mut pieces = children.iter_mut().map(|child| std::mem::take(&mut child.value));
                let start = pieces.next().unwrap_or(Value::UNKNOWN);
                pieces.fold(start, |left, right| self.reading.fold.concatenate(left, right))
            }
            Kind::Attribute => self.attribute(at, children),
            Kind::Call => self.call(at, children),
            Kind::ArgumentList => arguments(children),
            Kind::KeywordArgument => {
                let name = children.first().map(|child| self.reading.source(child.node)).unwrap_or_default();
                Value::Keyword(Box::new((name.into(), last(children))))
            }
            Kind::Spread => Value::Spread(Box::new(first(children))),
            Kind::Binary => self.binary(at.node, children),
            Kind::Unary => match (self.reading.source(at.node).as_bytes().first(), first(children)) {
                (Some(b'-'), Value::Known(Data::Number(number), origin)) => Value::Known(Data::Number(-number), origin),
                _ => Value::UNKNOWN,
            },
            Kind::Conditional => {
                self.reading.end_condition();
                first(children)
            }
            Kind::Boolean => {
                self.reading.end_condition();
                Value::UNKNOWN
            }
            Kind::Branch => {
                self.reading.end_condition();
                Value::None
            }
            Kind::Subscript => self.subscript(at, children),
            Kind::Slice => slice_bounds(at.node, children),
            Kind::Sequence => Value::list(items(children)),
            Kind::Dictionary => Value::object(entries(children)),
            Kind::Pair => match (first(children), last(children)) {
                (Value::Known(Data::Text(key), _), value) => Value::Keyword(Box::new((key, value))),
                _ => Value::UNKNOWN,
            },
            Kind::Lambda => {
                self.reading.scopes.close();
                self.reading.end_condition();
                Value::Gives(Box::new(last(children)))
            }
            Kind::LambdaParameters => {
                self.bind_each(at.node);
                Value::None
            }
            Kind::Comprehension => {
                self.reading.scopes.close();
                self.reading.end_condition();
                let made = children.first().map_or(Origin::Literal, |child| child.value.origin());
                Value::Unknown(made)
            }
            Kind::Assignment => self.assign(at, children),
            Kind::Augmented => self.augment(at.node, children),
            Kind::Named => {
                let value = last(children);
                if let Some(target) = children.first() {
                    let name = self.identifier(target.node);
                    let copy = self.reading.fold.copy(&value);
                    self.reading.scopes.bind(name, copy);
                }
                value
            }
            Kind::As => {
                let value = first(children);
                if let Some(target) = children.last().filter(|child| child.kind == Kind::AsTarget) {
                    let copy = self.reading.fold.copy(&value);
                    self.bind_target(target.node.named_child(0).unwrap_or(target.node), copy);
                }
                value
            }
            Kind::While | Kind::For => {
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
            Kind::Exec => {
                let code = first(children);
                let call = crate::facts::Arguments { positional: vec![code], keywords: Vec::new() };
                self.known_call(at, Cow::Borrowed("exec"), &call);
                Value::None
            }
            Kind::Comparison => Value::UNKNOWN,
            _ => Value::None,
        }
    }

    /// What a name means where it is read.
    fn name(&mut self, at: &At<'t, Kind>) -> Value<'t> {
        let is_written = match at.parent {
            Kind::Assignment | Kind::Augmented | Kind::For | Kind::ForIn => at.field == self.kinds.left,
            Kind::KeywordArgument | Kind::Function | Kind::Class | Kind::Named => at.field == self.kinds.name,
            Kind::Parameter => at.field != self.kinds.value,
            Kind::Attribute => at.field == self.kinds.attribute,
            Kind::Targets | Kind::Parameters | Kind::LambdaParameters | Kind::AsTarget => true,
            _ => false,
        };
        if is_written {
            return Value::None;
        }
        let name = self.identifier(at.node);
        let value = self.meaning(name);
        self.reading.tell_use(at.node, &value);
        if let Value::Name(name, _) = &value
            && !name.contains('.')
        {
            // It may be out of a module that gave all its names.
            for star in &self.stars {
                let full = self.reading.joined(star, name);
                self.reading.facts.tell(at.node.byte_range(), Fact::Attribute { name: &full });
            }
        }
        if matches!(at.parent, Kind::ArgumentList | Kind::KeywordArgument) {
            self.reading.assembled(at.node, &value);
        }
        value
    }

    /// What a name means here.
    fn meaning(&mut self, name: Cow<'t, str>) -> Value<'t> {
        if let Some(value) = self.reading.scopes.look_up(&name) {
            return self.reading.fold.copy(value);
        }
        if ROOTS.contains(&&*name) {
            return Value::name("builtins");
        }
        Value::Name(name, Origin::Literal)
    }

    fn attribute(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let Some(name) = children.last().filter(|child| child.field == self.kinds.attribute) else {
            return Value::UNKNOWN;
        };
        let name = self.identifier(name.node);
        let object = first(children);
        self.reading.attribute(at.node, object, name)
    }
}

fn first<'t>(children: &mut [Child<'t, Kind>]) -> Value<'t> {
    children.first_mut().map_or(Value::UNKNOWN, |child| std::mem::take(&mut child.value))
}

fn last<'t>(children: &mut [Child<'t, Kind>]) -> Value<'t> {
    children.last_mut().map_or(Value::UNKNOWN, |child| std::mem::take(&mut child.value))
}

fn items<'t>(children: &mut [Child<'t, Kind>]) -> Vec<Value<'t>> {
    let values = children.iter_mut().take(crate::fold::MOST_ITEMS);
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
    let mut arguments = crate::facts::Arguments::default();
    for child in children.iter_mut().take(256) {
        match std::mem::take(&mut child.value) {
            Value::None => {}
            Value::Keyword(keyword) => arguments.keywords.push(*keyword),
            Value::Spread(values) => match *values {
                Value::List(values) => arguments.positional.extend(values.iter().cloned()),
                Value::Object(entries) => arguments.keywords.extend(entries.iter().cloned()),
                other => arguments.positional.push(Value::Unknown(other.origin())),
            },
            value => arguments.positional.push(value),
        }
    }
    Value::Arguments(Box::new(arguments))
}
