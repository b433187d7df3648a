//! What an evaluation may use. Every limit has a default, a minimum and a maximum, and is enforced or refused.

use crate::error::{Error, ErrorKind};
use crate::units::{ByteSize, CpuCount, TimeSpan};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The limits of one sandbox. The names are those of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Wall-clock time of one command.
    pub timeout: TimeSpan,
    /// Processor time of all processes and threads together.
    pub cpu_time: TimeSpan,
    /// How many processors may be used at once.
    pub cpus: CpuCount,
    /// Memory of all processes together, in addition to what is written to disk (which is memory, too).
    pub memory: ByteSize,
    /// Processes and threads at one time.
    pub pids: u32,
    /// Bytes in all writable folders together.
    pub disk: ByteSize,
    /// Files, folders and links in all writable folders together.
    pub inodes: u64,
    /// Open descriptors of one process.
    pub open_files: u32,
    /// Size of one file.
    pub file_size: ByteSize,
    /// Bytes on standard output, and as many on standard error.
    pub output: ByteSize,
    /// Stack of the main thread.
    pub stack: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: TimeSpan::secs(10),
            cpu_time: TimeSpan::secs(10),
            cpus: CpuCount::millis(1000),
            memory: ByteSize::mib(256),
            pids: 64,
            disk: ByteSize::mib(64),
            inodes: 16_384,
            open_files: 256,
            file_size: ByteSize::mib(64),
            output: ByteSize::mib(1),
            stack: ByteSize::mib(8),
        }
    }
}

impl Limits {
    /// The largest values that are accepted where the operator sets no others.
    #[must_use]
    pub fn maximum() -> Self {
        Self {
            timeout: TimeSpan::secs(24 * 3600),
            cpu_time: TimeSpan::secs(24 * 3600),
            cpus: CpuCount::millis(1_024_000),
            memory: ByteSize::mib(1 << 20),
            pids: 100_000,
            disk: ByteSize::mib(1 << 20),
            inodes: 100_000_000,
            open_files: 1 << 20,
            file_size: ByteSize::mib(1 << 20),
            output: ByteSize::mib(1 << 10),
            stack: ByteSize::mib(1 << 10),
        }
    }

    /// The smallest values with which a sandbox can do anything at all.
    #[must_use]
    pub fn minimum() -> Self {
        Self {
            timeout: TimeSpan::millis(1),
            cpu_time: TimeSpan::millis(1),
            cpus: CpuCount::millis(10),
            memory: ByteSize::mib(4),
            pids: 1,
            disk: ByteSize::bytes(64 << 10),
            inodes: 16,
            open_files: 8,
            file_size: ByteSize::bytes(1),
            output: ByteSize::bytes(0),
            stack: ByteSize::bytes(128 << 10),
        }
    }

    /// Checks every limit against [`Limits::minimum`] and the operator's `maximum`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], naming the limit, its value and the range.
    pub fn validate(&self, maximum: &Self) -> Result<(), Error> {
        let minimum = Self::minimum();
        self.check(LimitKind::Timeout, &minimum, maximum, |l| l.timeout)?;
        self.check(LimitKind::CpuTime, &minimum, maximum, |l| l.cpu_time)?;
        self.check(LimitKind::Cpus, &minimum, maximum, |l| l.cpus)?;
        self.check(LimitKind::Memory, &minimum, maximum, |l| l.memory)?;
        self.check(LimitKind::Pids, &minimum, maximum, |l| l.pids)?;
        self.check(LimitKind::Disk, &minimum, maximum, |l| l.disk)?;
        self.check(LimitKind::Inodes, &minimum, maximum, |l| l.inodes)?;
        self.check(LimitKind::OpenFiles, &minimum, maximum, |l| l.open_files)?;
        self.check(LimitKind::FileSize, &minimum, maximum, |l| l.file_size)?;
        self.check(LimitKind::Output, &minimum, maximum, |l| l.output)?;
        self.check(LimitKind::Stack, &minimum, maximum, |l| l.stack)
    }

