//! The supervisor's side: a client over any pair of byte streams that an agent is at the other end of.
//!
//! Invariants: everything from the agent is hostile. What it sends is bounded by what was asked for and granted, and whatever
//! goes beyond that, or makes no sense, loses the agent for good: every stream ends, every wait is over, and the client says
//! why ([`AgentClient::loss`]). Nothing here waits for an agent longer than the caller wants to: every call can be dropped.

mod client;
mod copy;
mod door;
mod error;
mod files;
mod image;
mod state;
mod streams;

pub use crate::protocol::{
    Abilities, BECOME_USER, Beginning, Command, Content, Ended, Entry, EntryKind, FIND_USER, Failure, Free, Ids,
    Instruction, Owner, Placed, ProcessLimit, Recipients, Refusal, RootInside, Space, SpaceFolder, TerminalSize, Usage,
    WINDOW, What,
};
pub use client::{AgentClient, CommandControl, Ending, Running};
pub use copy::Copying;
pub use door::{Connection, Door};
pub use error::{AgentError, AgentLoss};
pub use files::{FileReader, FileWriter};
pub use image::{AGENT, digest};
pub use streams::{Input, Output};
