//! What the jail's launcher and the guest agent have in common: how files are copied from one sandbox into another ([`copy`]), and
//! where there is root inside, whom a sandbox's own tables name ([`users`]), and how folders of its own begin with what its root
//! shows there ([`fill`]).
//!
//! Invariants: no `unsafe`, no thread, and nothing that a guest made is followed, waited for, or read without a bound.

pub mod copy;
pub mod fill;
pub mod users;
