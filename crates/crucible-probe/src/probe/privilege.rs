//! Probes of what a process may do: its user, its capabilities, its limits, and whether a new program changes them.

use super::Attempt;
use crate::sys;
use rustix::fs::MemfdFlags;
use rustix::process::{Gid, Resource, Rlimit, Uid};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use std::ffi::CString;
use std::io::Write;

/// Tries nothing: the host looks at the process and its threads as they are. Harmless: the threads sleep, and end with it.
pub(super) fn hold(_attempt: &mut Attempt) {
    for _ in 0..3 {
        let started = std::thread::Builder::new().stack_size(64 << 10).spawn(|| std::thread::sleep(super::LONGEST));
        drop(started);
    }
}

/// Becomes root. Harmless: it does nothing as root.
pub(super) fn regain_user(attempt: &mut Attempt) {
    attempt.answer(rustix::thread::set_thread_groups(&[Gid::ROOT]));
    attempt.answer(rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT));
    attempt.answer(rustix::thread::set_thread_gid(Gid::ROOT));
    attempt.answer(rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT));
    attempt.answer(rustix::thread::set_thread_uid(Uid::ROOT));
}

/// Asks for every capability. Harmless: it uses none.
pub(super) fn regain_capabilities(attempt: &mut Attempt) {
    attempt.answer(rustix::thread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty()));
    for number in 0..41 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        let inherited = CapabilitySets { effective: one, permitted: one, inheritable: one };
        let _got = rustix::thread::set_capabilities(None, inherited).is_ok();
        let _kept = rustix::thread::configure_capability_in_ambient_set(one, true).is_ok();
    }
    let all = CapabilitySet::from_bits_retain((1 << 41) - 1);
    attempt.answer(rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: all, permitted: all, inheritable: all },
    ));
}

/// Becomes a program that no file system holds, as those do who don't want to be found. It should be confined as any
/// other. Harmless: it is this very program, and only holds.
pub(super) fn memory_program(attempt: &mut Attempt) {
    let Ok(memory) = rustix::fs::memfd_create("probe", MemfdFlags::CLOEXEC) else { return };
    let mut memory = std::fs::File::from(memory);
    let Ok(program) = std::env::current_exe().and_then(std::fs::read) else { return };
    if memory.write_all(&program).is_err() {
        return;
    }
    let arguments = ["memory-program", "hold", &attempt.nonce].map(CString::new);
    let arguments: Vec<CString> = arguments.into_iter().flatten().collect();
    let errno = sys::execute_descriptor(&memory, &arguments);
    attempt.answer::<()>(Err(errno));
}

/// Raises its limit on core files: a core lands on the host's disk or with a helper of the host's that runs as root.
/// Harmless: it doesn't crash.
pub(super) fn core_limit(attempt: &mut Attempt) {
    let most = rustix::process::getrlimit(Resource::Core).maximum;
    for value in [most, None] {
        attempt.answer(rustix::process::setrlimit(Resource::Core, Rlimit { current: value, maximum: value }));
        attempt.answer(rustix::process::prlimit(None, Resource::Core, Rlimit { current: value, maximum: value }));
    }
}
