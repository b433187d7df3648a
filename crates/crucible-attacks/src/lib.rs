//! The attack suite: what isolation has to mean, as scenarios that a runner puts to a backend.
//!
//! Invariant: a verdict comes from the host's own evidence about a canary that the suite made, never from what a probe
//! prints; and a property is held only where the same probe reached its canary with the protection left off.
//!
//! It makes no sandboxes itself and knows no backend by name: it is handed what it attacks.

mod arm;
mod canary;
mod process;
pub mod range;
pub mod report;
pub mod scenario;
mod subject;
mod suite;

pub use arm::{OTHER_NAME, Site, Supervisor, World};
pub use subject::Subject;
pub use suite::{AttackSuite, Depth, Node, Progress, Target};

/// The default scenarios and their probes.
mod embedded {
    include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
}

/// Sixteen random bytes in hexadecimal digits: what nobody can guess, and nobody has used before.
fn nonce() -> std::io::Result<String> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
