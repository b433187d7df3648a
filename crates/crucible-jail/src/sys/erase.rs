//! What an init that programs are forked from has known is in none of their memory: what it gives back is erased, and so is the
//! part of its stack that it isn't using. It has heard of the files of the runs before.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, which erases what is given back.
struct Erasing;

#[global_allocator]
static ERASING: Erasing = Erasing;

// SAFETY: it is the system's in everything; what is erased is still the caller's to give back, and as long as its layout says.
unsafe impl GlobalAlloc for Erasing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above. Unlike a plain write, this one isn't left out for coming before the end.
        unsafe {
            libc::explicit_bzero(pointer.cast(), layout.size());
            System.dealloc(pointer, layout);
        }
    }
    // Without `realloc` of its own, growing goes through the three above.
}

/// Erases as much of the stack below the caller as this library ever uses.
#[inline(never)]
pub(crate) fn erase_stack() {
    let mut below = [0_u8; 24 << 10];
    // SAFETY: it is a local array of that length.
    unsafe { libc::explicit_bzero(below.as_mut_ptr().cast(), below.len()) };
}
