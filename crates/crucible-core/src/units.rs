//! Quantities with units, parsed at the edge so that no bare number travels through the system.
//!
//! Sizes are parsed here rather than by a library because a limit has to be exact: no floating point, and an overflow is
//! an error, never a saturated value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Why a quantity could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct UnitError {
    value: String,
    expected: &'static str,
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many mebibytes (2^20 bytes).
    #[must_use]
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, capped at what this machine can address.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    /// Reads `256MiB`, `1.5GiB`, `4kB`, `512B`. The unit is required.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            value: text.to_owned(),
            expected: "a size with its unit, such as 512B, 64KiB, 256MiB, 1.5GiB or 2GB (at most 16777215TiB)",
        };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim();
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let malformed = whole.is_empty()
            || (number.contains('.') && fraction.is_empty())
            || fraction.len() > 9
            || fraction.contains('.');
        if malformed {
            return Err(error());
        }
        let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| error())?);
        let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| error())?;
        let bytes = digits.checked_mul(u128::from(*factor)).ok_or_else(error)? / scale;
        u64::try_from(bytes).map(Self).map_err(|_| error())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
            .into_iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A length of time, at most a few hundred years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    /// So many seconds.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The time as the standard library has it.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for TimeSpan {
    type Err = UnitError;

    /// Reads `10s`, `500ms`, `1m 30s`. The unit is required.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error =
            || UnitError { value: text.to_owned(), expected: "a time with its unit, such as 500ms, 10s or 1m30s" };
        let span = humantime::parse_duration(text.trim()).map_err(|_| error())?;
        // Beyond this, adding to a clock reading could overflow.
        if span > Duration::from_secs(u64::from(u32::MAX)) {
            return Err(error());
        }
        Ok(Self(span))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// How many processors' worth of time a sandbox may use, in thousandths of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuCount(u32);

impl CpuCount {
    /// So many thousandths of a processor.
    #[must_use]
    pub const fn millis(thousandths: u32) -> Self {
        Self(thousandths)
    }

    /// Thousandths of a processor.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl FromStr for CpuCount {
    type Err = UnitError;

    /// Reads `1`, `0.5`, `2.25`: processors, with at most three decimals.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError { value: text.to_owned(), expected: "a number of processors, such as 1, 0.5 or 2.25" };
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
            return Err(error());
        }
        let thousandths: u32 = format!("{whole}{fraction:0<3}").parse().map_err(|_| error())?;
        Ok(Self(thousandths))
    }
}

impl fmt::Display for CpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(ByteSize, TimeSpan, CpuCount);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_exactly() {
        for (text, bytes) in
            [("512B", 512), ("64KiB", 65536), ("1.5GiB", 1_610_612_736), ("2GB", 2_000_000_000), (" 4 MiB ", 4 << 20)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().get(), bytes, "{text}");
        }
    }

    #[test]
    fn sizes_without_unit_negative_or_overflowing_are_refused() {
        for text in
            ["", "12", "-1MiB", "MiB", "1.MiB", "1..2MiB", "99999999999TiB", "1e9B", "1 MiBs", "NaNB", "∞MiB", "0x10B"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_need_a_unit_and_a_sane_magnitude() {
        assert_eq!("1m 30s".parse::<TimeSpan>().unwrap().get(), Duration::from_secs(90));
        for text in ["", "10", "-5s", "1e99s", "99999999999999999999s", "9999years", "soon"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    #[test]
    fn processors_are_read_in_thousandths() {
        assert_eq!("0.5".parse::<CpuCount>().unwrap().get(), 500);
        assert_eq!(CpuCount::millis(1250).to_string(), "1.25");
        assert_eq!(CpuCount::millis(1000).to_string(), "1");
        for text in ["", ".", "-1", "1.2345", "a", "99999999999"] {
            assert!(text.parse::<CpuCount>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes in any::<u64>(), millis in 0_u64..4_000_000_000, cpus in any::<u32>()) {
            prop_assert_eq!(ByteSize::bytes(bytes).to_string().parse::<ByteSize>().unwrap().get(), bytes);
            prop_assert_eq!(TimeSpan::millis(millis).to_string().parse::<TimeSpan>().unwrap(), TimeSpan::millis(millis));
            prop_assert_eq!(CpuCount::millis(cpus).to_string().parse::<CpuCount>().unwrap().get(), cpus);
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,24}") {
            let _ = text.parse::<ByteSize>();
            let _ = text.parse::<TimeSpan>();
            let _ = text.parse::<CpuCount>();
        }
    }
}
