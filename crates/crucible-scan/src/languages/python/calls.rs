//! What calls mean in Python: those that give a constant or a name, those that run a text, those that start a program.

use super::{Kind, Python, first, last};
use crate::facts::{Arguments, Data, Fact, Origin, Value};
use crate::fold::{Encoding, Fold, MOST_ITEMS, decode, format_braces};
use crate::language::Language;
use crate::walk::{At, Child};
use std::borrow::Cow;

/// Calls after which nothing more of the program runs.
const EXITS: &[&str] = &["sys.exit", "exit", "quit", "os._exit", "os.abort", "os.execv", "os.execve", "os.execvp"];

/// What a call by this name decodes.
fn encoding_of(name: &str) -> Option<Encoding> {
    Some(match name {
        "base64.b64decode"
        | "base64.standard_b64decode"
        | "base64.urlsafe_b64decode"
        | "base64.decodebytes"
        | "base64.decodestring"
        | "binascii.a2b_base64" => Encoding::Base64,
        "base64.b32decode" => Encoding::Base32,
        "base64.b16decode" | "binascii.unhexlify" | "binascii.a2b_hex" | "bytes.fromhex" | "bytearray.fromhex" => {
            Encoding::Base16
        }
        "base64.b85decode" => Encoding::Base85,
        "base64.a85decode" => Encoding::Ascii85,
        "zlib.decompress" => Encoding::Zlib,
        "gzip.decompress" => Encoding::Gzip,
        "urllib.parse.unquote" | "urllib.parse.unquote_plus" | "urllib.unquote" => Encoding::Percent,
        _ => return None,
    })
}

/// What a codec by this name decodes; `None` for one that only says how text is written as bytes.
fn codec(name: &str) -> Option<Encoding> {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).take(32).collect::<String>().to_lowercase();
    Some(match plain.trim_end_matches("codec") {
        "rot13" => Encoding::Rot13,
        "hex" => Encoding::Base16,
        "base64" => Encoding::Base64,
        "zlib" | "zip" => Encoding::Zlib,
        "unicodeescape" | "rawunicodeescape" | "stringescape" => Encoding::Escapes,
        _ => return None,
    })
}

/// Calls that give something decoded, of which no more is said here.
const DECODERS: &[&str] = &["bz2.decompress", "lzma.decompress", "marshal.loads", "codecs.decode", "binascii.a2b_uu"];

impl<'t> Python<'_, 't, '_> {
    pub(super) fn call(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let arguments = match last(children) {
            Value::Arguments(arguments) => *arguments,
            // `f(x for x in y)`
            other => Arguments { positional: vec![other], keywords: Vec::new() },
        };
        match first(children) {
            Value::Name(name, origin) => {
                let given = self.known_call(at, name, &arguments);
                match given {
                    Value::Name(name, made) => Value::Name(name, made.max(origin)),
                    other => other,
                }
            }
            Value::Member(member) => {
                let (object, name) = *member;
                let full = self.reading.joined("?", &name);
                self.reading.tell(at.node, Fact::Call { name: &full, arguments: &arguments });
                self.reading.called(at.node, &full);
                self.method(at, object, &name, &arguments)
            }
            Value::Gives(value) => *value,
            Value::Function(id) => {
                if self.function.is_some_and(|function| function.start_byte() == id) {
                    let name = self.reading.source(at.node).split('(').next().unwrap_or_default();
                    self.reading.calls_itself(at.node, name);
                }
                Value::UNKNOWN
            }
            other => Value::Unknown(other.origin()),
        }
    }

