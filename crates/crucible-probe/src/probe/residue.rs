//! Probes of what stays behind: each leaves something under the canary's name, and with LOOK set looks for it instead and
//! prints what it finds, which holds the name.

use super::{Attempt, parameter};
use crate::sys;
use rustix::mount::MountFlags;
use std::ffi::CString;

/// The canary's name, which is a word of letters and digits, and whether to look for it.
fn canary_name() -> Option<(String, bool)> {
    let name = parameter("CANARY_NAME")?;
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then(|| (name, parameter("LOOK").is_some()))
}

/// Leaves a mount. One that shows outside would hide what is there. Harmless: an empty tmpfs on a folder of its own.
pub(super) fn leave_mount(attempt: &mut Attempt) {
    let Some((name, is_look)) = canary_name() else { return };
    if is_look {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        attempt.tell(mounts.as_bytes());
        return;
    }
    for folder in ["/work", "/tmp", "."] {
        let folder = format!("{folder}/{name}");
        if std::fs::create_dir(&folder).is_ok() {
            attempt.answer(rustix::mount::mount(&name, &folder, "tmpfs", MountFlags::NODEV, c"size=64k"));
        }
    }
}

/// Leaves shared memory and queues, through which runs that should know nothing of each other could talk. Harmless: one
/// page, one semaphore and two empty queues, which whoever finds them removes.
pub(super) fn leave_ipc(attempt: &mut Attempt) {
    let Some((name, is_look)) = canary_name() else { return };
    let Ok(queue) = CString::new(format!("/{name}")) else { return };
    let key = key_of(&name);
    if is_look {
        if let Some(found) = attempt.answer(sys::look_for_shared_memory(key)) {
            attempt.tell(&found);
        }
        if sys::remove_queues(key, &queue) > 0 {
            attempt.tell_line(&format!("queues of {name}"));
        }
        return;
    }
    attempt.answer(sys::leave_shared_memory(key, name.as_bytes()));
    let made = sys::leave_queues(key, &queue);
    attempt.tell_line(&format!("made {made}"));
}

/// A number for a name, the same in every run, and positive.
fn key_of(name: &str) -> i32 {
    let mixed = name.bytes().fold(7_u32, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(u32::from(byte)));
    i32::try_from(mixed >> 1).unwrap_or(1).max(1)
}

/// Leaves a key in the keyrings of the thread, the process, the session and the user. Harmless: it expires in a minute.
pub(super) fn leave_key(attempt: &mut Attempt) {
    let Some((name, is_look)) = canary_name() else { return };
    let Ok(name) = CString::new(name) else { return };
    for keyring in [-1, -2, -3, -4, -5] {
        if is_look {
            if let Some(found) = attempt.answer(sys::find_key(&name, keyring)) {
                attempt.tell(&found);
            }
        } else {
            attempt.answer(sys::add_key(&name, keyring, 60));
        }
    }
}

/// Changes the names of the machine that it is on. Harmless where the machine has a host name namespace of the suite's,
/// which the suite sees to.
pub(super) fn leave_host_name(attempt: &mut Attempt) {
    let Some((name, is_look)) = canary_name() else { return };
    if is_look {
        let names = rustix::system::uname();
        attempt.tell(names.nodename().to_bytes());
        attempt.tell(names.domainname().to_bytes());
        return;
    }
    attempt.answer(rustix::system::sethostname(name.as_bytes()));
    attempt.answer(rustix::system::setdomainname(name.as_bytes()));
}
