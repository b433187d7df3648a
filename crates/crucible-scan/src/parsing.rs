//! From text to a syntax tree, within bounds.
//!
//! Invariant: whatever the text, parsing ends: first by a bound on its length, then by the parser's own steps, which are
//! counted, and only then, for the few texts whose single steps are slow, by the time that this thread was given: what is
//! read of a text doesn't depend on how busy the machine is.

use crate::language::Language;
use rustix::time::{ClockId, clock_gettime};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

/// The most that one text's parsing may ask for news, each a hundred of the parser's steps.
const MOST_STEPS: usize = 20_000;

/// The longest that one try may take of the processor. Far beyond what honest programs of the longest length need.
const LONGEST_TRY: Duration = Duration::from_millis(300);

/// How long the steps go on from one look at the thread's time to the next.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// A tree, and how much of the text it is of.
pub(crate) struct Parsed {
    pub(crate) tree: Tree,
    /// Bytes from the beginning.
    pub(crate) length: usize,
}

/// The longest text that is parsed, in bytes.
const fn longest(language: Language) -> usize {
    match language {
        // Its grammar looks far ahead.
        Language::Bash => 512 * 1024,
        _ => 4 * 1024 * 1024,
    }
}

/// Parses as much of a text as the bounds allow. `None` if that is nothing.
pub(crate) fn parse(parser: &mut Parser, language: Language, text: &str) -> Option<Parsed> {
    let mut length = up_to_line(text, longest(language));
    for _ in 0..3 {
        match attempt(parser, &text[..length]) {
            Ok(tree) => return Some(Parsed { tree, length }),
            // What was too much as a whole isn't for a part of what was done until then.
            Err(reached) => length = up_to_line(text, reached.min(length) / 3),
        }
        if length == 0 {
            return None;
        }
    }
    None
}

fn attempt(parser: &mut Parser, text: &str) -> Result<Tree, usize> {
    let bytes = text.as_bytes();
    let (mut steps, mut reached) = (0, 0);
    let mut deadline: Option<Duration> = None;
    let mut asked: Option<Instant> = None;
    let mut watch = |state: &ParseState| {
        steps += 1;
        reached = state.current_byte_offset();
        if steps > MOST_STEPS {
            return ControlFlow::Break(());
        }
        // The kernel is asked for the thread's own time, which costs as much as the steps, only where this much can have gone by.
        let now = Instant::now();
        if asked.is_some_and(|asked| now - asked < BETWEEN_LOOKS) {
            return ControlFlow::Continue(());
        }
        asked = Some(now);
        let now = processor_time();
        let end = *deadline.get_or_insert_with(|| now + LONGEST_TRY);
        if now > end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut watch);
    let tree = parser.parse_with_options(&mut |offset, _| bytes.get(offset..).unwrap_or_default(), None, Some(options));
    if tree.is_none() {
        // What was begun is not gone on with.
        parser.reset();
    }
    tree.ok_or(reached)
}

/// How long this thread has been running.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// The largest length up to `most` that ends a line, or a character where no line ends.
fn up_to_line(text: &str, most: usize) -> usize {
    if text.len() <= most {
        return text.len();
    }
    let end = (0..=most).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].rfind('\n').map_or(end, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_the_end_of_a_line_or_a_character() {
        assert_eq!(up_to_line("ab\ncd", 4), 3);
        assert_eq!(up_to_line("ab\ncd", 9), 5);
        assert_eq!(up_to_line("éé", 3), 2);
        assert_eq!(up_to_line("é", 1), 0);
    }
}
