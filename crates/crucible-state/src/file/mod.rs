//! Stores in ordinary files, in folders that only their owner may enter.

mod baseline;
mod folder;
mod place;
pub(crate) mod private;
mod review;

pub use baseline::{FileBaselines, MOST_LABELS};
pub use place::{KeptPlace, SandboxPlace, SandboxPlaces};
pub use review::FileReviews;
