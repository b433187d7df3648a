//! The service on a fake backend, with the real store and the real queue: one result for whatever was accepted, whatever fails,
//! is cancelled or stops meanwhile.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod backends;
mod bench;
mod cancelling;
mod quotas;
mod recovering;
mod results;
mod reviews;
mod webhooks;
