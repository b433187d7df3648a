//! The library that makes an interpreter a launcher: what the interpreter calls, once it is initialised.

use crate::launcher::{Interpreter, say, serve_within};

/// Serves the supervisor until it hangs up, and gives the process's exit code. What keeps it from serving it says on standard
/// error.
pub(crate) fn serve(interpreter: Interpreter, guest_root: u32) -> u8 {
    match serve_within(interpreter, guest_root) {
        Ok(code) => code,
        Err(failure) => {
            say(&failure);
            70
        }
    }
}
