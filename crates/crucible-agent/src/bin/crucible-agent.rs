//! The guest agent: the first process of a container or virtual machine, with the supervisor at its standard input and
//! output; and what copies files as one of its commands. It isn't meant to be called by hand.

fn main() -> std::process::ExitCode {
    crucible_agent::guest::run()
}
