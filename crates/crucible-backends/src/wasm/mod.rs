//! WebAssembly: the guest's program is compiled by wasmtime and runs in a worker process, and the worker runs in the jail.
//!
//! Two walls, then. The inner one is WebAssembly itself: a program makes no system call and reaches nothing but the WASI
//! functions that are linked to it, which give it its own folder, its streams, clocks and random numbers. The outer one is
//! the jail, as any native program has it; what breaks out of the inner wall finds itself there, with nothing gained.
//!
//! Invariant: nothing of a guest's is compiled, loaded or executed in the supervisor's own process. Sandboxes, files,
//! counters, posture, tripwires and monitoring are the jail's, and are not written again here.

mod artifact;
mod backend;
mod cache;
mod config;
mod control;
mod engine;
mod private;
mod program;
mod protocol;
pub mod runtimes;
mod sandbox;
mod self_test;
mod snapshot;
mod waiting;
pub mod worker;

pub use backend::{WasmBackend, forget_compiled};
pub use config::{Note, WasmConfig, WorkerProgram};
