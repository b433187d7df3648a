//! Settings laid over one another: what comes later wins, and every value remembers where it came from.

use super::document::{self, Value};
use super::environment::Environment;
use super::schema::{self, Node};
use super::source::{Origin, Source};
use crucible_core::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Settings by key, `section.name` or `section.name.more`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    map: BTreeMap<String, Located>,
}

impl Values {
    /// Lays a text over what is there.
    ///
    /// # Errors
    /// `Configuration`, with file, line and the nearest known key, for what `root` doesn't have.
    pub(crate) fn overlay_text(&mut self, text: &str, source: &Source, root: &Node) -> Result<()> {
        for entry in document::entries(text, source)? {
            schema::check(root, &entry.path, &entry.value).map_err(|mismatch| {
                let line = entry.path.get(mismatch.depth).map_or(entry.line, |segment| segment.line);
                let message = format!("{}: {}", source.at(line), mismatch.message);
                let error = Error::new(ErrorKind::Configuration, "read the configuration", message);
                mismatch.hint.into_iter().fold(error, Error::with_hint)
            })?;
            if entry.value != Value::Empty {
                let key: Vec<_> = entry.path.into_iter().map(|segment| segment.name).collect();
                self.set(key.join("."), Located { value: entry.value, origin: source.origin(entry.line) });
            }
        }
        Ok(())
    }

    /// Lays the environment over what is there.
    ///
    /// # Errors
    /// As [`Environment::settings`].
    pub(crate) fn overlay_environment(&mut self, environment: &Environment) -> Result<()> {
        for (key, text, variable) in environment.settings()? {
            self.set(key.to_owned(), Located { value: Value::Text(text), origin: Origin::Environment { variable } });
        }
        Ok(())
    }

    pub(crate) fn set(&mut self, key: String, located: Located) {
        self.map.insert(key, located);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Located)> {
        self.map.iter().map(|(key, located)| (key.as_str(), located))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Located> {
        self.map.get(key)
    }

    /// One value as text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            Value::List(_) | Value::Empty => None,
        }
    }

    /// A list; an absent one is empty.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        match self.get(key).map(|located| &located.value) {
            Some(Value::List(items)) => items.clone(),
            Some(Value::Text(_) | Value::Empty) | None => Vec::new(),
        }
    }

    /// The keys below `prefix` (which ends in a dot), without it.
    pub(crate) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Located)> {
        self.map
            .range(prefix.to_owned()..)
            .map_while(move |(key, located)| key.strip_prefix(prefix).map(|rest| (rest, located)))
    }

    /// The names that follow `prefix` (which ends in a dot), each once.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.below(prefix).map(|(rest, _)| rest.split('.').next().unwrap_or(rest).to_owned()).collect();
        // Keys are sorted as texts, so `a-b.x` stands between `a.x` and `a.y`... and a name can come up twice.
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The environment variables below `prefix` (which ends in a dot).
    pub(crate) fn variables(&self, prefix: &str) -> BTreeMap<String, String> {
        self.below(prefix)
            .filter_map(|(name, located)| match &located.value {
                Value::Text(text) => Some((name.to_owned(), text.clone())),
                Value::List(_) | Value::Empty => None,
            })
            .collect()
    }

    /// Reads one value, if it is there.
    ///
    /// # Errors
    /// The mistake of whoever set it, with the place and the key.
    pub(crate) fn parse_optional<T>(&self, key: &str) -> Result<Option<T>>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some(Located { value: Value::Text(text), origin }) = self.get(key) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|error| wrong(key, origin, format!("{error}")))
    }

    /// Reads one value that the embedded defaults always have.
    ///
    /// # Errors
    /// As [`Values::parse_optional`].
    pub(crate) fn parse<T>(&self, key: &str) -> Result<T>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let missing = || {
            Error::new(ErrorKind::Configuration, "read the configuration", format!("the setting '{key}' is missing"))
        };
        self.parse_optional(key)?.ok_or_else(missing)
    }

    /// Reads a whole number that the embedded defaults always have.
    ///
    /// # Errors
    /// As [`Values::parse_optional`].
    pub(crate) fn parse_number<T: FromStr>(&self, key: &str) -> Result<T> {
        self.parse::<Number<T>>(key).map(|Number(number)| number)
    }
}

/// The error for a value that was understood by nobody.
pub(crate) fn wrong(key: &str, origin: &Origin, message: String) -> Error {
    let place = match origin {
        Origin::Flag { flag } => format!("{flag}: {message}"),
        Origin::Environment { variable } => format!("{variable}: {message}"),
        Origin::Default { .. } | Origin::File { .. } => format!("{origin}: {key}: {message}"),
    };
    Error::new(origin.error_kind(), "read the configuration", place)
}

/// A whole number, whose own errors would not say what was given.
struct Number<T>(T);

impl<T: FromStr> FromStr for Number<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // TOML lets digits be grouped.
        let plain: String = text.trim().chars().filter(|c| *c != '_').collect();
        let bits = size_of::<T>() * 8;
        plain.parse().map(Self).map_err(|_| format!("{text:?} is not a whole number from 0 to 2^{bits} - 1"))
    }
}
