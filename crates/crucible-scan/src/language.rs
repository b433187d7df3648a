//! The languages that are read, and how a file's language is told.
//!
//! Invariant: adding one is an entry here and a file in `languages/`.

/// A language that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Language {
    Python,
    JavaScript,
    TypeScript,
    Tsx,
    Bash,
}

/// What rules are looked up by: a language's own, or bytes that are in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dialect {
    Python,
    JavaScript,
    TypeScript,
    Bash,
    Pickle,
    Bytes,
}

impl Dialect {
    pub(crate) const ALL: [Self; 6] =
        [Self::Python, Self::JavaScript, Self::TypeScript, Self::Bash, Self::Pickle, Self::Bytes];

    /// The languages of rules that it is looked at with, beside `any`.
    pub(crate) const fn rule_languages(self) -> &'static [&'static str] {
        match self {
            Self::Python => &["python"],
            Self::JavaScript => &["javascript"],
            Self::TypeScript => &["typescript", "javascript"],
            Self::Bash => &["bash"],
            Self::Pickle => &["pickle"],
            Self::Bytes => &[],
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl Language {
    pub(crate) const ALL: [Self; 5] = [Self::Python, Self::JavaScript, Self::TypeScript, Self::Tsx, Self::Bash];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Python => Dialect::Python,
            Self::JavaScript => Dialect::JavaScript,
            Self::TypeScript | Self::Tsx => Dialect::TypeScript,
            Self::Bash => Dialect::Bash,
        }
    }

    /// By the name that the language table gives it, or another name it goes by.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "python" | "python3" | "py" => Self::Python,
            "javascript" | "js" | "node" | "nodejs" | "ecmascript" => Self::JavaScript,
            "typescript" | "ts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "bash" | "sh" | "shell" | "zsh" => Self::Bash,
            _ => return None,
        })
    }

    /// By a file's name.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        Some(match ending.to_ascii_lowercase().as_str() {
            "py" | "pyw" | "pyi" | "pth" => Self::Python,
            "js" | "mjs" | "cjs" | "jsx" => Self::JavaScript,
            "ts" | "mts" | "cts" => Self::TypeScript,
            "tsx" => Self::Tsx,
            "sh" | "bash" | "zsh" | "ksh" => Self::Bash,
            _ => return None,
        })
    }

    /// By the interpreter that a first line names. `Err` for a first line that names another one.
    pub(crate) fn of_first_line(bytes: &[u8]) -> Option<Result<Self, ()>> {
        let line = bytes.strip_prefix(b"#!")?;
        let line = &line[..line.iter().take(256).position(|&byte| byte == b'\n').unwrap_or(line.len().min(256))];
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_ascii_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
        let program = words.find(|word| *word != "env" && !word.starts_with('-') && !word.contains('='));
        let program =
            program.unwrap_or_default().trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        Some(match program {
            "python" | "pypy" => Ok(Self::Python),
            "node" | "nodejs" | "deno" | "bun" => Ok(Self::JavaScript),
            "ts-node" | "tsx" => Ok(Self::TypeScript),
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" => Ok(Self::Bash),
            _ => Err(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_told_by_name_file_or_first_line() {
        assert_eq!(Language::named("Python"), Some(Language::Python));
        assert_eq!(Language::named("cobol"), None);
        assert_eq!(Language::of_file("a/b.min.JS"), Some(Language::JavaScript));
        assert_eq!(Language::of_file("Makefile"), None);
        let first = |line: &str| Language::of_first_line(line.as_bytes());
        assert_eq!(first("#!/usr/bin/env -S PYTHONPATH=. python3.11 -u\nx"), Some(Ok(Language::Python)));
        assert_eq!(first("#! /bin/sh"), Some(Ok(Language::Bash)));
        assert_eq!(first("#!/usr/bin/perl"), Some(Err(())));
        assert_eq!(first("#!"), Some(Err(())));
        assert_eq!(first("print(1)"), None);
    }
}
