//! How a service is, on the wire: its parts, its queue, its backends, its keys.

use super::protection::{Layer, Layers};
use super::report::CheckReport;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Who asks, and whom they ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The id of the key that was shown; `null` where there are no keys.
    pub key: Option<String>,
    /// What that key is called; `local` where there are no keys.
    pub name: String,
    /// Whose evaluations it is for.
    pub project: String,
    /// `viewer`, `submitter`, `reviewer` or `admin`.
    pub role: String,
    /// Whether the service lets in whoever has a key alone.
    pub keys_required: bool,
    /// What the service's machine is called.
    pub node: String,
    /// Crucible's version.
    pub version: String,
}

/// What the parts of a service found when they last tested themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentList {
    /// Whether the service can do its work.
    pub ready: bool,
    /// What keeps it from that, one line each.
    pub unwell: Vec<String>,
    /// The parts.
    pub components: Vec<Component>,
}

/// A part of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Component {
    /// Its name.
    pub component: String,
    /// Whether no check failed and at least one was made.
    pub healthy: bool,
    /// Whether this machine simply doesn't have it.
    pub absent: bool,
    /// Checks that passed.
    pub passed: u64,
    /// All checks.
    pub total: u64,
    /// Its checks.
    pub checks: Vec<CheckReport>,
    /// When it was tested, by RFC 3339.
    pub tested_at: String,
    /// How long that took.
    pub took_ms: f64,
    /// What its latest tests came to, the oldest first: at most 60, and only where they are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastTest>,
}

/// What one self-test of a part came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PastTest {
    /// When, by RFC 3339.
    pub at: String,
    /// Checks that passed.
    pub passed: u64,
    /// All checks.
    pub total: u64,
    /// What those are called that failed.
    pub failed: Vec<String>,
}

/// What is in a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueueReport {
    /// `open`, `paused` or `draining`.
    pub flow: QueueFlow,
    /// May be run.
    pub waiting: u64,
    /// May be run later.
    pub delayed: u64,
    /// Are being run.
    pub leased: u64,
    /// How long the one that waits longest has waited; `null` where none waits.
    pub oldest_ms: Option<f64>,
    /// Evaluations that run on this node now.
    pub running: u64,
    /// The most that run at one time.
    pub most_running: u64,
    /// The most that may wait.
    pub most_queued: u64,
    /// The same of each project that has any.
    pub projects: BTreeMap<String, ProjectQueue>,
}

/// What a project has in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectQueue {
    /// May be run.
    pub waiting: u64,
    /// May be run later.
    pub delayed: u64,
    /// Are being run.
    pub leased: u64,
}

/// What a queue lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueFlow {
    /// Evaluations come in and are run.
    Open,
    /// They come in, and none is begun.
    Paused,
    /// No new one comes in.
    Draining,
}

/// A change of what a queue lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQueueFlow {
    /// From now on.
    pub flow: QueueFlow,
}

/// The backends of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendList {
    /// Those that it has, the preferred one first.
    pub backends: Vec<ServiceBackend>,
    /// Those that this machine can't run.
    pub unavailable: Vec<MissingBackend>,
}

/// A backend of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceBackend {
    /// Its name.
    pub backend: String,
    /// Its version.
    pub version: String,
    /// How strong its wall is: `none`, `shared_kernel`, `own_kernel`.
    pub isolation: String,
    /// Its layers.
    #[schema(value_type = BTreeMap<String, Layer>)]
    pub layers: Layers,
    /// Whether evaluations are run on it now.
    pub in_use: bool,
    /// Why not.
    pub out_because: Option<String>,
    /// Whether an operator wants it to be used.
    #[serde(default)]
    pub enabled: bool,
    /// Evaluations that run on it now.
    #[serde(default)]
    pub running: u64,
    /// Evaluations that may at one time; `null` for no bound of its own.
    #[serde(default)]
    pub most_running: Option<u64>,
}

/// What an operator decides about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBackend {
    /// Whether it is used. Off means that nothing new is begun on it.
    pub enabled: bool,
    /// Evaluations that run on it at one time, from 1; `null` for no bound of its own.
    #[serde(default)]
    #[schema(minimum = 1)]
    pub most_running: Option<u32>,
}

/// A backend that this machine can't run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MissingBackend {
    /// Its name.
    pub backend: String,
    /// Why not.
    pub reason: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What people call it: who has it, or what for.
    pub name: String,
    /// `viewer`, `submitter`, `reviewer` or `admin`.
    pub role: String,
    /// Whose evaluations it is for; without it, `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key itself. It is told here and never again.
    pub secret: String,
    /// All else about it.
    pub key: Key,
}

/// A key, without what opens anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: String,
    /// Whose evaluations it is for.
    pub project: String,
    /// When it was made, by RFC 3339.
    pub created_at: String,
    /// Since when it opens nothing any more.
    pub revoked_at: Option<String>,
    /// When it was last used, to within a minute.
    pub last_used_at: Option<String>,
}

/// Keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// The oldest first.
    pub keys: Vec<Key>,
}

/// What looking through a store found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreChecked {
    /// Whether nothing is damaged.
    pub sound: bool,
    /// Evaluations that were looked at.
    pub evaluations: u64,
    /// Files of large documents that were looked at.
    pub blobs: u64,
    /// What is wrong, one line each.
    pub damage: Vec<String>,
    /// Files that nothing refers to; they do no harm, and go with the next collection.
    pub orphans: u64,
}

impl From<crucible_core::StoreCheck> for StoreChecked {
    fn from(check: crucible_core::StoreCheck) -> Self {
        let crucible_core::StoreCheck { evaluations, blobs, damage, orphans } = check;
        Self { sound: damage.is_empty(), evaluations, blobs, damage, orphans }
    }
}

/// What a store is to forget. Only what has its final state ever is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreForget {
    /// What came to its end this long ago: `30d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// The oldest, until all takes no more than this: `10GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub larger_than: Option<String>,
}

/// What a store forgot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreForgotten {
    /// Evaluations.
    pub evaluations: u64,
    /// Their events.
    pub events: u64,
    /// Files of large documents that nothing refers to any more.
    pub blobs: u64,
    /// Bytes of those files.
    pub bytes: u64,
}

impl From<crucible_core::Forgotten> for StoreForgotten {
    fn from(forgotten: crucible_core::Forgotten) -> Self {
        let crucible_core::Forgotten { evaluations, events, blobs, bytes } = forgotten;
        Self { evaluations, events, blobs, bytes }
    }
}

/// A backup to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreBackup {
    /// What its folder among the service's backups is called: ASCII letters, digits and `-_.`.
    pub name: String,
}

/// The most that a project may have; `null` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectQuotas {
    /// Evaluations that run at one time.
    #[schema(maximum = 1_000_000_000)]
    pub most_running: Option<u32>,
    /// Evaluations that wait at one time.
    #[schema(maximum = 1_000_000_000)]
    pub most_queued: Option<u64>,
    /// Evaluations accepted in a day.
    #[schema(maximum = 1_000_000_000)]
    pub most_per_day: Option<u64>,
}

/// A project that has quotas of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its name.
    pub project: String,
    /// The most that it may have.
    pub quotas: ProjectQuotas,
}

/// Projects that have quotas of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectList {
    /// By name.
    pub projects: Vec<Project>,
}
