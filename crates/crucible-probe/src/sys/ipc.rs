//! System V and POSIX objects, and keys: what can stay behind when its maker is gone.

use super::check;
use libc::{c_int, c_long};
use rustix::io::Errno;
use std::ffi::CStr;

/// Bytes of a piece of shared memory.
const SHARED: usize = 4096;
const MODE: c_int = 0o600;

/// Makes a piece of System V shared memory that holds the text.
pub(crate) fn leave_shared_memory(key: i32, text: &[u8]) -> Result<(), Errno> {
    with_shared_memory(key, libc::IPC_CREAT | MODE, |address| {
        let length = text.len().min(SHARED);
        // SAFETY: the segment is attached, is SHARED bytes long, and overlaps nothing of this program.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), address, length) };
    })
    .map(drop)
}

/// Gives what a piece of System V shared memory holds, and removes it.
pub(crate) fn look_for_shared_memory(key: i32) -> Result<Vec<u8>, Errno> {
    let mut found = vec![0; SHARED];
    let id = with_shared_memory(key, 0, |address| {
        // SAFETY: the segment is attached, is SHARED bytes long, and overlaps nothing of this program.
        unsafe { std::ptr::copy_nonoverlapping(address, found.as_mut_ptr(), SHARED) };
    })?;
    // SAFETY: removing takes no structure, so that the pointer isn't used.
    check(c_long::from(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }))?;
    Ok(found)
}

/// Attaches a piece of System V shared memory for the length of a call, and gives its number.
fn with_shared_memory(key: i32, flags: c_int, work: impl FnOnce(*mut u8)) -> Result<c_int, Errno> {
    // SAFETY: takes numbers only. With this size an existing segment isn't smaller, or the call fails.
    let id = unsafe { libc::shmget(key, SHARED, flags) };
    check(c_long::from(id))?;
    // SAFETY: a null address lets the kernel choose a free place.
    let address = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    if address.addr() == usize::MAX {
        return Err(Errno::ACCESS);
    }
    work(address.cast());
    // SAFETY: the address is the one that shmat gave, and nothing keeps a reference into it.
    check(c_long::from(unsafe { libc::shmdt(address) }))?;
    Ok(id)
}

/// Makes a System V message queue, a set of one semaphore, and a POSIX message queue. Gives how many of the three it made.
pub(crate) fn leave_queues(key: i32, name: &CStr) -> usize {
    let (flags, open) = (libc::IPC_CREAT | MODE, libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC);
    // SAFETY: takes numbers only.
    let messages = unsafe { libc::msgget(key, flags) };
    // SAFETY: takes numbers only.
    let semaphores = unsafe { libc::semget(key, 1, flags) };
    // SAFETY: the name is null-terminated, and no attributes are given.
    let queue = unsafe { libc::mq_open(name.as_ptr(), open, MODE, std::ptr::null::<libc::mq_attr>()) };
    [messages, semaphores, queue].into_iter().filter(|id| *id >= 0).count()
}

/// Removes a System V message queue, a set of one semaphore, and a POSIX message queue. Gives how many of the three it found.
pub(crate) fn remove_queues(key: i32, name: &CStr) -> usize {
    // SAFETY: takes numbers only.
    let messages = unsafe { libc::msgget(key, 0) };
    // SAFETY: takes numbers only.
    let semaphores = unsafe { libc::semget(key, 1, 0) };
    if messages >= 0 {
        // SAFETY: removing takes no structure, so that the pointer isn't used.
        unsafe { libc::msgctl(messages, libc::IPC_RMID, std::ptr::null_mut()) };
    }
    if semaphores >= 0 {
        // SAFETY: removing takes no further argument.
        unsafe { libc::semctl(semaphores, 0, libc::IPC_RMID) };
    }
    // SAFETY: the name is null-terminated.
    let unlinked = unsafe { libc::mq_unlink(name.as_ptr()) };
    [messages, semaphores, unlinked].into_iter().filter(|id| *id >= 0).count()
}

/// Puts a key into a keyring, and has it expire.
pub(crate) fn add_key(name: &CStr, keyring: i32, seconds: u32) -> Result<(), Errno> {
    const SET_TIMEOUT: c_int = 15;
    let payload = name.to_bytes();
    // SAFETY: both texts are null-terminated, and the kernel only reads the live payload, whose length it is told.
    let key = check(unsafe {
        libc::syscall(libc::SYS_add_key, c"user".as_ptr(), name.as_ptr(), payload.as_ptr(), payload.len(), keyring)
    })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_keyctl, SET_TIMEOUT, key, seconds) }).map(drop)
}

/// Gives what a key in a keyring holds.
pub(crate) fn find_key(name: &CStr, keyring: i32) -> Result<Vec<u8>, Errno> {
    const SEARCH: c_int = 10;
    const READ: c_int = 11;
    // SAFETY: both texts are null-terminated; no destination keyring is given.
    let key = check(unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, keyring, c"user".as_ptr(), name.as_ptr(), 0) })?;
    let mut content = vec![0_u8; 256];
    // SAFETY: the kernel writes to the live buffer alone, at most as much as its length.
    let length = check(unsafe { libc::syscall(libc::SYS_keyctl, READ, key, content.as_mut_ptr(), content.len()) })?;
    content.truncate(usize::try_from(length).unwrap_or(0));
    Ok(content)
}
