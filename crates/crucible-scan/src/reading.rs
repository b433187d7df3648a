//! What the readers of all languages share while they go through one text: its names, its constants, its loops.
//!
//! Invariant: a place is always a range of bytes of this text.

use crate::facts::{Arguments, Command, Data, Fact, Facts, Nested, Origin, Value};
use crate::fold::{Fold, encoded_blob, format_percent};
use crate::language::Language;
use crate::rules::Shape;
use crate::scopes::Scopes;
use std::borrow::Cow;
use std::ops::Range;
use tree_sitter::Node;

/// Longer names are not known.
const LONGEST_NAME: usize = 512;

/// The most calls of one loop that are kept.
const MOST_CALLS: usize = 32;

/// The most places of a text that are told as not being in its language.
const MOST_ERRORS: usize = 8;

/// A loop that is being gone through.
#[derive(Default)]
struct Loop {
    is_endless: bool,
    has_exit: bool,
    calls: Vec<(Range<usize>, String)>,
}

/// One text, while it is read.
pub(crate) struct Reading<'t, 'f> {
    pub(crate) text: &'t str,
    pub(crate) facts: &'f mut dyn Facts,
    pub(crate) scopes: Scopes<'t>,
    pub(crate) fold: Fold,
    /// Names that stand for all that is built in: `builtins`, `globalThis`.
    roots: &'static [&'static str],
    loops: Vec<Loop>,
    /// How many conditions the current place is under, in its function.
    conditions: usize,
    /// Whether something before the current place can leave the function.
    has_left: bool,
    errors: usize,
}

