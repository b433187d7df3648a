//! A clock that stands until a test moves it.

use async_trait::async_trait;
use crucible_core::Clock;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

#[derive(Debug)]
struct Hands {
    now: Instant,
    wall: SystemTime,
}

/// A clock that stands until a test moves it.
#[derive(Debug)]
pub struct TestClock {
    hands: Mutex<Hands>,
    moved: Notify,
}

impl Default for TestClock {
    fn default() -> Self {
        Self { hands: Mutex::new(Hands { now: Instant::now(), wall: SystemTime::now() }), moved: Notify::new() }
    }
}

impl TestClock {
    fn hands(&self) -> MutexGuard<'_, Hands> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        let mut hands = self.hands();
        hands.now += by;
        hands.wall += by;
        drop(hands);
        self.moved.notify_waiters();
    }

    /// Sets the wall clock, as a person may; no time passes.
    pub fn set_wall(&self, wall: SystemTime) {
        self.hands().wall = wall;
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Instant {
        self.hands().now
    }

    fn wall(&self) -> SystemTime {
        self.hands().wall
    }

    async fn sleep_until(&self, at: Instant) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.now() >= at {
                return;
            }
            moved.await;
        }
    }
}
