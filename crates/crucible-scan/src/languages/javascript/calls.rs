//! What calls mean in JavaScript: those that give a constant or a name, run a text, or start a program.

use super::{JavaScript, Kind, first, last};
use crate::facts::{Arguments, Data, Fact, Origin, Value};
use crate::fold::{Encoding, Fold, MOST_ITEMS, decode};
use crate::language::Language;
use crate::walk::{At, Child};
use std::borrow::Cow;

/// Calls that take a module in.
const REQUIRES: &[&str] = &[
    "require",
    "import",
    "module.require",
    "process.mainModule.require",
    "module.constructor._load",
    "module._load",
    "process.getBuiltinModule",
    "module.createRequire.require",
];

/// Calls that run the text they are given, wherever in their arguments it is.
const RUNS: &[&str] = &[
    "eval",
    "Function",
    "GeneratorFunction",
    "AsyncFunction",
    "setTimeout",
    "setInterval",
    "setImmediate",
    "execScript",
    "vm.runInThisContext",
    "vm.runInNewContext",
    "vm.runInContext",
    "vm.Script",
    "vm.compileFunction",
];

fn encoding_of(name: &str) -> Option<Encoding> {
    Some(match name {
        "atob" => Encoding::Base64,
        "decodeURIComponent" | "decodeURI" | "unescape" => Encoding::Percent,
        "zlib.inflateSync" | "zlib.unzipSync" => Encoding::Zlib,
        "zlib.gunzipSync" => Encoding::Gzip,
        "zlib.inflateRawSync" => Encoding::Deflate,
        _ => return None,
    })
}

impl<'t> JavaScript<'_, 't, '_> {
    pub(super) fn call(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let arguments = match last(children) {
            Value::Arguments(arguments) => *arguments,
            // A text right after the name.
            other => Arguments { positional: vec![other], keywords: Vec::new() },
        };
        let function = first(children);
        self.called(at, function, arguments)
    }

    pub(super) fn construct(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let arguments = match last(children) {
            Value::Arguments(arguments) => *arguments,
            _ => Arguments::default(),
        };
        match first(children) {
            function @ Value::Name(..) => self.called(at, function, arguments),
            _ => Value::UNKNOWN,
        }
    }

