//! What a language's reader tells of a program: values as far as they are known, and facts at places.
//!
//! Invariant: nothing here is of one language. Values are bounded by whoever makes them (see `fold`).

use crate::language::Language;
use crate::rules::{ContentKind, Shape};
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

/// How a value came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// It is written down as it is.
    #[default]
    Literal,
    /// It is put together out of pieces.
    Assembled,
    /// It comes out of an encoding.
    Decoded,
}

/// A constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data<'t> {
    Text(Cow<'t, str>),
    Bytes(Cow<'t, [u8]>),
    Number(f64),
    Bool(bool),
    Nothing,
}

/// What is known of an expression's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value<'t> {
    /// No value at all: a statement, a target of an assignment.
    #[default]
    None,
    /// Nothing but how it came about.
    Unknown(Origin),
    /// All of it.
    Known(Data<'t>, Origin),
    /// A canonical name: `os.system`, or `socket.socket` for what that call gave.
    Name(Cow<'t, str>, Origin),
    /// A list, tuple or array; bounded.
    List(Rc<Vec<Value<'t>>>),
    /// An object or dictionary with constant keys; bounded.
    Object(Rc<Vec<(Cow<'t, str>, Value<'t>)>>),
    /// An attribute of something that has no name: `"".join`.
    Member(Box<(Value<'t>, Cow<'t, str>)>),
    /// A function without a name that gives this.
    Gives(Box<Value<'t>>),
    /// A function of the program, by the place of its definition.
    Function(usize),
    /// The variables of a scope as a dictionary: `globals()`.
    Scope,
    /// What is between a call's parentheses.
    Arguments(Box<Arguments<'t>>),
    /// `name=value`.
    Keyword(Box<(Cow<'t, str>, Value<'t>)>),
    /// `*values`, `**values`.
    Spread(Box<Value<'t>>),
}

impl<'t> Value<'t> {
    pub(crate) const UNKNOWN: Self = Self::Unknown(Origin::Literal);

    pub(crate) fn text(text: impl Into<Cow<'t, str>>, origin: Origin) -> Self {
        Self::Known(Data::Text(text.into()), origin)
    }

    pub(crate) fn list(items: Vec<Self>) -> Self {
        Self::List(Rc::new(items))
    }

    pub(crate) fn object(entries: Vec<(Cow<'t, str>, Self)>) -> Self {
        Self::Object(Rc::new(entries))
    }

    pub(crate) fn name(name: impl Into<Cow<'t, str>>) -> Self {
        Self::Name(name.into(), Origin::Literal)
    }

    pub(crate) fn number(number: f64) -> Self {
        Self::Known(Data::Number(number), Origin::Literal)
    }

    /// How it came about; the most hidden of its parts.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Unknown(origin) | Self::Known(_, origin) | Self::Name(_, origin) => *origin,
            Self::Member(member) => member.0.origin(),
            _ => Origin::Literal,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Known(Data::Text(text), _) => Some(text),
            Self::Known(Data::Bytes(bytes), _) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Known(Data::Text(text), _) => Some(text.as_bytes()),
            Self::Known(Data::Bytes(bytes), _) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Known(Data::Number(number), _) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_name(&self) -> Option<&str> {
        match self {
            Self::Name(name, _) => Some(name),
            _ => None,
        }
    }

    /// The number as a whole one, if it is one.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        whole(self.as_number()?)
    }
}

/// A number as a whole one, if it is one that is exact.
#[expect(clippy::cast_possible_truncation, reason = "the bounds are looked at first")]
pub(crate) fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// A call's arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Arguments<'t> {
    /// In their order.
    pub(crate) positional: Vec<Value<'t>>,
    /// By name.
    pub(crate) keywords: Vec<(Cow<'t, str>, Value<'t>)>,
}

impl<'t> Arguments<'t> {
    pub(crate) fn keyword(&self, name: &str) -> Option<&Value<'t>> {
        self.keywords.iter().find(|(keyword, _)| keyword == name).map(|(_, value)| value)
    }

    /// The argument at this position, or of this name.
    pub(crate) fn get(&self, position: usize, name: &str) -> Option<&Value<'t>> {
        self.positional.get(position).or_else(|| self.keyword(name))
    }
}

/// One thing that is seen in a program.
#[derive(Clone, Debug)]
pub(crate) enum Fact<'f, 't> {
    /// A module is taken in.
    Module { name: &'f str },
    /// A name out of a module is taken in.
    ImportedName { name: &'f str },
    /// Something is called.
    Call { name: &'f str, arguments: &'f Arguments<'t> },
    /// A name or attribute is used.
    Attribute { name: &'f str },
    /// A constant.
    Constant { bytes: &'f [u8] },
    /// Something is assigned.
    Assign { name: &'f str, value: &'f Value<'t> },
    /// A command of a shell.
    Command { command: &'f Command<'t> },
    /// A shape, and for those about a call its name.
    Shape { shape: Shape, name: &'f str },
    /// Not in the language.
    SyntaxError,
    /// What a file or a decoded blob is.
    Content { kind: ContentKind },
}

/// A command of a shell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Command<'t> {
    /// Without folder.
    pub(crate) name: Cow<'t, str>,
    /// What follows it.
    pub(crate) arguments: Arguments<'t>,
    /// The names of the commands after it in its pipeline.
    pub(crate) piped_into: Vec<String>,
    /// The targets of its redirections.
    pub(crate) redirected_to: Vec<Cow<'t, str>>,
}

/// Text or bytes inside a program that are to be looked at on their own.
#[derive(Clone, Debug)]
pub(crate) struct Nested {
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
    /// Its language, where what it is given to says so.
    pub(crate) language: Option<Language>,
    /// How it came about.
    pub(crate) origin: Origin,
    /// Where it is in the text that it is in.
    pub(crate) place: Range<usize>,
}

/// Takes facts as they are found.
pub(crate) trait Facts {
    /// Something is seen at a place, in bytes of the text.
    fn tell(&mut self, place: Range<usize>, fact: Fact<'_, '_>);

    /// Something is to be looked at on its own.
    fn nest(&mut self, nested: Nested);

    /// Something was not looked at.
    fn leave_unread(&mut self, reason: &str);
}
