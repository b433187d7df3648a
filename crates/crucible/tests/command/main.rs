//! The `crucible` command as a person meets it: its streams, exit codes, messages and files, on every backend.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests fail as tests do")]

mod attestations;
mod bad_input;
mod configuration;
mod docker;
mod files;
mod labels;
mod limits;
mod network;
mod policies;
mod reviews;
mod rules;
mod running;
mod sandboxes;
mod scan;
mod signals;
mod support;
mod terminal;
mod validity;
