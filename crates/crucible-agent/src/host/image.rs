//! The agent's program, embedded in this one.

/// The program, linked statically: it runs on any Linux of this kind of processor, and needs no file but itself.
pub static AGENT: &[u8] = include_bytes!(env!("CRUCIBLE_AGENT"));

/// SHA-256 of [`AGENT`], in hexadecimal. Found when it was built, so that asking costs nothing.
#[must_use]
pub const fn digest() -> &'static str {
    env!("CRUCIBLE_AGENT_SHA256")
}
