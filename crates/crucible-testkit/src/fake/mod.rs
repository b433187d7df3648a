//! A backend in memory: its guests follow a script, its faults are chosen, and what is done to it is written down.
//!
//! It runs nothing on the host, so it proves things about its callers only.

mod backend;
mod ledger;
mod observer;
mod sandbox;
mod script;
mod switches;

pub use backend::{FakeBackend, every_layer, everything};
pub use ledger::Ledger;
pub use script::{FakeFile, Fault, Script, Step};
pub use switches::{Switches, Work};
