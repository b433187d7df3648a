//! Stores in ordinary files, in folders that only their owner may enter.

mod review;

pub use review::FileReviews;
mod baseline;
mod folder;

pub use baseline::{FileBaselines, MOST_LABELS};
