//! Why a behaviour stopped.

use crucible_core::Error;
use std::error::Error as _;
use std::fmt;

/// What a behaviour comes to.
pub type Checked = Result<(), Stop>;

/// Why a behaviour didn't pass.
#[derive(PartialEq, Eq)]
pub enum Stop {
    /// The backend behaves otherwise.
    Failed(String),
    /// It can't be looked at on this machine.
    CannotTell(String),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::CannotTell(why) => write!(f, "can't tell: {why}"),
        }
    }
}

// The form that a failed test prints.
impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        let mut text = format!("the backend could not {}: {error}", error.operation());
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::Failed(text)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(format!("the test's own input or output failed: {error}"))
    }
}

/// Fails unless something holds.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err($crate::conformance::Stop::Failed(format!($($why)+)));
        }
    };
}
pub(super) use ensure;
