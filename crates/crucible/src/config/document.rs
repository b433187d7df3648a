//! A TOML text taken apart into single settings, each with the line on which it stands.
//!
//! It knows TOML, not Crucible's settings: what a key means is the schema's matter. Numbers and booleans become their
//! text, so that a value from a file, a variable and a flag are read by one and the same parser.

use super::source::Source;
use crucible_core::{Error, ErrorKind, Result};
use toml::de::{DeTable, DeValue};

/// A setting's value before anyone knows what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One value.
    Text(String),
    /// Several.
    List(Vec<String>),
    /// A table that holds nothing.
    Empty,
}

/// One part of a key, with the line on which it stands.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// One setting of a text.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<Segment>,
    pub(crate) value: Value,
    /// The line of the value, counted from 1.
    pub(crate) line: usize,
}

/// Takes a text apart.
///
/// # Errors
/// `Configuration`, with the line, for what isn't TOML and for values that no setting can have.
pub(crate) fn entries(text: &str, source: &Source) -> Result<Vec<Entry>> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        Error::new(ErrorKind::Configuration, "read TOML", format!("{}: {message}", source.at(line)))
    })?;
    let mut walk = Walk { lines, source, path: Vec::new(), entries: Vec::new() };
    walk.table(table.get_ref(), 1)?;
    Ok(walk.entries)
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset).collect())
    }

    /// The line of a byte, counted from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

struct Walk<'a> {
    lines: Lines,
    source: &'a Source,
    path: Vec<Segment>,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, line: usize) -> Result<()> {
        if table.is_empty() && !self.path.is_empty() {
            self.entries.push(Entry { path: self.path.clone(), value: Value::Empty, line });
        }
        for (key, value) in table {
            let key_line = self.lines.at(key.span().start);
            self.path.push(Segment { name: key.get_ref().to_string(), line: key_line });
            let line = self.lines.at(value.span().start);
            match value.get_ref() {
                DeValue::Table(inner) => self.table(inner, key_line)?,
                DeValue::Array(items) => {
                    let items: Result<_> = items.iter().map(|item| self.scalar(item.get_ref(), line)).collect();
                    self.entries.push(Entry { path: self.path.clone(), value: Value::List(items?), line });
                }
                scalar => {
                    let value = Value::Text(self.scalar(scalar, line)?);
                    self.entries.push(Entry { path: self.path.clone(), value, line });
                }
            }
            self.path.pop();
        }
        Ok(())
    }

    fn scalar(&self, value: &DeValue<'_>, line: usize) -> Result<String> {
        match value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            other => {
                let key: Vec<_> = self.path.iter().map(|segment| segment.name.as_str()).collect();
                let message =
                    format!("{}: '{}' can't hold this {}", self.source.at(line), key.join("."), other.type_str());
                Err(Error::new(ErrorKind::Configuration, "read TOML", message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Entry>> {
        entries(text, &Source::file("c.toml"))
    }

    #[test]
    fn every_setting_keeps_the_line_on_which_it_stands() {
        let found =
            read("# note\n[limits]\npids = 64\nmemory = '1MiB'\n\n[languages.x]\nrun = [\n 'a', 'b']\nenv = {}\n")
                .unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|e| (e.path.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join("."), e.line, e.value.clone()))
            .collect();
        assert!(shown.contains(&("limits.pids".into(), 3, Value::Text("64".into()))), "{shown:?}");
        assert!(shown.contains(&("limits.memory".into(), 4, Value::Text("1MiB".into()))));
        assert!(shown.contains(&("languages.x.run".into(), 7, Value::List(vec!["a".into(), "b".into()]))));
        assert!(shown.contains(&("languages.x.env".into(), 9, Value::Empty)));
    }

    #[test]
    fn a_slip_in_the_syntax_is_named_with_file_and_line() {
        let error = read("[limits]\npids = = 3\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with("c.toml:2: "), "{error}");
        assert!(!error.to_string().contains('\n'));
    }

    #[test]
    fn what_no_setting_can_be_is_refused() {
        for text in ["[limits]\npids = 0x10", "[limits]\npids = 2020-01-01", "[[limits]]\npids = 1", "a = [['b']]"] {
            assert_eq!(read(text).unwrap_err().kind(), ErrorKind::Configuration, "{text}");
        }
    }
}
