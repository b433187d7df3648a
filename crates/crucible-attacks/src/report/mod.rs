//! Reports of what the suite found: for a terminal, for continuous integration and for a browser, a display of how far it
//! has come, and the exit code.
//!
//! Invariant: every report is made of the same results and leaves none out, and no text in one can steer a terminal, close a
//! tag or pass for another. For programs there is `crucible_api::v1::AttackReport`; nothing here is a wire format.

mod exit;
mod html;
mod junit;
mod matrix;
mod progress;
#[cfg(test)]
mod sample;
mod table;
mod text;
mod words;

pub use exit::exit_code;
pub use html::html;
pub use junit::junit;
pub use progress::{ProgressDisplay, SuiteProgress};
pub use table::{Arms, TABLE_WIDTH, table};
