//! Making files as somebody else: `setfsuid(2)`.

/// Does something to files with the ids of their owner, in this thread alone. A process that may not take them goes on with its
/// own.
pub(crate) fn as_owner<T>((user, group): (u32, u32), work: impl FnOnce() -> T) -> T {
    struct Back(libc::c_int, libc::c_int);
    impl Drop for Back {
        fn drop(&mut self) {
            let (user, group) = (self.0.cast_unsigned(), self.1.cast_unsigned());
            // SAFETY: takes numbers only; this thread had these ids before, which it may take again.
            unsafe {
                libc::setfsuid(user);
                libc::setfsgid(group);
            }
        }
    }
    // SAFETY: takes numbers only, and changes nothing of other threads. Each gives what was in force before.
    let _back = unsafe {
        let former = libc::setfsgid(group);
        Back(libc::setfsuid(user), former)
    };
    work()
}
