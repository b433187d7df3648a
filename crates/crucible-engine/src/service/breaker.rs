//! Which backends are in use: one whose self-test failed, or that failed several times one after the other, isn't, until its
//! self-test passes again.
//!
//! Invariant: a backend that is out is never replaced by a weaker one. `auto` goes on to the next that admits the request;
//! whoever named a backend waits for that one.

use crucible_core::{Error, ErrorKind, Result, Switch};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is tried where a backend turns out to be out.
const CHOOSE: &str = "choose the backend";
/// After so many failures in a row a backend is out.
const MOST_FAILURES: u32 = 5;
/// Why one is out that an operator doesn't want to be used.
const SWITCHED_OFF: &str = "it was switched off";

#[derive(Default)]
struct State {
    failures: u32,
    /// Why it is out, if it is.
    out: Option<String>,
    /// Whether an operator wants it to be used.
    switch: Switch,
}

impl State {
    fn why_out(&self) -> Option<String> {
        match self.switch {
            Switch::Off => Some(SWITCHED_OFF.to_owned()),
            Switch::On => self.out.clone(),
        }
    }
}

/// Knows which backends are out.
#[derive(Default)]
pub struct Breakers(Mutex<BTreeMap<String, State>>);

impl Breakers {
    fn states(&self) -> MutexGuard<'_, BTreeMap<String, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a backend may be used.
    ///
    /// # Errors
    /// `Unavailable`, with why it is out.
    pub fn check(&self, backend: &str) -> Result<()> {
        match self.states().get(backend).and_then(State::why_out) {
            None => Ok(()),
            Some(why) => {
                let message = format!("the backend '{backend}' is out of use: {why}");
                let hint = if why == SWITCHED_OFF {
                    "an administrator can switch it on again"
                } else {
                    "it comes back by itself once its self-test passes; `crucible doctor` may say what is wrong"
                };
                Err(Error::new(ErrorKind::Unavailable, CHOOSE, message).with_hint(hint))
            }
        }
    }

    /// Why a backend is out, if it is.
    #[must_use]
    pub fn why_out(&self, backend: &str) -> Option<String> {
        self.states().get(backend).and_then(State::why_out)
    }

    /// Lets a backend be used as far as it is well, or not at all, whatever its self-test says.
    pub fn switch(&self, backend: &str, switch: Switch) {
        self.states().entry(backend.to_owned()).or_default().switch = switch;
    }

    /// Whether an operator wants a backend to be used.
    #[must_use]
    pub fn switched(&self, backend: &str) -> Switch {
        self.states().get(backend).map(|state| state.switch).unwrap_or_default()
    }

    /// Takes a backend out of use.
    pub fn open(&self, backend: &str, why: String) {
        let mut states = self.states();
        let state = states.entry(backend.to_owned()).or_default();
        if state.out.is_none() {
            tracing::warn!(backend, why, "the backend is out of use");
        }
        state.out = Some(why);
    }

    /// Puts a backend into use again.
    pub fn close(&self, backend: &str) {
        let mut states = self.states();
        let state = states.entry(backend.to_owned()).or_default();
        if state.out.is_some() {
            tracing::info!(backend, "the backend is in use again");
        }
        *state = State { switch: state.switch, ..State::default() };
    }

    /// Notes that a run came to an end that isn't the backend's fault.
    pub(super) fn succeeded(&self, backend: &str) {
        if let Some(state) = self.states().get_mut(backend) {
            state.failures = 0;
        }
    }

    /// Notes that the backend failed.
    pub(super) fn failed(&self, backend: &str, error: &Error) {
        let failures = {
            let mut states = self.states();
            let state = states.entry(backend.to_owned()).or_default();
            state.failures = state.failures.saturating_add(1);
            state.failures
        };
        if failures >= MOST_FAILURES {
            self.open(backend, format!("it failed {failures} times in a row, lastly: {error}"));
        }
    }
}

/// Whether this is why nothing was run: the backend that it takes is out of use, or not there.
pub(super) fn is_out(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.operation() == CHOOSE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Error {
        Error::new(ErrorKind::Infrastructure, "run", "lost")
    }

    #[test]
    fn a_backend_is_out_after_several_failures_in_a_row_and_back_after_its_self_test() {
        let breakers = Breakers::default();
        for _ in 1..MOST_FAILURES {
            breakers.failed("jail", &failure());
        }
        breakers.succeeded("jail");
        for _ in 1..MOST_FAILURES {
            breakers.failed("jail", &failure());
        }
        breakers.check("jail").unwrap();
        breakers.failed("jail", &failure());
        let error = breakers.check("jail").unwrap_err();
        assert!(is_out(&error) && !is_out(&failure()) && error.to_string().contains("lost"), "{error}");
        breakers.check("docker").unwrap();
        breakers.close("jail");
        breakers.check("jail").unwrap();
    }

    #[test]
    fn a_backend_that_is_switched_off_stays_off_whatever_its_self_test_says() {
        let breakers = Breakers::default();
        breakers.switch("jail", Switch::Off);
        breakers.close("jail");
        let error = breakers.check("jail").unwrap_err();
        assert!(is_out(&error) && error.to_string().contains("switched off"), "{error}");
        breakers.open("jail", "it failed".to_owned());
        breakers.switch("jail", Switch::On);
        assert_eq!(breakers.why_out("jail").as_deref(), Some("it failed"));
        breakers.close("jail");
        breakers.check("jail").unwrap();
    }
}
