//! Stores in ordinary files, in folders that only their owner may enter.

mod review;

pub use review::FileReviews;
