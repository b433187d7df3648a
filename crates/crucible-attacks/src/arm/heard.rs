//! What is heard of a probe.

/// The most of its output that is kept.
const MOST_OUTPUT: usize = 4 << 20;

/// What a probe prints. Only on its output, not among its errors, does it say that it tried.
pub(super) struct Heard {
    word: Vec<u8>,
    kept: Vec<u8>,
    errors: Vec<u8>,
    tail: Vec<u8>,
    pub(super) has_tried: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Output,
    Errors,
}

impl Heard {
    pub(super) fn new(nonce: &str) -> Self {
        Self {
            word: format!("tried {nonce}\n").into_bytes(),
            kept: Vec::new(),
            errors: Vec::new(),
            tail: Vec::new(),
            has_tried: false,
        }
    }

    /// Everything that was kept.
    pub(super) fn all(&self) -> Vec<u8> {
        [self.kept.as_slice(), b"\n", &self.errors].concat()
    }

    /// Takes what was read. Returns whether the stream goes on.
    pub(super) fn take(&mut self, buffer: &[u8], read: std::io::Result<usize>, voice: Voice) -> bool {
        let Some(bytes) = read.ok().filter(|count| *count > 0).and_then(|count| buffer.get(..count)) else {
            return false;
        };
        // Apart, so that what comes on one doesn't cut in two what comes on the other.
        let kept = if voice == Voice::Output { &mut self.kept } else { &mut self.errors };
        let room = MOST_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if voice == Voice::Output {
            self.tail.extend_from_slice(bytes);
            self.has_tried |= self.tail.windows(self.word.len()).any(|window| window == self.word);
            let surplus = self.tail.len().saturating_sub(self.word.len());
            self.tail.drain(..surplus);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_on_its_own_output_says_that_a_probe_tried() {
        let mut heard = Heard::new("abc");
        heard.take(b"tried ab", Ok(8), Voice::Output);
        assert!(!heard.has_tried);
        heard.take(b"tried abc\n", Ok(10), Voice::Errors);
        assert!(!heard.has_tried);
        heard.take(b"x\ntried a", Ok(9), Voice::Output);
        heard.take(b"bc\n", Ok(3), Voice::Output);
        assert!(heard.has_tried);
    }

    #[test]
    fn a_flood_is_kept_only_in_part_and_still_heard_to_its_end() {
        let mut heard = Heard::new("abc");
        let flood = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            assert!(heard.take(&flood, Ok(flood.len()), Voice::Output));
        }
        assert!(heard.take(b"tried abc\n", Ok(10), Voice::Output));
        assert_eq!(heard.kept.len(), MOST_OUTPUT);
        assert!(heard.has_tried && heard.tail.len() <= heard.word.len());
        assert!(!heard.take(b"", Ok(0), Voice::Output));
    }
}
