//! What holds whatever the input is, for the fuzz targets.
//!
//! Invariant: a claim that doesn't hold is a panic, which is what a fuzzer looks for. Nothing here is part of Crucible.

pub mod agent;
mod config;
pub mod policy;
pub mod report;
pub mod rules;
