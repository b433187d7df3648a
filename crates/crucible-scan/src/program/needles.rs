//! Which of many expressions a text may match, by the texts that they need.
//!
//! Invariant: whoever has one of its needles in the text is named; whoever has no needle is named always.

use crate::rules::Text;
use rustc_hash::FxHashMap;

/// Bits of the first look.
const BITS: usize = 1 << 15;

/// Needles, and whose they are.
#[derive(Debug)]
pub(super) struct NeedleIndex {
    /// One bit for each hash of a needle's first three bytes.
    bits: Box<[u64]>,
    /// Needles by their first three bytes.
    needles: FxHashMap<[u8; 3], Vec<(Text, u32)>>,
    always: Vec<u32>,
}

impl Default for NeedleIndex {
    fn default() -> Self {
        Self { bits: vec![0; BITS / 64].into(), needles: FxHashMap::default(), always: Vec::new() }
    }
}

fn slot(start: [u8; 3]) -> usize {
    let [first, second, third] = start.map(usize::from);
    (first | second << 5 ^ third << 10) % BITS
}

impl NeedleIndex {
    pub(super) fn add(&mut self, needles: &[Text], owner: u32) {
        if needles.is_empty() {
            self.always.push(owner);
        }
        for needle in needles {
            let start = needle.as_bytes().first_chunk::<3>();
            let Some(&start) = start else {
                self.always.push(owner);
                continue;
            };
            let slot = slot(start);
            self.bits[slot / 64] |= 1 << (slot % 64);
            self.needles.entry(start).or_default().push((needle.clone(), owner));
        }
    }

    /// Each owner once.
    pub(super) fn find(&self, text: &[u8], mut found: impl FnMut(u32)) {
        self.always.iter().for_each(|&owner| found(owner));
        let mut seen: Vec<u32> = Vec::new();
        let [first, second, rest @ ..] = text else { return };
        let (mut first, mut second) = (first.to_ascii_lowercase(), second.to_ascii_lowercase());
        for (place, third) in rest.iter().enumerate() {
            let start = [first, second, third.to_ascii_lowercase()];
            let slot = slot(start);
            if self.bits[slot / 64] >> (slot % 64) & 1 != 0
                && let Some(needles) = self.needles.get(&start)
            {
                for (needle, owner) in needles {
                    let end = place + needle.len();
                    let is_there =
                        text.get(place..end).is_some_and(|part| part.eq_ignore_ascii_case(needle.as_bytes()));
                    if is_there && !seen.contains(owner) {
                        seen.push(*owner);
                        found(*owner);
                    }
                }
            }
            (first, second) = (second, start[2]);
        }
    }
}

/// The longest text without wildcards in a glob, in lower case, if it is long enough to say something.
pub(super) fn needle_of_glob(glob: &str) -> Option<Text> {
    let longest = glob.split(['*', '?']).max_by_key(|part| part.len())?;
    // The slash of `**/` may not be there.
    let longest = longest.trim_start_matches('/');
    (longest.len() >= 3).then(|| longest.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_named_once_if_a_needle_is_there() {
        let mut index = NeedleIndex::default();
        index.add(&["passwd".into(), "shadow".into()], 0);
        index.add(&["http://".into()], 1);
        index.add(&[], 2);
        let find = |text: &str| {
            let mut owners = Vec::new();
            index.find(text.as_bytes(), |owner| owners.push(owner));
            owners
        };
        assert_eq!(find("/etc/PassWd and /etc/shadow"), [2, 0]);
        assert_eq!(find("see http://example.com"), [2, 1]);
        assert_eq!(find("passw"), [2]);
        assert_eq!(find(""), [2]);
    }

    #[test]
    fn the_needle_of_a_glob_is_its_longest_certain_part() {
        assert_eq!(needle_of_glob("/proc/*/environ").as_deref(), Some("environ"));
        assert_eq!(needle_of_glob("**/.SSH/**").as_deref(), Some(".ssh/"));
        assert_eq!(needle_of_glob("*.py"), Some(".py".into()));
        assert_eq!(needle_of_glob("**"), None);
    }
}
