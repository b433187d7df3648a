//! What can go wrong with an agent.

use crate::protocol::frame::Malformed;
use crate::protocol::preamble::{self, Stranger};
use crate::protocol::{Ended, Failure, Refusal};
use std::io;

/// Why an agent is lost, for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentLoss {
    /// The line to it has ended.
    #[error("the agent has ended, or the line to it was cut")]
    Ended,
    /// It said what it never would by itself.
    #[error("the agent broke its word: {0}")]
    BrokeItsWord(String),
}

/// A failure.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The agent is lost.
    #[error(transparent)]
    Lost(#[from] AgentLoss),
    /// What is at the other end is no agent.
    #[error("what runs in place of the agent says {0:?}")]
    Stranger(String),
    /// The agent speaks another version of the protocol.
    #[error("the agent speaks version {0} of the protocol, and this program version {ours}", ours = preamble::VERSION)]
    OtherVersion(u16),
    /// It couldn't do what it was started for.
    #[error("the agent could not {step}: {errno}", step = tame(&.0.step), errno = io::Error::from_raw_os_error(.0.errno))]
    Failed(Failure),
    /// A command couldn't be started, files couldn't be copied, or no connection is taken any more.
    #[error("could not {step}: {errno}", step = tame(&.0.step), errno = io::Error::from_raw_os_error(.0.errno))]
    NotStarted(Failure),
    /// A file or folder was refused.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// What copied files ended without a word.
    #[error("what copied the files ended with {0:?}")]
    NotCopied(Ended),
    /// A signal couldn't be sent.
    #[error("the signal could not be sent: {}", io::Error::from_raw_os_error(*.0))]
    NotSignalled(i32),
    /// What was asked for doesn't fit into a message.
    #[error("the command's arguments and environment are longer than a message to the agent may be")]
    TooLong,
    /// Too much is going on at a time.
    #[error("more than {0} commands or files are open in one sandbox")]
    TooMany(usize),
    /// The line couldn't be written or read while the agent was greeted.
    #[error("the line to the agent can't be used")]
    Line(#[from] io::Error),
}

impl From<Malformed> for AgentLoss {
    fn from(malformed: Malformed) -> Self {
        Self::BrokeItsWord(format!("it sent {malformed}"))
    }
}

impl AgentError {
    pub(super) fn of_stranger(stranger: Stranger, said: &[u8]) -> Self {
        match stranger {
            Stranger::Unknown => Self::Stranger(tame(&String::from_utf8_lossy(said))),
            Stranger::OtherVersion(version) => Self::OtherVersion(version),
        }
    }
}

/// A text of the agent's, fit for a record: short and without control characters.
pub(super) fn tame(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}
