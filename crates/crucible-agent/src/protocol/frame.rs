//! Frames: four bytes of length, little-endian, then a message.
//!
//! Invariant: the length is judged before anything is stored for it, and what is stored never exceeds the longest frame and
//! one read.

use serde::{Deserialize, Serialize};

/// How long a prefix is.
const PREFIX: usize = 4;
/// How many bytes a [`Receiver`] makes room for at a time.
const READ: usize = 64 << 10;

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The length is over the maximum.
    TooLong(u32),
    /// The length is none at all.
    Empty,
    /// What is in it is no message.
    NoMessage,
    /// There is more in it than a message.
    TooMuch,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(length) => write!(f, "a frame of {length} bytes"),
            Self::Empty => f.write_str("an empty frame"),
            Self::NoMessage => f.write_str("a frame that is no message"),
            Self::TooMuch => f.write_str("a frame with more in it than a message"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Makes a frame of a message; `None` where it would be longer than `most`.
#[must_use]
pub fn encode(message: &impl Serialize, most: usize) -> Option<Vec<u8>> {
    let mut frame = postcard::to_extend(message, vec![0; PREFIX]).ok()?;
    let length = frame.len().checked_sub(PREFIX).filter(|length| *length <= most)?;
    frame.get_mut(..PREFIX)?.copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    Some(frame)
}

/// Collects bytes as they come and hands out messages.
#[derive(Debug)]
pub struct Receiver {
    bytes: Vec<u8>,
    /// Where the bytes begin that haven't been handed out, and where they end.
    start: usize,
    end: usize,
    most: usize,
}

impl Receiver {
    /// For frames of at most `most` bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, most }
    }

    /// Room for the next bytes. To be asked for when [`Receiver::next`] has nothing more; [`Receiver::filled`] says how much
    /// of it was used.
    pub fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.bytes.len() < self.end + READ {
            self.bytes.resize(self.end + READ, 0);
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// That many bytes were put into the room.
    pub fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }

    /// Takes some bytes, which must fit into the room.
    #[cfg(test)]
    fn extend(&mut self, bytes: &[u8]) {
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// The next message; `None` where more bytes are needed. After an error there is nothing sensible to come.
    ///
    /// # Errors
    /// Where the bytes are no frame.
    pub fn next<'a, M: Deserialize<'a>>(&'a mut self) -> Result<Option<M>, Malformed> {
        let rest = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some(prefix) = rest.first_chunk::<PREFIX>() else { return Ok(None) };
        let told = u32::from_le_bytes(*prefix);
        let length = usize::try_from(told).map_err(|_| Malformed::TooLong(told))?;
        if length > self.most {
            return Err(Malformed::TooLong(told));
        }
        if length == 0 {
            return Err(Malformed::Empty);
        }
        let Some(body) = rest.get(PREFIX..PREFIX + length) else { return Ok(None) };
        self.start += PREFIX + length;
        match postcard::take_from_bytes(body) {
            Ok((message, [])) => Ok(Some(message)),
            Ok(_) => Err(Malformed::TooMuch),
            Err(_) => Err(Malformed::NoMessage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{MOST_FROM_AGENT, OutputStream, Report};
    use proptest::prelude::*;

    #[test]
    fn a_length_over_the_maximum_is_refused_before_it_is_stored() {
        let mut receiver = Receiver::new(MOST_FROM_AGENT);
        receiver.extend(&u32::MAX.to_le_bytes());
        assert_eq!(receiver.next::<Report<'_>>(), Err(Malformed::TooLong(u32::MAX)));
        assert!(receiver.bytes.len() <= READ);
    }

    #[test]
    fn an_empty_frame_and_one_with_too_much_are_refused() {
        let mut receiver = Receiver::new(100);
        receiver.extend(&[0, 0, 0, 0]);
        assert_eq!(receiver.next::<Report<'_>>(), Err(Malformed::Empty));
        let mut frame = encode(&Report::ProcessesEnded, 100).unwrap();
        frame[0] += 1;
        frame.push(0);
        let mut receiver = Receiver::new(100);
        receiver.extend(&frame);
        assert_eq!(receiver.next::<Report<'_>>(), Err(Malformed::TooMuch));
    }

    #[test]
    fn a_message_that_is_too_long_is_not_encoded() {
        let report = Report::Output { number: 1, stream: OutputStream::Out, bytes: &[0; 200] };
        assert_eq!(encode(&report, 200), None);
        assert!(encode(&report, 300).is_some());
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_they_are_cut(
            outputs in prop::collection::vec((any::<u32>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            cuts in prop::collection::vec(1_usize..100, 1..50),
        ) {
            let mut sent = Vec::new();
            for (number, bytes) in &outputs {
                let report = Report::Output { number: *number, stream: OutputStream::Error, bytes };
                sent.extend(encode(&report, MOST_FROM_AGENT).unwrap());
            }
            let mut receiver = Receiver::new(MOST_FROM_AGENT);
            let mut got = Vec::new();
            let (mut rest, mut cut) = (sent.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(rest.len().min(*cut.next().unwrap()));
                receiver.extend(piece);
                rest = later;
                while let Some(report) = receiver.next::<Report<'_>>().unwrap() {
                    match report {
                        Report::Output { number, bytes, .. } => got.push((number, bytes.to_vec())),
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
            }
            prop_assert_eq!(got, outputs);
        }

        #[test]
        fn no_bytes_make_it_panic_or_grow(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut receiver = Receiver::new(MOST_FROM_AGENT);
            receiver.extend(&bytes);
            while let Ok(Some(_)) = receiver.next::<Report<'_>>() {}
            prop_assert!(receiver.bytes.len() <= READ);
        }
    }
}
