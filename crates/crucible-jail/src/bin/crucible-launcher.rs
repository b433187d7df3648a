//! The launcher: started by the supervisor from a sealed copy, with its end of the control socket as standard input.
//! It isn't meant to be called by hand.

fn main() -> std::process::ExitCode {
    crucible_jail::launcher::serve()
}