    /// A call of something with a name.
    pub(super) fn known_call(&mut self, at: &At<'t, Kind>, name: Cow<'t, str>, arguments: &Arguments<'t>) -> Value<'t> {
        let node = at.node;
        self.reading.tell(node, Fact::Call { name: &name, arguments });
        self.reading.called(node, &name);
        if !name.contains('.') && !self.stars.is_empty() {
            // It may be out of a module that gave all its names.
            for star in self.stars.clone() {
                let full = self.reading.joined(star, &name);
                self.reading.tell(node, Fact::Call { name: &full, arguments });
                self.starts_or_runs(at, &full, arguments);
            }
        }
        if EXITS.contains(&&*name) {
            self.reading.leaves_function();
        }
        if at.parent == Kind::For && is_endless_source(&name, arguments) {
            self.reading.loop_is_endless();
        }
        self.starts_or_runs(at, &name, arguments);
        self.given(at, name, arguments)
    }

    /// What a call gives.
    fn given(&mut self, at: &At<'t, Kind>, name: Cow<'t, str>, arguments: &Arguments<'t>) -> Value<'t> {
        let argument = |place: usize| arguments.positional.get(place);
        if let Some(encoding) = encoding_of(&name) {
            return arguments.positional.first().map_or(Value::Unknown(Origin::Decoded), |value| {
                let decoded = decode(&mut self.reading.fold, encoding, value);
                or_named(decoded, &name)
            });
        }
        match (&*name, argument(0)) {
            ("getattr", Some(object)) => {
                let object = self.reading.fold.copy(object);
                match argument(1).and_then(Value::as_text) {
                    Some(attribute) => {
                        let attribute = Cow::Owned(attribute.to_owned());
                        self.reading.attribute(at.node, object, attribute)
                    }
                    None => Value::UNKNOWN,
                }
            }
            ("setattr", Some(object)) => {
                if let (Some(object), Some(attribute), Some(value)) =
                    (object.as_name(), argument(1).and_then(Value::as_text), argument(2))
                {
                    // Written to, what is built in is the part of a module that everybody shares.
                    let full = match object {
                        "builtins" => {
                            Cow::Owned(format!("builtins.{}", attribute.chars().take(64).collect::<String>()))
                        }
                        _ => self.reading.joined(object, attribute),
                    };
                    self.reading.tell(at.node, Fact::Assign { name: &full, value });
                }
                Value::UNKNOWN
            }
            ("__import__", Some(module)) | ("importlib.__import__", Some(module)) => match module.as_text() {
                Some(module) => {
                    let module = module.to_owned();
                    let module = self.import_by_name(at.node, &module);
                    let has_list = arguments.get(3, "fromlist").is_some();
                    match module.split_once('.').filter(|_| !has_list) {
                        Some((top, _)) => Value::name(top.to_owned()),
                        None => Value::Name(module, Origin::Literal),
                    }
                }
                None => Value::Name(name, Origin::Literal),
            },
            ("importlib.import_module", Some(module)) => match module.as_text() {
                Some(module) => {
                    let module = module.to_owned();
                    Value::Name(self.import_by_name(at.node, &module), Origin::Literal)
                }
                None => Value::Name(name, Origin::Literal),
            },
            ("globals" | "locals" | "vars", None) => Value::Scope,
            ("vars", Some(Value::Name(object, origin))) => {
                Value::Name(Cow::Owned(format!("{object}.__dict__")), *origin)
            }
            ("sys.modules.get" | "sys.modules.__getitem__" | "sys.modules.pop", Some(module)) => match module.as_text()
            {
                Some(module) => Value::name(super::imports::canonical_module(Cow::Owned(module.to_owned()))),
                None => Value::UNKNOWN,
            },
            (
                "functools.partial" | "compile" | "staticmethod" | "str" | "list" | "tuple" | "iter" | "types.CodeType",
                Some(value),
            ) if arguments.positional.len() == 1 || matches!(&*name, "functools.partial" | "compile") => {
                let value = self.reading.fold.copy(value);
                match value {
                    Value::Known(Data::Bytes(_), _) if &*name == "str" => Value::UNKNOWN,
                    Value::Unknown(origin) => Value::Name(name, origin),
                    value => value,
                }
            }
            ("str", Some(value)) => {
                let copy = self.reading.fold.copy(value);
                or_named(Fold::decoded_text(copy), &name)
            }
            ("eval", Some(value)) => match value.as_text() {
                Some(path) if is_path(path) => {
                    let mut parts = path.split('.');
                    let start = self.meaning(Cow::Owned(parts.next().unwrap_or_default().to_owned()));
                    parts.fold(start, |object, part| {
                        self.reading.attribute(at.node, object, Cow::Owned(part.to_owned()))
                    })
                }
                _ => Value::Name(name, value.origin()),
            },
            ("chr" | "unichr", Some(value)) => letter(value).unwrap_or(Value::Unknown(Origin::Assembled)),
            ("ord", Some(value)) => {
                let letter = value.as_text().and_then(|text| text.chars().next());
                letter.map_or(Value::UNKNOWN, |letter| Value::number(f64::from(u32::from(letter))))
            }
            ("int", Some(value)) => {
                let base =
                    argument(1).and_then(Value::as_integer).and_then(|base| u32::try_from(base).ok()).unwrap_or(10);
                let number = value
                    .as_text()
                    .filter(|_| (2..=36).contains(&base))
                    .and_then(|text| i32::from_str_radix(text.trim().trim_start_matches("0x"), base).ok());
                number.map_or(Value::UNKNOWN, |number| Value::number(f64::from(number)))
            }
            ("bytes" | "bytearray", Some(value)) => self.bytes(value),
            ("map", Some(function)) => self.mapped(function, argument(1)),
            ("reversed", Some(value)) => self.reading.fold.slice(value, [None, None, Some(-1)]),
            ("os.path.join" | "posixpath.join", Some(_)) => {
                let parts = Value::list(arguments.positional.iter().map(|part| self.reading.fold.copy(part)).collect());
                self.reading.fold.join(&Value::text("/", Origin::Literal), &parts)
            }
            ("os.path.expanduser" | "os.path.abspath" | "os.path.normpath" | "os.fspath", Some(value)) => {
                self.reading.fold.copy(value)
            }
            ("codecs.decode", Some(value)) => {
                let encoding = arguments.get(1, "encoding").and_then(Value::as_text).unwrap_or("utf-8");
                let decoded = match codec(encoding) {
                    Some(encoding) => decode(&mut self.reading.fold, encoding, value),
                    None => Fold::decoded_text(self.reading.fold.copy(value)),
                };
                or_named(decoded, &name)
            }
            ("str.join", Some(separator)) => match argument(1) {
                Some(items) => self.reading.fold.join(separator, items),
                None => Value::Unknown(Origin::Assembled),
            },
            _ if DECODERS.contains(&&*name) => Value::Name(name, Origin::Decoded),
            _ => self.given_by_attribute(at, name, arguments),
        }
    }

    /// `os.__getattribute__("system")`, `os.__dict__.get("system")`.
    fn given_by_attribute(&mut self, at: &At<'t, Kind>, name: Cow<'t, str>, arguments: &Arguments<'t>) -> Value<'t> {
        let origin = match name.rsplit('.').next() {
            Some("join" | "format" | "format_map") => Origin::Assembled,
            _ => Origin::Literal,
        };
        let texts: Vec<Option<&str>> = arguments.positional.iter().take(2).map(Value::as_text).collect();
        let wanted = match (name.rsplit_once('.'), &texts[..]) {
            (Some(("object" | "type", "__getattribute__")), [_, Some(attribute)]) => {
                arguments.positional.first().and_then(Value::as_name).map(|object| (object, *attribute))
            }
            (Some((object, "__getattribute__" | "__getattr__")), [Some(attribute), ..]) => Some((object, *attribute)),
            (Some((object, "get" | "__getitem__" | "pop")), [Some(attribute), ..]) => {
                object.strip_suffix(".__dict__").map(|object| (object, *attribute))
            }
            _ => None,
        };
        match wanted {
            Some((object, attribute)) => {
                let object = Value::name(object.to_owned());
                self.reading.attribute(at.node, object, Cow::Owned(attribute.to_owned()))
            }
            None => Value::Name(name, origin),
        }
    }

    /// A method of something that has no name.
    fn method(&mut self, at: &At<'t, Kind>, object: Value<'t>, name: &str, arguments: &Arguments<'t>) -> Value<'t> {
        let argument = |place: usize| arguments.positional.get(place);
        let fold = &mut self.reading.fold;
        match (name, argument(0)) {
            ("join", Some(items)) => fold.join(&object, items),
            ("format", _) => {
                let values = arguments.positional.iter().chain(arguments.keywords.iter().map(|(_, value)| value));
                let origin = values.map(Value::origin).fold(object.origin().max(Origin::Assembled), Origin::max);
                let made = object.as_text();
                let made = made.and_then(|made| format_braces(made, &arguments.positional, &arguments.keywords));
                match made.filter(|made| fold.spend(made.len()).is_some()) {
                    Some(made) => Value::text(made, origin),
                    None => Value::Unknown(origin),
                }
            }
            ("replace", Some(from)) => match (from.as_text(), argument(1).and_then(Value::as_text)) {
                (Some(from), Some(to)) => fold.replace(&object, from, to),
                _ => Value::Unknown(object.origin().max(Origin::Assembled)),
            },
            ("lower" | "casefold", _) => fold.mapped(&object, str::to_lowercase),
            ("upper", _) => fold.mapped(&object, str::to_uppercase),
            ("swapcase", _) => fold.mapped(&object, swapped_case),
            ("strip" | "lstrip" | "rstrip", None) => fold.mapped(&object, |text| text.trim().to_owned()),
            ("removeprefix", Some(prefix)) => {
                let prefix = prefix.as_text().unwrap_or_default().to_owned();
                fold.mapped(&object, |text| text.strip_prefix(&prefix).unwrap_or(text).to_owned())
            }
            ("encode", _) => Fold::encoded(object),
            ("decode", _) => {
                let encoding = arguments.get(0, "encoding").and_then(Value::as_text).and_then(codec);
                match encoding {
                    Some(encoding) => decode(fold, encoding, &object),
                    None => Fold::decoded_text(object),
                }
            }
            ("get" | "__getitem__" | "pop" | "setdefault", Some(key)) => self.item(at.node, object, key),
            ("split", _) => match (&object, argument(0).map(Value::as_text)) {
                (Value::Known(Data::Text(text), origin), Some(Some(by))) if !by.is_empty() => {
                    let parts = text.split(by).take(MOST_ITEMS).map(|part| Value::text(part.to_owned(), *origin));
                    Value::list(parts.collect())
                }
                (Value::Known(Data::Text(text), origin), None) => {
                    let parts = text.split_whitespace().take(MOST_ITEMS);
                    Value::list(parts.map(|part| Value::text(part.to_owned(), *origin)).collect())
                }
                _ => Value::UNKNOWN,
            },
            ("hex", _) => Value::Unknown(Origin::Assembled),
            _ => Value::Unknown(object.origin()),
        }
    }

    /// `bytes([111, 115])`, `bytes("os", "utf-8")`.
    fn bytes(&mut self, value: &Value<'t>) -> Value<'t> {
        match value {
            Value::List(items) => {
                let bytes: Option<Vec<u8>> =
                    items.iter().map(|item| item.as_integer().and_then(|number| u8::try_from(number).ok())).collect();
                match bytes.filter(|bytes| self.reading.fold.spend(bytes.len()).is_some()) {
                    Some(bytes) => Value::Known(Data::Bytes(bytes.into()), Origin::Assembled),
                    None => Value::Unknown(Origin::Assembled),
                }
            }
            Value::Known(Data::Text(_), _) => Fold::encoded(self.reading.fold.copy(value)),
            Value::Known(Data::Bytes(_), _) => self.reading.fold.copy(value),
            other => Value::Unknown(other.origin()),
        }
    }

    /// `map(chr, numbers)`.
    fn mapped(&mut self, function: &Value<'t>, items: Option<&Value<'t>>) -> Value<'t> {
        match (function.as_name(), items) {
            (Some("chr"), Some(Value::List(items))) if self.reading.fold.spend(items.len() * 32).is_some() => {
                items.iter().map(letter).collect::<Option<_>>().map_or(Value::Unknown(Origin::Assembled), Value::list)
            }
            (Some("chr"), _) => Value::Unknown(Origin::Assembled),
            _ => Value::UNKNOWN,
        }
    }

    /// Texts that are run and programs that are started.
    fn starts_or_runs(&mut self, at: &At<'t, Kind>, name: &str, arguments: &Arguments<'t>) {
        let place = at.node.byte_range();
        let positional = &arguments.positional;
        let (text, language) = match name {
            "exec"
            | "eval"
            | "compile"
            | "execfile"
            | "code.InteractiveInterpreter.runsource"
            | "cProfile.run"
            | "timeit.timeit"
            | "timeit.repeat" => (positional.first(), Language::Python),
            "os.system"
            | "os.popen"
            | "subprocess.getoutput"
            | "subprocess.getstatusoutput"
            | "commands.getoutput"
            | "commands.getstatusoutput"
            | "asyncio.create_subprocess_shell"
            | "pty.spawn" => (arguments.get(0, "command").or_else(|| arguments.keyword("cmd")), Language::Bash),
            "subprocess.run"
            | "subprocess.call"
            | "subprocess.Popen"
            | "subprocess.check_call"
            | "subprocess.check_output" => (arguments.get(0, "args"), Language::Bash),
            "asyncio.create_subprocess_exec" => {
                self.reading.starts(place, positional);
                return;
            }
            "js.eval" => (positional.first(), Language::JavaScript),
            _ => {
                if let Some(kind) = name.strip_prefix("os.") {
                    self.replaces_itself(at, kind, positional);
                }
                return;
            }
        };
        match text {
            Some(Value::List(words)) => self.reading.starts(place, words),
            Some(text) => self.reading.runs(place, text, language),
            None => {}
        }
    }

    /// `os.execv(path, words)`, `os.spawnlp(mode, program, word, ..)` and their kin.
    fn replaces_itself(&mut self, at: &At<'t, Kind>, kind: &str, positional: &[Value<'t>]) {
        let skipped = match kind {
            "posix_spawn" | "posix_spawnp" => 0,
            _ if kind.starts_with("exec") => 0,
            _ if kind.starts_with("spawn") => 1,
            _ => return,
        };
        let Some((program, words)) = positional.get(skipped..).and_then(<[_]>::split_first) else { return };
        let words = match words.first() {
            Some(Value::List(words)) => words.as_slice(),
            _ => words,
        };
        let mut command = vec![self.reading.fold.copy(program)];
        command.extend(words.iter().skip(1).map(|word| self.reading.fold.copy(word)));
        self.reading.starts(at.node.byte_range(), &command);
    }
}

/// What has no value of its own is named after what gave it.
fn or_named<'t>(value: Value<'t>, name: &Cow<'t, str>) -> Value<'t> {
    match value {
        Value::Unknown(origin) => Value::Name(name.clone(), origin),
        value => value,
    }
}

fn letter<'t>(value: &Value<'_>) -> Option<Value<'t>> {
    let letter = char::from_u32(u32::try_from(value.as_integer()?).ok()?)?;
    Some(Value::text(letter.to_string(), Origin::Assembled))
}

fn swapped_case(text: &str) -> String {
    let swapped = |letter: char| {
        if letter.is_lowercase() { letter.to_uppercase().next() } else { letter.to_lowercase().next() }
    };
    text.chars().filter_map(swapped).collect()
}

/// A name with dots and nothing else.
fn is_path(text: &str) -> bool {
    text.len() < 256
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with(|letter: char| letter.is_ascii_digit())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

/// Whether going through what a call gives never ends.
fn is_endless_source(name: &str, arguments: &Arguments<'_>) -> bool {
    match name {
        "itertools.count" | "itertools.cycle" => true,
        "itertools.repeat" => arguments.positional.len() < 2 && arguments.keyword("times").is_none(),
        "iter" => {
            arguments.positional.len() == 2 && arguments.positional.first().and_then(Value::as_name) == Some("int")
        }
        _ => false,
    }
}
