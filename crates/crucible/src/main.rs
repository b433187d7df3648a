//! The `crucible` command: arguments in, exit code out.
//!
//! Invariant: what a person asked to see goes to standard output, everything else to standard error, and every failure is
//! one clear line with the mend where there is one. It isolates nothing itself.

mod arguments;
mod bench;
mod command;
mod exit;
mod output;
#[cfg(test)]
mod reference;
mod signals;

use crucible::compose;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os();
    // Before anything else: it is started for every program that is WebAssembly, and has no use for the rest.
    if words.nth(1).is_some_and(|verb| verb == compose::WASM_WORKER_VERB) {
        return ExitCode::from(crucible_backends::wasm::worker::run(words));
    }
    let exit = match arguments::parse(std::env::args_os()) {
        Ok(arguments) => command::dispatch(arguments),
        Err(exit) => exit,
    };
    // A program's standard input may still be awaited by a thread of ours; ending the process doesn't wait for it.
    ExitCode::from(exit.code())
}
