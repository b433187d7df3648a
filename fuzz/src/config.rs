//! The command's modules that read policies, as they stand.
//!
//! Invariant: nothing but declarations is here.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "the command uses more of them than a target")]

#[path = "../../crates/crucible/src/config/document.rs"]
mod document;
#[path = "../../crates/crucible/src/config/environment.rs"]
mod environment;
#[path = "../../crates/crucible/src/config/limits.rs"]
mod limits;
#[path = "../../crates/crucible/src/config/policy/mod.rs"]
pub(crate) mod policy;
#[path = "../../crates/crucible/src/config/schema.rs"]
mod schema;
#[path = "../../crates/crucible/src/config/source.rs"]
mod source;
#[path = "../../crates/crucible/src/config/values.rs"]
mod values;
