//! Crucible in process: code in, output and error out, and nothing of the machine within the code's reach.
//!
//! ```
//! let outcome = crucible::run("print(6 * 7)")?;
//! println!("{}", outcome.stdout_text());
//! # assert_eq!(outcome.stdout_text(), "42\n");
//! # Ok::<(), crucible::Error>(())
//! ```
//!
//! Whatever the program does is an [`Outcome`]; an [`Error`] means that Crucible itself could not do its work. For more
//! than one run, or other settings, build a [`Crucible`] and keep it:
//!
//! ```no_run
//! use crucible::{ByteSize, Crucible, Limits};
//!
//! let crucible = Crucible::builder()
//!     .language("javascript")
//!     .limits(Limits { memory: ByteSize::mib(512), ..Limits::default() })
//!     .build()?;
//! assert_eq!(crucible.run("console.log(6 * 7)")?.stdout_text(), "42\n");
//! # Ok::<(), crucible::Error>(())
//! ```
//!
//! This crate holds no isolation of its own. [`compose`] is the only place that picks implementations.

pub mod attack;
pub mod catalogue;
pub mod compose;
pub mod config;
mod facade;
mod http_attacks;
mod http_specs;
mod rule_files;

pub use crucible_core::{
    ByteSize, CpuCount, Error, ErrorKind, EvaluationId, EvaluationSpec, GuestPath, InputFile, Label, LimitKind, Limits,
    Outcome, Policy, Program, Result, Status, TimeSpan,
};
pub use facade::{Builder, Crucible, run};
pub use http_specs::ConfiguredSpecs;
