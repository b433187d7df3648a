//! The WebAssembly worker as a program of its own, for tests of this crate; the `crucible` command is its own worker.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(crucible_backends::wasm::worker::run(std::env::args_os().skip(1)))
}
