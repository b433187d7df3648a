//! The launcher's program and the library for zygotes: embedded in this one, and started and loaded from sealed copies in
//! memory that nothing can overwrite.

use super::JailError;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};

static LAUNCHER: &[u8] = include_bytes!(env!("CRUCIBLE_LAUNCHER"));
static ZYGOTE: &[u8] = include_bytes!(env!("CRUCIBLE_ZYGOTE"));

/// SHA-256 of the launcher's program and the library for zygotes, one after the other, in hexadecimal. Found when they were
/// built, so that asking costs nothing.
#[must_use]
pub const fn digest() -> &'static str {
    env!("CRUCIBLE_LAUNCHER_SHA256")
}

/// Starts the launcher with its end of the control socket as standard input.
pub(super) fn start(control: OwnedFd) -> Result<Child, JailError> {
    let sealed = sealed_copy("crucible-launcher", LAUNCHER)?;
    Command::new(format!("/proc/self/fd/{}", sealed.as_raw_fd()))
        .env_clear()
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .map_err(JailError::io("start the launcher"))
}

/// A copy of the library that makes an interpreter a launcher.
pub(super) fn zygote() -> Result<OwnedFd, JailError> {
    sealed_copy("crucible-zygote", ZYGOTE)
}

fn sealed_copy(name: &str, content: &[u8]) -> Result<OwnedFd, JailError> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Where the system's default forbids executing such files, it has to be asked for; kernels before 6.3 don't know how.
    let memory = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        other => other,
    };
    let mut memory = std::fs::File::from(memory.map_err(JailError::os("make a memory file for the launcher"))?);
    memory.write_all(content).map_err(JailError::io("copy the launcher"))?;
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, seals).map_err(JailError::os("seal the launcher"))?;
    Ok(memory.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn the_digest_is_that_of_what_is_started() {
        let found: String =
            Sha256::digest([LAUNCHER, ZYGOTE].concat()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest());
    }

    #[test]
    fn the_copy_that_is_started_cannot_be_changed() {
        let copy = sealed_copy("copy", LAUNCHER).unwrap();
        assert_eq!(rustix::io::pwrite(&copy, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&copy, 0), Err(Errno::PERM));
    }
}
