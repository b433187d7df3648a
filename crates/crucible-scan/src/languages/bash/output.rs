//! What commands print that do nothing but print and decode.
//!
//! Invariant: a command that isn't known here prints something unknown.

use super::Bash;
use crate::facts::{Data, Origin, Value};
use crate::fold::{Encoding, Escapes, Fold, decode, unescaped};

impl<'t> Bash<'_, 't, '_> {
    /// What words print, given what comes in.
    pub(super) fn output(&mut self, words: &[Value<'t>], input: Option<Value<'t>>) -> Value<'t> {
        let Some((program, arguments)) = words.split_first() else { return Value::UNKNOWN };
        let name = program.as_text().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or(name).to_owned();
        let has_flag =
            |flags: &[&str]| arguments.iter().filter_map(Value::as_text).any(|argument| flags.contains(&argument));
        match name.as_str() {
            "echo" => {
                let words = arguments
                    .iter()
                    .skip_while(|word| matches!(word.as_text(), Some("-n" | "-e" | "-ne" | "-en" | "-E")));
                let words = Value::list(words.map(|word| self.reading.fold.copy(word)).collect());
                let printed = self.reading.fold.join(&Value::text(" ", Origin::Literal), &words);
                if has_flag(&["-e", "-ne", "-en"]) { self.without_escapes(&printed) } else { printed }
            }
            "printf" => match arguments {
                [only] if only.as_text().is_some_and(|text| !text.contains('%')) => self.without_escapes(only),
                [shape, only] if matches!(shape.as_text(), Some("%s" | "%s\\n" | "%b")) => self.without_escapes(only),
                _ => Value::Unknown(Origin::Assembled),
            },
            "cat" | "tee" | "xargs" => {
                input.filter(|_| name != "cat" || arguments.is_empty()).unwrap_or(Value::UNKNOWN)
            }
            "base64" if has_flag(&["-d", "-D", "--decode", "-di"]) => self.decoded(Encoding::Base64, input),
            "base32" if has_flag(&["-d", "-D", "--decode"]) => self.decoded(Encoding::Base32, input),
            "openssl" if has_flag(&["base64"]) && has_flag(&["-d"]) => self.decoded(Encoding::Base64, input),
            "xxd" if has_flag(&["-r", "-rp", "-p"]) => self.decoded(Encoding::Base16, input),
            "gunzip" | "zcat" => self.decoded(Encoding::Gzip, input),
            "gzip" if has_flag(&["-d", "-dc", "-cd"]) => self.decoded(Encoding::Gzip, input),
            "rev" => match input {
                Some(value) => self.reading.fold.slice(&value, [None, None, Some(-1)]),
                None => Value::UNKNOWN,
            },
            "tr" => {
                let is_rot13 =
                    arguments.get(1).and_then(Value::as_text).is_some_and(|to| to.to_lowercase().starts_with("n-z"));
                match input {
                    Some(value) if is_rot13 => decode(&mut self.reading.fold, Encoding::Rot13, &value),
                    Some(value) => Value::Unknown(value.origin().max(Origin::Assembled)),
                    None => Value::UNKNOWN,
                }
            }
            "sed" | "awk" | "cut" => {
                Value::Unknown(input.map_or(Origin::Literal, |value| value.origin().max(Origin::Assembled)))
            }
            _ => Value::UNKNOWN,
        }
    }

    fn decoded(&mut self, encoding: Encoding, input: Option<Value<'t>>) -> Value<'t> {
        match input {
            Some(value @ Value::Known(..)) => {
                let value = match value {
                    Value::Known(Data::Text(text), origin) => Value::text(text.trim().to_owned(), origin),
                    other => other,
                };
                Fold::decoded_text(decode(&mut self.reading.fold, encoding, &value))
            }
            _ => Value::Unknown(Origin::Decoded),
        }
    }

    fn without_escapes(&mut self, value: &Value<'t>) -> Value<'t> {
        self.reading.fold.mapped(value, |text| unescaped(text, Escapes::Text))
    }
}
