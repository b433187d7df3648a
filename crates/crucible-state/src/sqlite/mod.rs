//! The store and the durable queue in one SQLite database, in a folder that one process serves.
//!
//! Invariant: one thread writes. Whatever waits to be written goes into one transaction, is synced to the disk, and only then
//! answered and told to the event bus; what says otherwise says what it survives. Readers have connections of their own and wait for no writer.

mod blobs;
mod failure;
mod folder;
mod log;
mod migrations;
mod queue;
mod readers;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use folder::SqliteFolder;
pub use queue::SqliteQueue;
pub use store::SqliteStore;
