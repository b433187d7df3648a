//! What every match of a regular expression has to hold, so that most texts need not be asked.
//!
//! Invariant: if an expression matches a text, one of its needles is in the lower-cased text. No needles means that
//! nothing is known, never that nothing matches.

use super::Pattern;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Fewer characters than this say too little.
const SHORTEST: usize = 3;

/// More needles than this are worse than asking.
const MOST: usize = 64;

/// The expression with its needles.
pub(super) fn pattern(regex: String) -> Result<Pattern, String> {
    let parsed = ParserBuilder::new().nest_limit(64).unicode(false).utf8(false).build().parse(&regex);
    let hir = parsed.map_err(|error| format!("'{regex}' is no regular expression: {error}"))?;
    let needles = needles(&hir, 0).filter(|needles| needles.iter().all(|needle| needle.len() >= SHORTEST));
    let needles = needles.unwrap_or_default().into_iter().map(Into::into).collect();
    Ok(Pattern { regex: regex.into(), needles })
}

/// The best set of texts, one of which is in every match.
fn needles(hir: &Hir, depth: usize) -> Option<Vec<String>> {
    if depth > 64 {
        return None;
    }
    if let Some(letters) = run(std::slice::from_ref(hir)) {
        return Some(vec![letters]);
    }
    match hir.kind() {
        HirKind::Capture(capture) => needles(&capture.sub, depth + 1),
        HirKind::Repetition(repetition) if repetition.min > 0 => needles(&repetition.sub, depth + 1),
        HirKind::Alternation(members) => {
            let mut all = Vec::new();
            for member in members {
                all.extend(needles(member, depth + 1)?);
            }
            (all.len() <= MOST).then_some(all)
        }
        HirKind::Concat(members) => best_of(members, depth),
        _ => None,
    }
}

/// Of the runs of letters and the members of a concatenation, the one whose shortest needle is longest.
fn best_of(members: &[Hir], depth: usize) -> Option<Vec<String>> {
    let mut best: Option<Vec<String>> = None;
    let worth = |needles: &[String]| needles.iter().map(String::len).min().unwrap_or(0);
    let mut consider = |found: Vec<String>| {
        if best.as_ref().is_none_or(|best| worth(&found) > worth(best)) {
            best = Some(found);
        }
    };
    let mut start = 0;
    while start < members.len() {
        let end = (start..members.len()).take_while(|&end| run(&members[end..=end]).is_some()).count() + start;
        if end > start {
            consider(run(&members[start..end]).into_iter().collect());
            start = end;
        } else {
            if let Some(found) = needles(&members[start], depth + 1) {
                consider(found);
            }
            start += 1;
        }
    }
    best
}

/// The text that these are one after the other, in lower case, if each is one text whatever its case.
fn run(members: &[Hir]) -> Option<String> {
    let mut text = String::new();
    for member in members {
        match member.kind() {
            HirKind::Literal(literal) => text.push_str(&std::str::from_utf8(&literal.0).ok()?.to_ascii_lowercase()),
            HirKind::Class(Class::Bytes(class)) => {
                // Both cases of a letter.
                let mut letters = class.iter().flat_map(|range| [range.start(), range.end()]);
                let first = letters.next()?.to_ascii_lowercase();
                let single = class.iter().all(|range| range.start() == range.end());
                if !single || !first.is_ascii() || !letters.all(|letter| letter.to_ascii_lowercase() == first) {
                    return None;
                }
                text.push(char::from(first));
            }
            _ => return None,
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(regex: &str) -> Vec<String> {
        pattern(regex.to_owned()).unwrap().needles.into_iter().map(|needle| needle.to_string()).collect()
    }

    #[test]
    fn needles_are_the_longest_texts_that_a_match_must_hold() {
        assert_eq!(of("^https?://(api|hooks)\\.example"), ["example"].map(|_| ".example".to_owned()));
        assert_eq!(of("AKIA[0-9A-Z]{16}"), ["akia"]);
        assert_eq!(of("(?i)begin (rsa|ec) key"), ["begin "]);
        assert_eq!(of("(?i)Ask"), ["ask"]);
        assert_eq!(of("(alpha|beta)+"), ["alpha", "beta"]);
    }

    #[test]
    fn where_little_is_known_nothing_is_claimed() {
        for regex in ["[0-9]+", "(ab|cdef)", "(abc)?", "a.*b", "\\w{20}"] {
            assert_eq!(of(regex), [""; 0], "{regex}");
        }
    }

    #[test]
    fn a_wrong_expression_is_told() {
        assert!(pattern("(".to_owned()).unwrap_err().contains("no regular expression"));
    }
}
