//! What a guest wrote, cut to what a model is given.
//!
//! Invariant: the beginning and the end are kept, because that is where programs say what they do and why they failed; how much
//! is missing is said in the text and told beside it; a cut never makes another character.

/// A text that was cut where it was too long.
pub(crate) struct Shown {
    /// What is given.
    pub(crate) text: String,
    /// How many bytes of it are missing.
    pub(crate) left_out: u64,
}

/// At most `most` bytes of a text, and a line that says what is missing.
pub(crate) fn shown(text: &str, most: usize) -> Shown {
    if text.len() <= most {
        return Shown { text: text.to_owned(), left_out: 0 };
    }
    let head = text.floor_char_boundary(most / 2);
    let tail = text.ceil_char_boundary(text.len() - (most - head));
    let (Some(before), Some(after)) = (text.get(..head), text.get(tail..)) else {
        return Shown { text: String::new(), left_out: u64::try_from(text.len()).unwrap_or(u64::MAX) };
    };
    let left_out = tail - head;
    let text = format!("{before}\n[... {left_out} bytes left out here ...]\n{after}");
    Shown { text, left_out: u64::try_from(left_out).unwrap_or(u64::MAX) }
}

/// At most `most` of a list, and how many are missing.
pub(crate) fn few<T>(mut list: Vec<T>, most: usize) -> (Vec<T>, u64) {
    let left_out = u64::try_from(list.len().saturating_sub(most)).unwrap_or(u64::MAX);
    list.truncate(most);
    (list, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_given_whole() {
        let whole = shown("abc", 3);
        assert_eq!((whole.text.as_str(), whole.left_out), ("abc", 0));
    }

    #[test]
    fn the_beginning_and_the_end_are_kept_and_the_rest_is_counted() {
        let cut = shown(&format!("begin{}end", "x".repeat(1000)), 10);
        assert_eq!(cut.text, "begin\n[... 998 bytes left out here ...]\nxxend");
        assert_eq!(cut.left_out, 998);
    }

    #[test]
    fn no_character_is_cut_through() {
        for most in 0..12 {
            let cut = shown("äöüßÄÖÜ", most);
            let (before, rest) = cut.text.split_once("\n[... ").unwrap();
            let after = rest.split_once("...]\n").unwrap().1;
            assert!(before.len() + after.len() <= most, "{most}: {cut:?}", cut = cut.text);
            assert!("äöüßÄÖÜ".starts_with(before) && "äöüßÄÖÜ".ends_with(after));
            assert_eq!(before.len() + after.len() + usize::try_from(cut.left_out).unwrap(), 14);
        }
    }

    #[test]
    fn a_list_is_cut_and_counted() {
        assert_eq!(few(vec![1, 2, 3], 2), (vec![1, 2], 1));
        assert_eq!(few(vec![1], 2), (vec![1], 0));
    }
}
