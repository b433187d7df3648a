//! Times as they are signed: RFC 3339, in UTC, to the millisecond.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first second of the year 10000, which RFC 3339 can't write.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_800);

/// A time from 1970 to 9999, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(SystemTime);

impl Timestamp {
    /// The time to the millisecond; a clock that shows no year from 1970 to 9999 counts as showing the nearest one.
    #[must_use]
    pub fn new(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = since.min(END_OF_TIME.saturating_sub(Duration::from_millis(1)));
        let below = Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000));
        Self(UNIX_EPOCH + since.saturating_sub(below))
    }

    /// The time.
    #[must_use]
    pub const fn time(self) -> SystemTime {
        self.0
    }

    /// The time as a part of a file name: later times are later names.
    pub(crate) fn as_name(self) -> String {
        self.to_string().chars().filter(char::is_ascii_alphanumeric).collect()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.0).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map(Self::new).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clock_that_is_far_off_does_no_harm() {
        let before = Timestamp::new(UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(before.to_string(), "1970-01-01T00:00:00.000Z");
        let after = Timestamp::new(UNIX_EPOCH + END_OF_TIME * 2);
        assert_eq!(after.to_string(), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn a_time_is_read_back_and_sorts_as_a_name(one in 0..253_402_300_800_000_u64, other in 0..253_402_300_800_000_u64) {
            let [one, other] = [one, other].map(|millis| Timestamp::new(UNIX_EPOCH + Duration::from_millis(millis)));
            let text = serde_json::to_string(&one).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), one);
            prop_assert_eq!(one.cmp(&other), one.as_name().cmp(&other.as_name()));
        }
    }
}
