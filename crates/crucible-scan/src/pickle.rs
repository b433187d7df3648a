//! What a pickle does when it is loaded: which names it takes in, and which it calls.
//!
//! Invariant: opcodes are walked once, with a bound; nothing is built but names and texts. What a name on the stack is can
//! be wrong where a pickle juggles with its stack; then the name is still told as taken in.

use crate::facts::{Arguments, Fact, Facts, Value};
use std::borrow::Cow;

/// The most opcodes that are walked.
const MOST_STEPS: usize = 200_000;

/// The most values on the stack.
const MOST_VALUES: usize = 10_000;

/// The longest text that is kept.
const LONGEST: usize = 4096;

/// What is on a pickle's stack, as far as it matters.
#[derive(Clone, Debug)]
enum Item {
    Mark,
    Text(String),
    Name(String),
    Tuple(Vec<Value<'static>>),
    Other,
}

/// Whether bytes are a pickle: they walk from the first opcode to the last, and either say so or take a name in.
pub(crate) fn looks_like_one(bytes: &[u8]) -> bool {
    let says_so = bytes.first() == Some(&0x80) && bytes.get(1).is_some_and(|protocol| (2..=5).contains(protocol));
    if says_so {
        return true;
    }
    // The older protocols are text without a beginning of their own.
    let may_begin = matches!(bytes.first(), Some(b'c' | b'(' | b']' | b'}' | b')' | b'i'));
    may_begin && bytes.len() >= 4 && {
        let mut walk = Walk::of(bytes);
        while walk.step().is_some() {}
        walk.has_stopped && walk.names > 0 && bytes.get(walk.place..).is_some_and(|rest| rest.trim_ascii().is_empty())
    }
}

/// Tells what it takes in and calls.
pub(crate) fn read(bytes: &[u8], facts: &mut dyn Facts) {
    let mut walk = Walk::of(bytes);
    while let Some(event) = walk.step() {
        match event {
            Event::Nothing => {}
            Event::Name { module, name, start } => {
                let place = start..walk.place;
                facts.tell(place.clone(), Fact::Module { name: &module });
                facts.tell(place.clone(), Fact::ImportedName { name: &name });
                facts.tell(place, Fact::Attribute { name: &name });
            }
            Event::Call { name, arguments, start } => {
                let place = start..walk.place;
                facts.tell(place.clone(), Fact::Call { name: &name, arguments: &arguments });
                let runs = match name.as_str() {
                    "os.system" | "os.popen" | "subprocess.getoutput" => Some(crate::language::Language::Bash),
                    "eval" | "exec" | "compile" => Some(crate::language::Language::Python),
                    _ => None,
                };
                if let (Some(language), Some(text)) = (runs, arguments.positional.first().and_then(Value::as_text)) {
                    let bytes = text.as_bytes().to_vec();
                    let origin = crate::facts::Origin::Literal;
                    facts.nest(crate::facts::Nested { bytes, language: Some(language), origin, place });
                }
            }
        }
    }
    if !walk.has_stopped {
        facts.leave_unread("a pickle in it is broken or too long");
    }
}

enum Event {
    Nothing,
    Name { module: String, name: String, start: usize },
    Call { name: String, arguments: Arguments<'static>, start: usize },
}

struct Walk<'b> {
    bytes: &'b [u8],
    place: usize,
    stack: Vec<Item>,
    memo: Vec<Item>,
    steps: usize,
    names: usize,
    has_stopped: bool,
}

impl<'b> Walk<'b> {
    fn of(bytes: &'b [u8]) -> Self {
        Self { bytes, place: 0, stack: Vec::new(), memo: Vec::new(), steps: 0, names: 0, has_stopped: false }
    }

    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let taken = self.bytes.get(self.place..self.place.checked_add(length)?)?;
        self.place += length;
        Some(taken)
    }

    fn number(&mut self, length: usize) -> Option<usize> {
        let mut number = [0; 8];
        number.get_mut(..length)?.copy_from_slice(self.take(length)?);
        usize::try_from(u64::from_le_bytes(number)).ok()
    }