    /// The lesser of both, limit by limit.
    #[must_use]
    pub fn lesser(&self, other: &Self) -> Self {
        Self {
            timeout: self.timeout.min(other.timeout),
            cpu_time: self.cpu_time.min(other.cpu_time),
            cpus: self.cpus.min(other.cpus),
            memory: self.memory.min(other.memory),
            pids: self.pids.min(other.pids),
            disk: self.disk.min(other.disk),
            inodes: self.inodes.min(other.inodes),
            open_files: self.open_files.min(other.open_files),
            file_size: self.file_size.min(other.file_size),
            output: self.output.min(other.output),
            stack: self.stack.min(other.stack),
        }
    }

    /// A limit with what it is set to, for a sentence: «the 256MiB memory limit».
    #[must_use]
    pub fn in_words(&self, limit: LimitKind) -> String {
        match limit {
            LimitKind::Timeout => format!("the {} time limit", self.timeout),
            LimitKind::CpuTime => format!("the {} processor time limit", self.cpu_time),
            LimitKind::Cpus => format!("the limit of {} processors", self.cpus),
            LimitKind::Memory => format!("the {} memory limit", self.memory),
            LimitKind::Pids => format!("the limit of {} processes", self.pids),
            LimitKind::Disk => format!("the {} disk limit", self.disk),
            LimitKind::Inodes => format!("the limit of {} files", self.inodes),
            LimitKind::OpenFiles => format!("the limit of {} open files", self.open_files),
            LimitKind::FileSize => format!("the {} file size limit", self.file_size),
            LimitKind::Output => format!("the {} output limit", self.output),
            LimitKind::Stack => format!("the {} stack limit", self.stack),
        }
    }

    fn check<T: PartialOrd + fmt::Display>(
        &self,
        kind: LimitKind,
        minimum: &Self,
        maximum: &Self,
        get: impl Fn(&Self) -> T,
    ) -> Result<(), Error> {
        let (value, least, most) = (get(self), get(minimum), get(maximum));
        if value < least || value > most {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "check the limits",
                format!("{kind} of {value} is outside {least} to {most}"),
            ));
        }
        Ok(())
    }
}

/// Which limit is meant. The text form is the one in outcomes and in the configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// [`Limits::timeout`].
    Timeout,
    /// [`Limits::cpu_time`].
    CpuTime,
    /// [`Limits::cpus`].
    Cpus,
    /// [`Limits::memory`].
    Memory,
    /// [`Limits::pids`].
    Pids,
    /// [`Limits::disk`].
    Disk,
    /// [`Limits::inodes`].
    Inodes,
    /// [`Limits::open_files`].
    OpenFiles,
    /// [`Limits::file_size`].
    FileSize,
    /// [`Limits::output`].
    Output,
    /// [`Limits::stack`].
    Stack,
}

impl LimitKind {
    /// Every limit there is.
    pub const ALL: [Self; 11] = [
        Self::Timeout,
        Self::CpuTime,
        Self::Cpus,
        Self::Memory,
        Self::Pids,
        Self::Disk,
        Self::Inodes,
        Self::OpenFiles,
        Self::FileSize,
        Self::Output,
        Self::Stack,
    ];

    /// The name in outcomes and in the configuration file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::CpuTime => "cpu_time",
            Self::Cpus => "cpus",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Disk => "disk",
            Self::Inodes => "inodes",
            Self::OpenFiles => "open_files",
            Self::FileSize => "file_size",
            Self::Output => "output",
            Self::Stack => "stack",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_bounds() {
        Limits::default().validate(&Limits::maximum()).unwrap();
        Limits::minimum().validate(&Limits::maximum()).unwrap();
        Limits::maximum().validate(&Limits::maximum()).unwrap();
    }

    #[test]
    fn a_limit_outside_its_range_is_named_with_the_range() {
        let limits = Limits { memory: ByteSize::bytes(0), ..Limits::default() };
        let error = limits.validate(&Limits::maximum()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "memory of 0B is outside 4MiB to 1TiB");
    }

    #[test]
    fn an_unknown_limit_is_an_error() {
        assert!(toml::from_str::<Limits>("memroy = \"1MiB\"").is_err());
        assert_eq!(toml::from_str::<Limits>("memory = \"8MiB\"").unwrap().memory, ByteSize::mib(8));
    }
}