    fn called(&mut self, at: &At<'t, Kind>, function: Value<'t>, arguments: Arguments<'t>) -> Value<'t> {
        match function {
            Value::Name(name, origin) => match self.known_call(at, name, arguments) {
                Value::Name(name, made) => Value::Name(name, made.max(origin)),
                other => other,
            },
            Value::Member(member) => {
                let (object, name) = *member;
                let full = self.reading.joined("?", &name);
                self.tell_call(at, &full, &arguments);
                self.method(object, &name, &arguments)
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

    fn tell_call(&mut self, at: &At<'t, Kind>, name: &str, arguments: &Arguments<'t>) {
        self.reading.tell(at.node, Fact::Call { name, arguments });
        self.reading.called(at.node, name);
    }

    fn known_call(&mut self, at: &At<'t, Kind>, name: Cow<'t, str>, mut arguments: Arguments<'t>) -> Value<'t> {
        self.tell_call(at, &name, &arguments);
        if matches!(&*name, "process.exit" | "process.abort" | "process.reallyExit") {
            self.reading.leaves_function();
        }
        // A function that is called by one of its own methods.
        if let Some((function, way)) = name.rsplit_once('.') {
            match way {
                "bind" => return Value::name(function.to_owned()),
                "call" if !arguments.positional.is_empty() => {
                    arguments.positional.remove(0);
                    return self.known_call(at, Cow::Owned(function.to_owned()), arguments);
                }
                "apply" if name != "Reflect.apply" => {
                    let positional = match arguments.positional.get(1) {
                        Some(Value::List(items)) => items.to_vec(),
                        _ => Vec::new(),
                    };
                    let inner = Arguments { positional, keywords: Vec::new() };
                    return self.known_call(at, Cow::Owned(function.to_owned()), inner);
                }
                "constructor" if arguments.positional.iter().any(|argument| argument.as_text().is_some()) => {
                    return self.known_call(at, Cow::Borrowed("Function"), arguments);
                }
                _ => {}
            }
        }
        if REQUIRES.contains(&&*name)
            && let Some(module) = arguments.positional.first().and_then(Value::as_text)
        {
            let module = self.module(at.node, Cow::Owned(module.to_owned()));
            return Value::Name(module, Origin::Literal);
        }
        self.starts_or_runs(at, &name, &arguments);
        self.given(at, name, &arguments)
    }

    /// What a call gives.
    fn given(&mut self, at: &At<'t, Kind>, name: Cow<'t, str>, arguments: &Arguments<'t>) -> Value<'t> {
        let argument = |place: usize| arguments.positional.get(place);
        if let (Some(encoding), Some(value)) = (encoding_of(&name), argument(0)) {
            let decoded = decode(&mut self.reading.fold, encoding, value);
            let decoded = if name == "atob" { Fold::decoded_text(decoded) } else { decoded };
            return or_named(decoded, &name);
        }
        match (&*name, argument(0)) {
            ("String.fromCharCode" | "String.fromCodePoint", _) => {
                let letters: Option<String> = arguments.positional.iter().map(letter).collect();
                match letters.filter(|letters| self.reading.fold.spend(letters.len()).is_some()) {
                    Some(letters) => Value::text(letters, Origin::Assembled),
                    None => Value::Unknown(Origin::Assembled),
                }
            }
            ("Buffer.from" | "Buffer", Some(value)) => {
                let bytes = match argument(1).and_then(Value::as_text) {
                    Some("base64" | "base64url") => decode(&mut self.reading.fold, Encoding::Base64, value),
                    Some("hex") => decode(&mut self.reading.fold, Encoding::Base16, value),
                    _ => self.bytes(value),
                };
                or_named(bytes, &name)
            }
            ("Uint8Array" | "Uint8Array.from" | "Array.from", Some(value)) if name != "Array.from" => self.bytes(value),
            ("Array.from" | "String" | "Object", Some(value)) if arguments.positional.len() == 1 => {
                self.reading.fold.copy(value)
            }
            ("TextDecoder.decode", Some(value)) => {
                let value = self.reading.fold.copy(value);
                or_named(Fold::decoded_text(value), &name)
            }
            ("parseInt" | "Number.parseInt" | "Number", Some(value)) => {
                let radix = argument(1).and_then(Value::as_integer).and_then(|radix| u32::try_from(radix).ok());
                let radix = radix.filter(|radix| (2..=36).contains(radix)).unwrap_or(10);
                let number = value.as_text().and_then(|text| i32::from_str_radix(text.trim(), radix).ok());
                number.map_or(Value::UNKNOWN, |number| Value::number(f64::from(number)))
            }
            ("Reflect.get", Some(object)) => match argument(1).and_then(Value::as_text) {
                Some(key) => {
                    let (object, key) = (self.reading.fold.copy(object), key.to_owned());
                    self.member(at.node, object, Cow::Owned(key))
                }
                None => Value::UNKNOWN,
            },
            ("Reflect.apply" | "Reflect.construct", Some(Value::Name(function, _))) => {
                let positional = match argument(if name == "Reflect.apply" { 2 } else { 1 }) {
                    Some(Value::List(items)) => items.to_vec(),
                    _ => Vec::new(),
                };
                let function = function.clone();
                let is_other = !function.starts_with("Reflect.");
                if is_other {
                    return self.known_call(at, function, Arguments { positional, keywords: Vec::new() });
                }
                Value::UNKNOWN
            }
            ("path.join" | "path.resolve", Some(_)) => {
                let parts = Value::list(arguments.positional.iter().map(|part| self.reading.fold.copy(part)).collect());
                self.reading.fold.join(&Value::text("/", Origin::Literal), &parts)
            }
            _ => Value::Name(name, Origin::Literal),
        }
    }

    /// A method of something that has no name.
    fn method(&mut self, object: Value<'t>, name: &str, arguments: &Arguments<'t>) -> Value<'t> {
        let argument = |place: usize| arguments.positional.get(place);
        let integer = |place: usize| argument(place).and_then(Value::as_integer);
        let text = |place: usize| argument(place).and_then(Value::as_text);
        let fold = &mut self.reading.fold;
        match name {
            "join" => {
                let comma = Value::text(",", Origin::Literal);
                fold.join(argument(0).unwrap_or(&comma), &object)
            }
            "concat" => {
                let mut whole = object;
                for piece in arguments.positional.iter().take(256) {
                    let piece = fold.copy(piece);
                    whole = fold.concatenate(whole, piece);
                }
                whole
            }
            "split" => match (&object, text(0)) {
                (Value::Known(Data::Text(letters), origin), Some(""))
                    if letters.len() <= MOST_ITEMS && fold.spend(letters.len() * 32).is_some() =>
                {
                    Value::list(letters.chars().map(|letter| Value::text(letter.to_string(), *origin)).collect())
                }
                (Value::Known(Data::Text(whole), origin), Some(by))
                    if !by.is_empty() && fold.spend(whole.len()).is_some() =>
                {
                    let parts = whole.split(by).take(MOST_ITEMS).map(|part| Value::text(part.to_owned(), *origin));
                    Value::list(parts.collect())
                }
                _ => Value::Unknown(object.origin()),
            },
            "reverse" | "toReversed" => fold.slice(&object, [None, None, Some(-1)]),
            "slice" | "substring" => fold.slice(&object, [integer(0), integer(1), None]),
            "substr" => {
                let start = integer(0).unwrap_or(0);
                fold.slice(&object, [Some(start), integer(1).and_then(|length| start.checked_add(length)), None])
            }
            "charAt" | "at" => fold.item(&object, integer(0).unwrap_or(0)),
            "charCodeAt" | "codePointAt" => {
                let letter = fold.item(&object, integer(0).unwrap_or(0));
                let letter = letter.as_text().and_then(|text| text.chars().next());
                letter.map_or(Value::UNKNOWN, |letter| Value::number(f64::from(u32::from(letter))))
            }
            "replace" | "replaceAll" => match (text(0), text(1)) {
                (Some(from), Some(to)) => fold.replace(&object, from, to),
                _ => Value::Unknown(object.origin().max(Origin::Assembled)),
            },
            "repeat" => fold.repeat(&object, integer(0).unwrap_or(0)),
            "toLowerCase" => fold.mapped(&object, str::to_lowercase),
            "toUpperCase" => fold.mapped(&object, str::to_uppercase),
            "trim" => fold.mapped(&object, |text| text.trim().to_owned()),
            "toString" => match text(0) {
                Some("hex" | "base64") => Value::Unknown(Origin::Assembled),
                _ => Fold::decoded_text(object),
            },
            "map" | "reduce" | "filter" => Value::Unknown(object.origin().max(Origin::Assembled)),
            _ => Value::Unknown(object.origin()),
        }
    }

    fn bytes(&mut self, value: &Value<'t>) -> Value<'t> {
        match value {
            Value::List(items) => {
                let byte = |item: &Value<'t>| item.as_integer().and_then(|number| u8::try_from(number).ok());
                let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
                match bytes.filter(|bytes| self.reading.fold.spend(bytes.len()).is_some()) {
                    Some(bytes) => Value::Known(Data::Bytes(bytes.into()), Origin::Assembled),
                    None => Value::Unknown(Origin::Assembled),
                }
            }
            Value::Known(Data::Text(_), _) => Fold::encoded(self.reading.fold.copy(value)),
            other => self.reading.fold.copy(other),
        }
    }

    /// Texts that are run and programs that are started.
    fn starts_or_runs(&mut self, at: &At<'t, Kind>, name: &str, arguments: &Arguments<'t>) {
        let place = at.node.byte_range();
        let positional = &arguments.positional;
        if RUNS.contains(&name) || name.ends_with("._compile") {
            // What a function is made of comes last.
            let code = if name.ends_with("Function") { positional.last() } else { positional.first() };
            if let Some(code) = code {
                self.reading.runs(place, code, Language::JavaScript);
            }
            return;
        }
        match name {
            "child_process.exec" | "child_process.execSync" => {
                if let Some(command) = positional.first() {
                    self.reading.runs(place, command, Language::Bash);
                }
            }
            "child_process.spawn"
            | "child_process.spawnSync"
            | "child_process.execFile"
            | "child_process.execFileSync"
            | "child_process.fork"
            | "Deno.Command"
            | "execa" => {
                let mut words: Vec<Value<'t>> =
                    positional.first().map(|program| self.reading.fold.copy(program)).into_iter().collect();
                let listed = match positional.get(1) {
                    Some(Value::List(items)) => Some(items),
                    Some(Value::Object(entries)) => entries.iter().find_map(|(key, value)| match value {
                        Value::List(items) if key == "args" => Some(items),
                        _ => None,
                    }),
                    _ => None,
                };
                words.extend(listed.into_iter().flat_map(|items| items.iter().cloned()).take(1000));
                let has_space = words.first().and_then(Value::as_text).is_some_and(|program| program.contains(' '));
                match words.first() {
                    // With the option for it, the program's name is a whole line for a shell.
                    Some(line) if has_space => self.reading.runs(place, line, Language::Bash),
                    _ => self.reading.starts(place, &words),
                }
            }
            "Bun.spawn" | "Bun.spawnSync" => {
                if let Some(Value::List(words)) = positional.first() {
                    self.reading.starts(place, words);
                }
            }
            _ => {}
        }
    }
}

fn or_named<'t>(value: Value<'t>, name: &Cow<'t, str>) -> Value<'t> {
    match value {
        Value::Unknown(origin) => Value::Name(name.clone(), origin),
        value => value,
    }
}

fn letter(value: &Value<'_>) -> Option<char> {
    char::from_u32(u32::try_from(value.as_integer()?).ok()?)
}
