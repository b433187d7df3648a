//! The language table: finds a language by name, alias or file ending, and fills in how to call it.
//!
//! It holds data only. Whether an interpreter is there is for a backend to say.

use crucible_core::{Error, ErrorKind, Language, Result, nearest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The languages that programs may be written in, by name.
#[derive(Clone, Debug, Default)]
pub struct LanguageTable {
    languages: BTreeMap<String, Arc<Language>>,
}

impl From<BTreeMap<String, Language>> for LanguageTable {
    fn from(languages: BTreeMap<String, Language>) -> Self {
        Self { languages: languages.into_iter().map(|(name, language)| (name, Arc::new(language))).collect() }
    }
}

impl LanguageTable {
    /// The language of that name or alias, with its name in the table. A name goes before an alias.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with the nearest name as the hint, or else all names.
    pub fn find(&self, name: &str) -> Result<(String, Arc<Language>)> {
        if let Some((name, language)) = self.languages.get_key_value(name) {
            return Ok((name.clone(), Arc::clone(language)));
        }
        let meant = |known: &str| known.eq_ignore_ascii_case(name);
        let by_name = self.languages.iter().find(|(known, _)| meant(known));
        let by_alias = || self.languages.iter().find(|(_, language)| language.aliases.iter().any(|alias| meant(alias)));
        if let Some((name, language)) = by_name.or_else(by_alias) {
            return Ok((name.clone(), Arc::clone(language)));
        }
        let known = self
            .iter()
            .flat_map(|(name, language)| std::iter::once(name).chain(language.aliases.iter().map(String::as_str)));
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean '{near}'?"),
            None if self.languages.is_empty() => "no language is configured".to_owned(),
            None => format!("known languages: {}", self.iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")),
        };
        let shown: String = name.chars().take(64).collect();
        Err(Error::new(ErrorKind::NotFound, "find the language", format!("unknown language {shown:?}")).with_hint(hint))
    }

    /// The language that a file's name tells by its ending; the longest ending wins.
    #[must_use]
    pub fn for_file(&self, name: &str) -> Option<(String, Arc<Language>)> {
        let name = name.to_ascii_lowercase();
        let endings = self.languages.iter().flat_map(|(language_name, language)| {
            language.endings.iter().map(move |ending| (ending, language_name, language))
        });
        endings
            .filter(|(ending, ..)| !ending.is_empty() && name.ends_with(&format!(".{}", ending.to_ascii_lowercase())))
            .max_by_key(|(ending, ..)| ending.len())
            .map(|(_, language_name, language)| (language_name.clone(), Arc::clone(language)))
    }

    /// Every language with its name, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Language>)> {
        self.languages.iter().map(|(name, language)| (name.as_str(), language))
    }
}

/// Puts what was found in the place of `{interpreter}` and `{file}`. What was put in isn't looked at again.
///
/// # Errors
/// [`ErrorKind::Configuration`] where the text asks for an interpreter and the language has none.
pub(crate) fn fill(template: &str, interpreter: Option<&str>, file: &str) -> Result<String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(brace) = rest.find('{') {
        let (before, from_brace) = rest.split_at(brace);
        filled.push_str(before);
        if let Some(after) = from_brace.strip_prefix("{file}") {
            filled.push_str(file);
            rest = after;
        } else if let Some(after) = from_brace.strip_prefix("{interpreter}") {
            filled.push_str(interpreter.ok_or_else(|| {
                let message = "the language's command asks for {interpreter}, but the language names no interpreters";
                Error::new(ErrorKind::Configuration, "build the command", message)
            })?);
            rest = after;
        } else {
            filled.push('{');
            rest = from_brace.strip_prefix('{').unwrap_or_default();
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn language(endings: &[&str], aliases: &[&str]) -> Language {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Language {
            title: "Test".to_owned(),
            endings: owned(endings),
            aliases: owned(aliases),
            interpreters: vec!["test".to_owned()],
            run: owned(&["{interpreter}", "{file}"]),
            file_name: "main.test".to_owned(),
            probe: Vec::new(),
            files: Vec::new(),
            env: BTreeMap::new(),
            image: String::new(),
            install_hint: String::new(),
            wasm: String::new(),
            ready: String::new(),
            preload: Vec::new(),
        }
    }

    fn table() -> LanguageTable {
        let languages = [
            ("python", language(&["py"], &["python3", "py"])),
            ("javascript", language(&["js", "mjs"], &["node"])),
            ("typings", language(&["d.js"], &[])),
        ];
        LanguageTable::from(
            languages.map(|(name, language)| (name.to_owned(), language)).into_iter().collect::<BTreeMap<_, _>>(),
        )
    }

    #[test]
    fn a_language_is_found_by_name_and_alias_in_any_case() {
        for (given, name) in [("python", "python"), ("py", "python"), ("Node", "javascript"), ("PYTHON", "python")] {
            assert_eq!(table().find(given).unwrap().0, name);
        }
    }

    #[test]
    fn an_unknown_language_suggests_the_nearest_or_lists_all() {
        let error = table().find("pyhton").unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::NotFound, Some("did you mean 'python'?")));
        let error = table().find("quaternions").unwrap_err();
        assert_eq!(error.hint(), Some("known languages: javascript, python, typings"));
        assert!(table().find(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn the_longest_ending_tells_the_language() {
        let found = |name: &str| table().for_file(name).map(|(name, _)| name);
        assert_eq!(found("a.py").as_deref(), Some("python"));
        assert_eq!(found("A.PY").as_deref(), Some("python"));
        assert_eq!(found("x.d.js").as_deref(), Some("typings"));
        assert_eq!(found("x.js").as_deref(), Some("javascript"));
        assert_eq!((found("py"), found("a.pyc"), found("")), (None, None, None));
    }

    #[test]
    fn what_was_filled_in_is_not_filled_again() {
        assert_eq!(fill("{interpreter}:{file}", Some("{file}"), "/work/x").unwrap(), "{file}:/work/x");
        assert_eq!(fill("a{b}{{file}", None, "F").unwrap(), "a{b}{F");
        assert_eq!(fill("{interpreter}", None, "F").unwrap_err().kind(), ErrorKind::Configuration);
    }
}
