//! Finding the patterns of names that fit a name without asking all of them.
//!
//! Invariant: every pattern is in exactly one place, by what of it is certain.

use super::LeafId;
use crate::names::{name_matches, word_matches};
use crate::rules::Text;
use rustc_hash::FxHashMap;

/// Patterns of names, and the leaves that they are of.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    /// Names without wildcards.
    exact: FxHashMap<Text, Vec<LeafId>>,
    /// Patterns whose last part is certain, by it.
    by_last: FxHashMap<Text, Vec<(Text, LeafId)>>,
    /// Patterns whose first part is certain, by it.
    by_first: FxHashMap<Text, Vec<(Text, LeafId)>>,
    /// The others.
    rest: Vec<(Text, LeafId)>,
}

impl NameIndex {
    pub(super) fn add(&mut self, names: &[Text], leaf: LeafId) {
        for name in names {
            let part = |part: &str| Text::from(part.to_owned());
            let first = name.split('.').next().filter(|part| !part.contains('*'));
            let last = name.rsplit('.').next().filter(|part| !part.contains('*'));
            match (name.contains('*'), last, first) {
                (false, _, _) => self.exact.entry(name.clone()).or_default().push(leaf),
                (true, Some(last), _) => self.by_last.entry(part(last)).or_default().push((name.clone(), leaf)),
                (true, None, Some(first)) => self.by_first.entry(part(first)).or_default().push((name.clone(), leaf)),
                (true, None, None) => self.rest.push((name.clone(), leaf)),
            }
        }
    }

    /// Each leaf that has a fitting pattern; one with several may come several times.
    pub(super) fn find(&self, name: &str, mut found: impl FnMut(LeafId)) {
        self.exact.get(name).into_iter().flatten().for_each(|&leaf| found(leaf));
        let mut ask = |patterns: &[(Text, LeafId)]| {
            patterns.iter().filter(|(pattern, _)| name_matches(pattern, name)).for_each(|(_, leaf)| found(*leaf));
        };
        if !self.by_last.is_empty() {
            let last = name.rsplit('.').next().unwrap_or(name);
            self.by_last.get(last).into_iter().for_each(|patterns| ask(patterns));
        }
        if !self.by_first.is_empty() {
            let first = name.split('.').next().unwrap_or(name);
            self.by_first.get(first).into_iter().for_each(|patterns| ask(patterns));
        }
        ask(&self.rest);
    }
}

/// Patterns of single words, and the leaves that they are of.
#[derive(Debug, Default)]
pub(super) struct WordIndex {
    exact: FxHashMap<Text, Vec<LeafId>>,
    rest: Vec<(Text, LeafId)>,
}

impl WordIndex {
    pub(super) fn add(&mut self, words: &[Text], leaf: LeafId) {
        for word in words {
            if word.contains(['*', '?']) {
                self.rest.push((word.clone(), leaf));
            } else {
                self.exact.entry(word.clone()).or_default().push(leaf);
            }
        }
    }

    /// Each leaf that has a fitting pattern; one with several may come several times.
    pub(super) fn find(&self, word: &str, mut found: impl FnMut(LeafId)) {
        self.exact.get(word).into_iter().flatten().for_each(|&leaf| found(leaf));
        let fitting = self.rest.iter().filter(|(pattern, _)| word_matches(pattern, word));
        fitting.for_each(|(_, leaf)| found(*leaf));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_by_what_is_certain_of_it() {
        let mut index = NameIndex::default();
        for (leaf, name) in (0..).zip(["os.system", "os.*", "**.connect", "e*al", "a.**.b"]) {
            index.add(&[name.into()], leaf);
        }
        let find = |name: &str| {
            let mut leaves = Vec::new();
            index.find(name, |leaf| leaves.push(leaf));
            leaves
        };
        assert_eq!(find("os.system"), [0, 1]);
        assert_eq!(find("os.popen"), [1]);
        assert_eq!(find("?.connect"), [2]);
        assert_eq!(find("eval"), [3]);
        assert_eq!(find("a.x.y.b"), [4]);
        assert_eq!(find("print"), [0; 0]);
    }
}
