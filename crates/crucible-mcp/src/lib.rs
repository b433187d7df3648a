//! The Model Context Protocol over Crucible: tools by which a model runs code and uses sandboxes, and resources that tell what
//! came of it.
//!
//! Invariants: no tool takes a path of the host; what a guest does is a result, and what a caller did wrong is one that says so;
//! what goes to a model is bounded, and what was left out is said; a call that is cancelled, or whose caller went away, ends what
//! it started. What it runs is admitted and recorded as everywhere: the engine does that, and nothing here weakens it.
//!
//! It picks no backend, reads no configuration and opens no listener. The protocol itself is `rmcp`'s.

mod arguments;
mod bound;
mod http;
mod progress;
mod resources;
mod results;
mod runs;
mod schema;
mod server;
mod stdio;
mod tools;

pub use http::{PATH, routes};
pub use server::{Bounds, Mcp, McpParts};
pub use stdio::{serve, serve_host};
