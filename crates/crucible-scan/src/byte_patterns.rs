//! Patterns for bytes, in YARA's language.
//!
//! Invariant: what can't be tried is told. A build without the feature `yara` takes the same rules in, matches none of
//! their patterns, and says so of everything that they would have been tried on.

use crate::program::LeafId;
use crate::rules::Text;
use std::ops::Range;
#[cfg(feature = "yara")]
use std::sync::OnceLock;

/// The most bytes that patterns are tried on.
#[cfg(feature = "yara")]
const MOST_BYTES: usize = 8 << 20;

/// Patterns, each with the leaf that it is. They are compiled when the first bytes ask for it.
#[derive(Debug, Default)]
pub(crate) struct BytePatterns {
    sources: Vec<(Text, LeafId)>,
    #[cfg(feature = "yara")]
    compiled: OnceLock<yara_x::Rules>,
}

impl BytePatterns {
    pub(crate) fn add(&mut self, source: &Text, leaf: LeafId) {
        self.sources.push((source.clone(), leaf));
    }

    /// Leaves whose pattern matches, with the first place of the match. What comes back is why not all was tried, where
    /// that is so.
    #[cfg(feature = "yara")]
    pub(crate) fn find(&self, bytes: &[u8], mut found: impl FnMut(LeafId, Range<usize>)) -> Option<&'static str> {
        if self.sources.is_empty() {
            return None;
        }
        let mut scanner = yara_x::Scanner::new(self.compiled.get_or_init(|| self.compile()));
        scanner.max_matches_per_pattern(16);
        let Ok(results) = scanner.scan(&bytes[..bytes.len().min(MOST_BYTES)]) else {
            return Some("patterns for bytes can't be tried on it");
        };
        for rule in results.matching_rules() {
            let leaf = rule.namespace().parse().ok().and_then(|place: usize| self.sources.get(place));
            let place = rule.patterns().flat_map(|pattern| pattern.matches().map(|found| found.range()).next()).next();
            if let Some((_, leaf)) = leaf {
                found(*leaf, place.unwrap_or(0..0));
            }
        }
        (bytes.len() > MOST_BYTES).then_some("patterns for bytes were tried on its beginning only: it is too large")
    }

    #[cfg(feature = "yara")]
    fn compile(&self) -> yara_x::Rules {
        let mut compiler = yara_x::Compiler::new();
        for (place, (source, _)) in self.sources.iter().enumerate() {
            compiler.new_namespace(&place.to_string());
            // Sources were checked when they were taken in; one that fails all the same finds nothing.
            let _ = compiler.add_source(source.as_str());
        }
        compiler.build()
    }

    /// As with the feature `yara`; nothing is found.
    #[cfg(not(feature = "yara"))]
    pub(crate) fn find(&self, _: &[u8], _: impl FnMut(LeafId, Range<usize>)) -> Option<&'static str> {
        (!self.sources.is_empty()).then_some("this build can't try patterns for bytes")
    }
}

/// What is wrong with a pattern, if anything is.
///
/// # Errors
///
/// In YARA's words. A build without the feature `yara` knows of no mistake.
pub(crate) fn check(source: &Text) -> Result<(), String> {
    #[cfg(feature = "yara")]
    yara_x::compile(source.as_str()).map_err(|error| error.to_string())?;
    #[cfg(not(feature = "yara"))]
    let _ = source;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(bytes: &[u8]) -> (Vec<(LeafId, Range<usize>)>, Option<&'static str>) {
        let mut patterns = BytePatterns::default();
        assert_eq!(patterns.find(bytes, |_, _| ()), None);
        patterns.add(&"rule a { strings: $a = \"needle\" condition: $a }".to_owned().into(), 7);
        let mut found = Vec::new();
        let untried = patterns.find(bytes, |leaf, place| found.push((leaf, place)));
        (found, untried)
    }

    #[cfg(feature = "yara")]
    #[test]
    fn a_pattern_is_found_with_its_place() {
        assert_eq!(tried(b"hay needle"), (vec![(7, 4..10)], None));
        assert_eq!(tried(b"hay"), (Vec::new(), None));
    }

    #[cfg(feature = "yara")]
    #[test]
    fn what_lies_too_far_on_is_not_tried_and_said() {
        let mut bytes = vec![0; MOST_BYTES];
        bytes.extend(b"needle");
        let (found, untried) = tried(&bytes);
        assert_eq!(found, []);
        assert!(untried.unwrap().contains("too large"));
    }

    #[cfg(not(feature = "yara"))]
    #[test]
    fn a_build_without_patterns_finds_nothing_and_says_so() {
        let (found, untried) = tried(b"hay needle");
        assert_eq!(found, []);
        assert!(untried.unwrap().contains("this build"));
    }
}
