//! The Landlock rules of a guest, for the ABI at hand.
//!
//! Everything inside may be read and executed, the writable folders changed. TCP, abstract sockets and signals to
//! others are refused where the ABI knows of them, though the namespaces keep them apart already.

use super::Step;
use crate::plan::{DOOR, Failure, JailPlan, Network};
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_BLOCK: u64 = 1 << 11;
const ALL_OF_ABI_1: u64 = (1 << 13) - 1;
const REFER: u64 = 1 << 13; // from ABI 2
const TRUNCATE: u64 = 1 << 14; // from ABI 3
const IOCTL_DEV: u64 = 1 << 15; // from ABI 5
const CONNECT_TCP: u64 = 0b10;
const ALL_TCP: u64 = 0b11; // bind and connect, from ABI 4
const ALL_SCOPES: u64 = 0b11; // abstract sockets and signals, from ABI 6

/// The file accesses that the ABI knows.
const fn known_accesses(abi: u32) -> u64 {
    let mut known = ALL_OF_ABI_1;
    if abi >= 2 {
        known |= REFER;
    }
    if abi >= 3 {
        known |= TRUNCATE;
    }
    if abi >= 5 {
        known |= IOCTL_DEV;
    }
    known
}

/// Makes the ruleset, from inside the sandbox's own root.
pub(super) fn ruleset(plan: &JailPlan) -> Result<OwnedFd, Failure> {
    let (abi, network) = (plan.landlock_abi, plan.network);
    let known = known_accesses(abi);
    let tcp = if abi >= 4 { ALL_TCP } else { 0 };
    let scopes = if abi >= 6 { ALL_SCOPES } else { 0 };
    let ruleset = sys::create_ruleset(known, tcp, scopes).step("make the Landlock ruleset")?;
    let read = EXECUTE | READ_FILE | READ_DIR;
    let writable = plan.users.folders().map(|(path, ..)| (*path, known & !(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)));
    for (path, access) in [("/", read), ("/dev", read | WRITE_FILE | TRUNCATE | IOCTL_DEV)].into_iter().chain(writable)
    {
        let folder =
            rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).step("open a folder for Landlock")?;
        sys::landlock_allow_beneath(&ruleset, &folder, access & known).step("add a Landlock rule")?;
    }
    if network == Network::Door && tcp != 0 {
        sys::landlock_allow_port(&ruleset, DOOR.port(), CONNECT_TCP).step("add a Landlock rule for the way out")?;
    }
    Ok(ruleset)
}
