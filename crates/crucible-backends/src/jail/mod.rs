//! The native jail: namespaces, seccomp, Landlock, control groups and quotas of this machine's own kernel.

mod backend;
mod config;
mod layers;
mod place;
mod posture;
mod root;
mod self_test;

pub use backend::JailBackend;
pub use config::JailConfig;
pub use place::Ahead;