    fn line(&mut self) -> Option<&'b [u8]> {
        let rest = self.bytes.get(self.place..)?;
        let end = memchr::memchr(b'\n', rest)?;
        self.place += end + 1;
        rest.get(..end)
    }

    fn push(&mut self, item: Item) {
        if self.stack.len() < MOST_VALUES {
            self.stack.push(item);
        }
    }

    fn push_text(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(LONGEST)).unwrap_or_default());
        self.push(Item::Text(text.into_owned()));
    }

    /// What is above the last mark, without the mark.
    fn above_mark(&mut self) -> Vec<Item> {
        let mark = self.stack.iter().rposition(|item| matches!(item, Item::Mark));
        let above = self.stack.split_off(mark.map_or(0, |mark| mark + 1));
        self.stack.pop();
        above
    }

    fn name(&mut self, module: &[u8], name: &[u8], start: usize) -> Event {
        let text = |bytes: &[u8]| -> String {
            String::from_utf8_lossy(bytes.get(..bytes.len().min(256)).unwrap_or_default()).into_owned()
        };
        let (module, name) = (text(module), text(name));
        let canonical = match module.as_str() {
            "posix" | "nt" => "os",
            other => other,
        };
        let full = match canonical {
            "__builtin__" | "builtins" => name,
            module => format!("{module}.{name}"),
        };
        self.names += 1;
        self.push(Item::Name(full.clone()));
        Event::Name { module, name: full, start }
    }

    fn call(&mut self, function: Option<Item>, arguments: Option<Item>, start: usize) -> Event {
        self.push(Item::Other);
        match function {
            Some(Item::Name(name)) => {
                let positional = match arguments {
                    Some(Item::Tuple(values)) => values,
                    Some(other) => vec![value(other)],
                    None => Vec::new(),
                };
                // `getattr(os, "system")` gives a name, too.
                if let ("getattr" | "operator.attrgetter", [Value::Name(object, _), attribute, ..]) =
                    (name.as_str(), positional.as_slice())
                    && let Some(attribute) = attribute.as_text()
                {
                    self.stack.pop();
                    self.push(Item::Name(format!("{object}.{attribute}")));
                }
                Event::Call { name, arguments: Arguments { positional, keywords: Vec::new() }, start }
            }
            _ => Event::Nothing,
        }
    }

    fn pop(&mut self) -> Option<Item> {
        self.stack.pop()
    }

    /// One opcode. `None` at the end, or where it isn't a pickle any more.
    fn step(&mut self) -> Option<Event> {
        self.steps += 1;
        if self.steps > MOST_STEPS || self.has_stopped {
            return None;
        }
        let start = self.place;
        let opcode = *self.take(1)?.first()?;
        match opcode {
            b'.' => self.has_stopped = true,
            b'(' => self.push(Item::Mark),
            b'0' => drop(self.pop()),
            b'1' => drop(self.above_mark()),
            b'2' => {
                let top = self.stack.last().cloned().unwrap_or(Item::Other);
                self.push(top);
            }
            // Numbers, truth values and the like, by their length.
            b'N' | 0x88 | 0x89 | b']' | b'}' | 0x8f | 0x97 => self.push(Item::Other),
            b')' => self.push(Item::Tuple(Vec::new())),
            b'K' => self.push_after(1)?,
            b'M' => self.push_after(2)?,
            b'J' => self.push_after(4)?,
            b'G' => self.push_after(8)?,
            b'I' | b'L' | b'F' => {
                self.line()?;
                self.push(Item::Other);
            }
            0x8a => {
                let length = self.number(1)?;
                self.push_after(length)?;
            }
            0x8b => {
                let length = self.number(4)?;
                self.push_after(length)?;
            }
            // Texts and bytes.
            b'S' | b'V' => {
                let line = self.line()?;
                let inner = line.trim_ascii();
                let inner = inner.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")).unwrap_or(inner);
                let inner = inner.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(inner);
                self.push_text(inner);
            }
            b'U' | b'C' | 0x8c => {
                let length = self.number(1)?;
                let text = self.take(length)?;
                self.push_text(text);
            }
            b'T' | b'B' | b'X' => {
                let length = self.number(4)?;
                let text = self.take(length)?;
                self.push_text(text);
            }
            0x8d | 0x8e | 0x96 => {
                let length = self.number(8)?;
                let text = self.take(length)?;
                self.push_text(text);
            }
            // Tuples and what is put into others.
            b't' => {
                let items = self.above_mark();
                self.push(Item::Tuple(items.into_iter().map(value).collect()));
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let items = self.stack.split_off(self.stack.len().saturating_sub(count));
                self.push(Item::Tuple(items.into_iter().map(value).collect()));
            }
            b'l' | b'd' | 0x91 => {
                self.above_mark();
                self.push(Item::Other);
            }
            b'e' | b'u' | 0x90 => drop(self.above_mark()),
            b'a' | b'b' => drop(self.pop()),
            b's' => {
                self.pop();
                self.pop();
            }
            // What was seen before.
            b'p' => {
                let line = self.line()?;
                let place = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
                self.remember(place);
            }
            b'q' => {
                let place = self.number(1)?;
                self.remember(place);
            }
            b'r' => {
                let place = self.number(4)?;
                self.remember(place);
            }
            0x94 => self.remember(self.memo.len()),
            b'g' => {
                let line = self.line()?;
                let place = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
                self.recall(place);
            }
            b'h' => {
                let place = self.number(1)?;
                self.recall(place);
            }
            b'j' => {
                let place = self.number(4)?;
                self.recall(place);
            }
            // Names.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                return Some(self.name(module, name, start));
            }
            0x93 => {
                let (name, module) = (self.pop(), self.pop());
                if let (Some(Item::Text(module)), Some(Item::Text(name))) = (module, name) {
                    return Some(self.name(module.as_bytes(), name.as_bytes(), start));
                }
                self.push(Item::Other);
            }
            0x82..=0x84 => {
                self.number(usize::from([1_u8, 2, 4][usize::from(opcode - 0x82)]))?;
                self.push(Item::Other);
            }
            // Calls.
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop(), self.pop());
                return Some(self.call(function, arguments, start));
            }
            0x92 => {
                self.pop();
                let (arguments, function) = (self.pop(), self.pop());
                return Some(self.call(function, arguments, start));
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let arguments = self.above_mark().into_iter().map(value).collect();
                let Event::Name { name, .. } = self.name(module, name, start) else { return Some(Event::Nothing) };
                let function = self.pop().or(Some(Item::Name(name)));
                return Some(self.call(function, Some(Item::Tuple(arguments)), start));
            }
            b'o' => {
                let mut items = self.above_mark().into_iter();
                let function = items.next();
                return Some(self.call(function, Some(Item::Tuple(items.map(value).collect())), start));
            }
            // Others that say something about what follows.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'P' => {
                self.line()?;
                self.push(Item::Other);
            }
            b'Q' => {
                self.pop();
                self.push(Item::Other);
            }
            0x98 => {}
            _ => return None,
        }
        Some(Event::Nothing)
    }

    fn push_after(&mut self, length: usize) -> Option<()> {
        self.take(length)?;
        self.push(Item::Other);
        Some(())
    }

    fn remember(&mut self, place: usize) {
        let top = self.stack.last().cloned().unwrap_or(Item::Other);
        if place < MOST_VALUES {
            if self.memo.len() <= place {
                self.memo.resize(place + 1, Item::Other);
            }
            self.memo[place] = top;
        }
    }

    fn recall(&mut self, place: usize) {
        let item = self.memo.get(place).cloned().unwrap_or(Item::Other);
        self.push(item);
    }
}

fn value(item: Item) -> Value<'static> {
    match item {
        Item::Text(text) => Value::text(text, crate::facts::Origin::Literal),
        Item::Name(name) => Value::Name(Cow::Owned(name), crate::facts::Origin::Literal),
        Item::Tuple(values) => Value::list(values),
        Item::Mark | Item::Other => Value::UNKNOWN,
    }
}
