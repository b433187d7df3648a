//! The service as those who use it meet it: the real command on a folder of the test's own, over real connections.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

#[path = "../leftovers/cgroups.rs"]
mod cgroups;
#[path = "../leftovers/processes.rs"]
mod processes;

mod again;
mod attacks;
mod backends;
mod care;
mod catalogue;
mod command;
mod events;
mod flat;
mod full_disk;
mod http;
mod keys;
mod killed;
mod monitor;
mod page;
mod place;
mod requests;
mod sandboxes;
mod specification;
mod stopping;
mod webhooks;
mod wire;
