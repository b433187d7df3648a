//! Containers of a Docker daemon (or Podman's), by its HTTP interface: hardened by default, with the guest agent as their first
//! process.

mod backend;
mod config;
mod connection;
mod container;
mod contents;
mod daemon;
mod error;
mod evidence;
mod images;
mod import;
mod layers;
mod line;
mod made;
mod maker;
mod program;
mod sandbox;
mod seccomp;
mod self_test;

pub use backend::DockerBackend;
pub use config::{DockerConfig, Hardening};
pub use daemon::Daemon;
pub use images::Image;
pub use import::host_image_name;
