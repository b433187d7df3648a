//! How a service has fared, on the wire.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How a service has fared: for an administrator everybody's evaluations, for others those of their own project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Statistics {
    /// How long a bucket is.
    pub bucket_seconds: u64,
    /// The oldest first, without a gap; at most 120. The last one isn't over yet.
    pub buckets: Vec<StatisticsBucket>,
    /// All of them together.
    pub totals: StatisticsTotals,
}

/// What happened within some time, and how it was at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatisticsBucket {
    /// When it began, by RFC 3339.
    pub at: String,
    /// What happened within it.
    #[serde(flatten)]
    pub counts: StatisticsTotals,
    /// Evaluations that waited, when it was last looked; `null` where nobody looked.
    pub queued: Option<u64>,
    /// Evaluations that ran.
    pub running: Option<u64>,
    /// Sandboxes that were open; told to administrators alone.
    pub sandboxes: Option<u64>,
    /// How long the one that waited longest had waited; told to administrators alone.
    pub oldest_age_s: Option<f64>,
}

/// What happened within some time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatisticsTotals {
    /// Evaluations that were accepted.
    pub submitted: u64,
    /// Those that got an outcome, by its `status`.
    pub finished: BTreeMap<String, u64>,
    /// Those that Crucible failed at, for good.
    pub failed: u64,
    /// Those that were taken back.
    pub cancelled: u64,
    /// From acceptance to outcome; `null` where there was none.
    pub latency_ms: Option<Percentiles>,
    /// How long programs ran.
    pub run_ms: Option<Percentiles>,
}

/// What so many of a hundred stayed within, to a tenth or so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Percentiles {
    /// Half.
    pub p50: f64,
    /// 90.
    pub p90: f64,
    /// 99.
    pub p99: f64,
}
