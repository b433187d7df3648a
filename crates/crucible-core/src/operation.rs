//! What an operator decides about a service while it runs, and what was found about its walls.
//!
//! Invariant: it outlives the process. Documents are opaque, as a store's are.

use crate::component::Component;
use crate::error::Result;
use crate::id::AttackId;
use async_trait::async_trait;
use bytes::Bytes;
use std::time::SystemTime;

/// Whether something is begun on a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// It is, as far as the backend is well.
    #[default]
    On,
    /// Nothing new is.
    Off,
}

/// What an operator decided about a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendSetting {
    /// Whether it is used.
    pub switch: Switch,
    /// Evaluations that run on it at one time; `None` for no bound of its own.
    pub most_running: Option<u32>,
}

/// Keeps what was decided about backends.
#[async_trait]
pub trait BackendStore: Component {
    /// What was decided, by backend. One that isn't there is as usual.
    ///
    /// # Errors
    /// `Io`.
    async fn backend_settings(&self) -> Result<Vec<(String, BackendSetting)>>;

    /// Decides, in the place of what was decided before.
    ///
    /// # Errors
    /// `Io`.
    async fn set_backend_setting(&self, backend: &str, setting: BackendSetting) -> Result<()>;
}

/// A run of the attack suite, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttackRecord {
    /// Its id.
    pub id: AttackId,
    /// When it was asked for.
    pub created: SystemTime,
    /// What a list shows of it.
    pub summary: Bytes,
    /// What it found, once it has.
    pub report: Option<Bytes>,
}

/// Keeps runs of the attack suite.
#[async_trait]
pub trait AttackStore: Component {
    /// Keeps one, in the place of the one with its id, and forgets the oldest beyond `most`.
    ///
    /// # Errors
    /// `Io`.
    async fn put_attack(&self, attack: AttackRecord, most: usize) -> Result<()>;

    /// All, the newest first, without their reports.
    ///
    /// # Errors
    /// `Io`.
    async fn attacks(&self) -> Result<Vec<AttackRecord>>;

    /// One, with its report.
    ///
    /// # Errors
    /// `NotFound`; `Io`.
    async fn attack(&self, id: AttackId) -> Result<AttackRecord>;
}
