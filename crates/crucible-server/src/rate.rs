//! How many requests a key may make: so that one caller, or its mistake, leaves room for the others.

use crate::api::Api;
use crate::caller::Caller;
use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use crucible_core::{Error, ErrorKind};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// How many keys are told apart before those are forgotten that made no request for a while.
const MOST_KEYS: usize = 10_000;

/// Counts requests by key.
pub struct Rate(DefaultKeyedRateLimiter<String>);

impl Rate {
    /// So many a second for each key, and as many at once.
    #[must_use]
    pub fn per_second(most: NonZeroU32) -> Self {
        Self(RateLimiter::keyed(Quota::per_second(most)))
    }

    fn check(&self, key: &str) -> Result<(), Error> {
        if self.0.len() > MOST_KEYS {
            self.0.retain_recent();
        }
        self.0.check_key(&key.to_owned()).map_err(|_| {
            let message = format!("the key '{key}' makes more requests than are answered");
            Error::new(ErrorKind::Overloaded, "answer the request", message)
        })
    }
}

/// Refuses what is too much.
pub(crate) async fn limit(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(rate) = &api.rate {
        rate.check(&caller.name)?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_that_asks_too_much_leaves_the_others_alone() {
        let rate = Rate::per_second(NonZeroU32::new(2).unwrap());
        assert!(rate.check("a").is_ok() && rate.check("a").is_ok());
        assert_eq!(rate.check("a").unwrap_err().kind(), ErrorKind::Overloaded);
        assert!(rate.check("b").is_ok());
    }
}
