//! The guest agent: one small static program that runs commands and moves files inside a container or virtual machine
//! (`guest`), the protocol that it speaks over one pair of byte streams ([`protocol`]), and the supervisor's side of it
//! ([`host`]).
//!
//! Invariants: `unsafe` lives in `sys` alone. The supervisor treats every byte from an agent as hostile: the guest may have
//! taken it over, and then can do no more than lie about what happens inside. The agent needs no shell, no library and no
//! privilege, and gives a guest nothing that it didn't have.
//!
//! This crate knows nothing of evaluations, policies or backends, and depends on no other crate of ours.

#[cfg(feature = "guest")]
pub mod guest;
#[cfg(feature = "host")]
pub mod host;
pub mod protocol;
#[cfg(feature = "guest")]
mod sys;