impl<'t, 'f> Reading<'t, 'f> {
    pub(crate) fn new(text: &'t str, facts: &'f mut dyn Facts, roots: &'static [&'static str]) -> Self {
        Self {
            text,
            facts,
            scopes: Scopes::default(),
            fold: Fold::default(),
            roots,
            loops: Vec::new(),
            conditions: 0,
            has_left: false,
            errors: 0,
        }
    }

    /// A node's text.
    pub(crate) fn source(&self, node: Node<'t>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    pub(crate) fn tell(&mut self, node: Node<'t>, fact: Fact<'_, '_>) {
        self.facts.tell(node.byte_range(), fact);
    }

    /// Tells of a place that isn't in the language.
    pub(crate) fn syntax_error(&mut self, node: Node<'t>) {
        self.errors += 1;
        if self.errors <= MOST_ERRORS {
            let start = node.start_byte();
            let end = node.end_byte().min(start + 200).max(start);
            self.facts.tell(start..end, Fact::SyntaxError);
        }
    }

    /// The name of an attribute of something of this name.
    pub(crate) fn joined(&self, object: &str, name: &str) -> Cow<'t, str> {
        if self.roots.contains(&object) {
            return if name == "__dict__" {
                Cow::Owned(format!("{object}.{name}"))
            } else {
                Cow::Owned(name.to_owned())
            };
        }
        if object.len() + name.len() > LONGEST_NAME {
            return Cow::Borrowed("?");
        }
        let mut joined = String::with_capacity(object.len() + 1 + name.len());
        joined.push_str(object);
        joined.push('.');
        joined.push_str(name);
        Cow::Owned(joined)
    }

    /// `object.name`, told as a use of it.
    pub(crate) fn attribute(&mut self, node: Node<'t>, object: Value<'t>, name: Cow<'t, str>) -> Value<'t> {
        let value = match object {
            Value::Name(path, origin) => Value::Name(self.joined(&path, &name), origin),
            Value::Object(entries) => match entries.iter().find(|(key, _)| *key == name) {
                Some((_, value)) => return self.fold.copy(value),
                None => Value::Member(Box::new((Value::Object(entries), name))),
            },
            Value::Known(..) | Value::List(_) | Value::Scope | Value::Unknown(Origin::Assembled | Origin::Decoded) => {
                Value::Member(Box::new((object, name)))
            }
            Value::Member(member) => {
                let object = self.joined("?", &member.1);
                Value::Name(self.joined(&object, &name), member.0.origin())
            }
            _ => Value::Name(self.joined("?", &name), Origin::Literal),
        };
        self.tell_use(node, &value);
        value
    }

    /// `template % values`.
    pub(crate) fn format_percent(&mut self, template: &Value<'t>, values: &Value<'t>) -> Value<'t> {
        let origin = template.origin().max(values.origin()).max(Origin::Assembled);
        let values = match values {
            Value::List(values) => values.as_slice(),
            single => std::slice::from_ref(single),
        };
        let origin = values.iter().map(Value::origin).fold(origin, Origin::max);
        let made = template.as_text().and_then(|template| format_percent(template, values));
        match made.filter(|made| self.fold.spend(made.len()).is_some()) {
            Some(made) => Value::text(made, origin),
            None => Value::Unknown(origin),
        }
    }

    /// Tells that something with a name is used.
    pub(crate) fn tell_use(&mut self, node: Node<'t>, value: &Value<'t>) {
        match value {
            Value::Name(name, _) => self.facts.tell(node.byte_range(), Fact::Attribute { name }),
            Value::Member(member) => {
                let name = self.joined("?", &member.1);
                self.facts.tell(node.byte_range(), Fact::Attribute { name: &name });
            }
            _ => {}
        }
    }

    /// What a value is called, where it has a name.
    pub(crate) fn canonical<'v>(&self, value: &'v Value<'t>) -> Option<Cow<'v, str>> {
        match value {
            Value::Name(name, _) => Some(Cow::Borrowed(name)),
            Value::Member(member) => Some(self.joined("?", &member.1)),
            _ => None,
        }
    }

    /// Tells of a constant, and of what may be encoded in it.
    pub(crate) fn constant(&mut self, node: Node<'t>, value: &Value<'t>) {
        let Value::Known(data @ (Data::Text(_) | Data::Bytes(_)), origin) = value else { return };
        let Some(bytes) = value.as_bytes() else { return };
        if bytes.is_empty() {
            return;
        }
        let place = node.byte_range();
        self.facts.tell(place.clone(), Fact::Constant { bytes });
        if *origin == Origin::Decoded || matches!(data, Data::Bytes(bytes) if !bytes.is_ascii()) {
            // Whether that is worth a look is decided where it is looked at.
            self.facts.nest(Nested { bytes: bytes.to_vec(), language: None, origin: *origin, place });
        } else if let Some(bytes) = encoded_blob(&mut self.fold, bytes) {
            self.facts.nest(Nested { bytes, language: None, origin: Origin::Decoded, place });
        }
    }

    /// Tells of a variable's value that was put together, where it is used.
    pub(crate) fn assembled(&mut self, node: Node<'t>, value: &Value<'t>) {
        if let Value::Known(Data::Text(_) | Data::Bytes(_), Origin::Assembled) = value
            && value.as_bytes().is_some_and(|bytes| self.fold.spend(bytes.len()).is_some())
        {
            self.constant(node, value);
        }
    }

    /// A text that is given to something that runs it.
    pub(crate) fn runs(&mut self, place: Range<usize>, value: &Value<'t>, language: Language) {
        if let Some(text) = value.as_text() {
            let nested =
                Nested { bytes: text.as_bytes().to_vec(), language: Some(language), origin: value.origin(), place };
            self.facts.nest(nested);
        }
    }

    /// Words that are started as a program, the first being its name.
    pub(crate) fn starts(&mut self, place: Range<usize>, words: &[Value<'t>]) {
        let Some((program, arguments)) = words.split_first() else { return };
        let Some(program) = program.as_text() else { return };
        let name = program.rsplit(['/', '\\']).next().unwrap_or(program).to_owned();
        let positional = arguments.iter().map(|argument| self.fold.copy(argument)).collect();
        let command = Command {
            name: name.into(),
            arguments: Arguments { positional, keywords: Vec::new() },
            ..Command::default()
        };
        self.command(place, &command);
    }

    /// A command, and what it is told to run.
    pub(crate) fn command(&mut self, place: Range<usize>, command: &Command<'t>) {
        self.facts.tell(place.clone(), Fact::Command { command });
        let arguments = &command.arguments.positional;
        let after = |flag: &dyn Fn(&str) -> bool| {
            let at = arguments.iter().position(|argument| argument.as_text().is_some_and(flag))?;
            arguments.get(at + 1)
        };
        let name = command.name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let is_group = |flag: &str, letter: char| {
            flag.starts_with('-') && !flag.starts_with("--") && flag.len() < 6 && flag.ends_with(letter)
        };
        let (text, language) = match name {
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "su" => {
                (after(&|flag| is_group(flag, 'c')), Language::Bash)
            }
            "python" | "pypy" => (after(&|flag| is_group(flag, 'c')), Language::Python),
            "node" | "nodejs" | "bun" => (
                after(&|flag| is_group(flag, 'e') || is_group(flag, 'p') || flag == "--eval" || flag == "--print"),
                Language::JavaScript,
            ),
            "eval" => (arguments.first().filter(|_| arguments.len() == 1), Language::Bash),
            _ => (None, Language::Bash),
        };
        if let Some(text) = text {
            self.runs(place.clone(), text, language);
        }
        self.inner_command(place, command);
    }

    /// The command that a command such as `sudo` starts.
    fn inner_command(&mut self, place: Range<usize>, command: &Command<'t>) {
        let wrappers = [
            "sudo", "doas", "env", "nohup", "exec", "command", "builtin", "busybox", "xargs", "timeout", "nice",
            "ionice", "setsid", "stdbuf", "time", "strace", "unshare", "chroot", "watch", "toybox",
        ];
        if !wrappers.contains(&&*command.name) {
            return;
        }
        let is_skipped = |argument: &Value<'_>| {
            argument.as_text().is_some_and(|word| {
                word.starts_with('-') || word.contains('=') || word.starts_with(|letter: char| letter.is_ascii_digit())
            })
        };
        let flags_with_words: &[&str] = match &*command.name {
            "sudo" | "doas" => &["-u", "-g", "-U", "-C", "-p", "-D", "-R", "-T", "-h"],
            "xargs" => &["-I", "-P", "-L", "-n", "-a", "-E", "-d", "-s"],
            "env" => &["-u", "-C"],
            "nice" | "ionice" => &["-n", "-c", "-p"],
            "timeout" => &["-s", "-k"],
            "exec" => &["-a"],
            _ => &[],
        };
        let mut arguments = command.arguments.positional.iter().peekable();
        while let Some(flag) = arguments.next_if(|argument| is_skipped(argument)) {
            if flag.as_text().is_some_and(|flag| flags_with_words.contains(&flag)) {
                arguments.next();
            }
        }
        let words: Vec<Value<'t>> = arguments.map(|word| self.fold.copy(word)).collect();
        // Each step has fewer words, so this ends.
        if let Some((Value::Known(Data::Text(program), _), arguments)) = words.split_first() {
            let name = program.rsplit('/').next().unwrap_or(program).to_owned();
            let inner = Command {
                name: name.into(),
                arguments: Arguments { positional: arguments.to_vec(), keywords: Vec::new() },
                piped_into: command.piped_into.clone(),
                redirected_to: command.redirected_to.clone(),
            };
            if words.len() < 64 || !wrappers.contains(&&*inner.name) {
                self.command(place, &inner);
            }
        }
    }

    // What is gone through when.

    /// The body of a function begins: nothing around it matters for its loops and conditions.
    pub(crate) fn begin_body(&mut self) {
        self.loops.clear();
        self.conditions = 0;
        self.has_left = false;
    }

    pub(crate) fn begin_condition(&mut self) {
        self.conditions += 1;
    }

    pub(crate) fn end_condition(&mut self) {
        self.conditions = self.conditions.saturating_sub(1);
    }

    pub(crate) fn begin_loop(&mut self) {
        self.conditions += 1;
        self.loops.push(Loop::default());
    }

    /// Nothing about the innermost loop's own head ends it.
    pub(crate) fn loop_is_endless(&mut self) {
        if let Some(innermost) = self.loops.last_mut() {
            innermost.is_endless = true;
        }
    }

    /// The innermost loop can be left from here.
    pub(crate) fn leaves_loop(&mut self) {
        if let Some(innermost) = self.loops.last_mut() {
            innermost.has_exit = true;
        }
    }

    /// The function can be left from here.
    pub(crate) fn leaves_function(&mut self) {
        self.has_left = true;
        for around in &mut self.loops {
            around.has_exit = true;
        }
    }

    pub(crate) fn end_loop(&mut self, node: Node<'t>) {
        self.end_condition();
        let Some(ended) = self.loops.pop() else { return };
        if !ended.is_endless || ended.has_exit {
            return;
        }
        let start = node.start_byte();
        let line = self.text.get(node.byte_range()).and_then(|text| text.find('\n'));
        let end = line.map_or(node.end_byte(), |length| start + length);
        self.facts.tell(start..end, Fact::Shape { shape: Shape::EndlessLoop, name: "" });
        for (place, name) in ended.calls {
            self.facts.tell(place, Fact::Shape { shape: Shape::CallInEndlessLoop, name: &name });
        }
    }

    /// A call of something with a name.
    pub(crate) fn called(&mut self, node: Node<'t>, name: &str) {
        if self.loops.is_empty() {
            return;
        }
        let place = node.byte_range();
        for around in &mut self.loops {
            if around.calls.len() < MOST_CALLS {
                around.calls.push((place.clone(), name.to_owned()));
            }
        }
        self.facts.tell(place, Fact::Shape { shape: Shape::CallInLoop, name });
    }

    /// A function of the program calls itself.
    pub(crate) fn calls_itself(&mut self, node: Node<'t>, name: &str) {
        if self.conditions == 0 && !self.has_left {
            self.tell(node, Fact::Shape { shape: Shape::EndlessRecursion, name });
        }
    }
}
