//! The engine's settings, the same wherever code is compiled, looked up or run: code that was compiled with other ones is
//! never loaded.

use wasmtime::{Config, Engine};

/// The engine's name and version, for the record.
pub(super) const VERSION: &str = "wasmtime 48.0.8";

/// What the functions that a guest calls may use of the stack beyond the guest's own.
const HOST_STACK: usize = 1 << 20;

/// An engine whose guests have a stack of that many bytes. The stack's size changes nothing of the code.
///
/// One instance is made per process, so that instances are allocated on demand: a pool costs more than it saves there.
/// Memories are copy-on-write images of the file with the compiled code.
pub(super) fn engine(stack: usize) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true).max_wasm_stack(stack).async_stack_size(stack.saturating_add(HOST_STACK));
    Engine::new(&config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_version_is_the_one_that_is_built_in() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        let version = VERSION.strip_prefix("wasmtime ").unwrap();
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{version}\"\n")));
        assert!(lock.contains(&format!("name = \"wasmtime-wasi\"\nversion = \"{version}\"\n")));
    }
}
