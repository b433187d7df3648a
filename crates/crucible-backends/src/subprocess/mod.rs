//! Plain processes: for development only. Nothing is isolated, and every record says so.

mod backend;

pub use backend::{SubprocessBackend, SubprocessConfig};
