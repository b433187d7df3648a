//! The program that runs in a sandbox: `probe NAME NONCE`. It isn't meant to be called by hand, but does no harm if it is.

fn main() -> std::process::ExitCode {
    crucible_probe::probe::run()
}
